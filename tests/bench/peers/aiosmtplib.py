"""aiosmtplib with dkimpy: two processes of asyncio, a task for each connection; it is given octets that were merged.

From memory, without a queue. dkimpy's RSA is written in Python; where `cryptography` takes its place, the rest stays dkimpy's.
"""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench.peers.contender import Missing, Started, fewer, measured
from tests.bench.peers.senders import ROLE, sending, shares
from tests.bench.rig import Case, Spent

_RELEASE = "aiosmtplib==5.1.3"
_INSTALL = ("-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps", "--target")


class Aiosmtplib:
    """Connections of aiosmtplib; `rsa` is who signs: "dkimpy" or "cryptography"."""

    own: tuple[str, ...] = (ROLE,)

    def __init__(self, rsa: str) -> None:
        self.name = "aiosmtplib + dkimpy" if rsa == "dkimpy" else "aiosmtplib, RSA in C"
        self.words = f"{_RELEASE}, connections shared by two processes, from memory, no queue; {rsa} makes the signature"
        self.only_signed = rsa != "dkimpy"
        self._rsa = rsa

    def prepare(self, home: Path) -> None:
        """Install it with pip; dkimpy is there, since our tests need it."""
        command = [sys.executable, *_INSTALL, str(home), _RELEASE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"pip could not install {_RELEASE}: {done.stderr.strip()[-300:]}")

    def measure(self, case: Case, home: Path) -> Spent:
        def start(case: Case, directory: Path) -> AbstractContextManager[Started]:
            command = [sys.executable, "-m", "tests.bench.peers.aiosmtplib_sender", self._rsa]
            return sending(shares(case, directory), directory, command, {**os.environ, "PYTHONPATH": str(home)})

        signed = 1_500 if self._rsa == "dkimpy" else 5_000
        return measured(fewer(case, unsigned=20_000, signed=signed), start)
