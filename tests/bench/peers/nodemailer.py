"""nodemailer: a pool in each of two processes of Node.js; it builds the messages, and signs them itself.

From memory, without a queue: what has not been sent ends with its process.
"""

import shutil
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench.peers.contender import Missing, Started, fewer, measured
from tests.bench.peers.senders import ROLE, sending, shares
from tests.bench.rig import Case, Spent

_RELEASE = "nodemailer@10.6.1"
_INSTALL = ("install", "--engine-strict", "--no-audit", "--no-fund", "--silent")
_PROGRAM = Path(__file__).with_suffix(".mjs")


class Nodemailer:
    """Pools of nodemailer."""

    name = "nodemailer"
    words = f"{_RELEASE}, a pool each in two processes, from memory, no queue"
    own: tuple[str, ...] = (ROLE,)
    only_signed = False

    def prepare(self, home: Path) -> None:
        """Install it with npm."""
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            raise Missing("there is no Node.js with npm here")
        done = subprocess.run([npm, *_INSTALL, "--prefix", str(home), _RELEASE], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"npm could not install {_RELEASE}: {done.stderr.strip()[-300:] or done.returncode}")

    def measure(self, case: Case, home: Path) -> Spent:
        def start(case: Case, directory: Path) -> AbstractContextManager[Started]:
            return sending(shares(case, directory), directory, ["node", str(_PROGRAM), str(home)])

        return measured(fewer(case, unsigned=12_000, signed=5_000), start)
