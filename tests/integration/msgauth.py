"""go-msgauth's dkim-verify: a judge of signatures, Ed25519 among them, that shares no code with the others.

It asks whichever name server /etc/resolv.conf names and can't be told another. So it runs with a root directory of its own,
which holds the program, its libraries and that one file.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.integration.programs import find, need_root

_SECONDS = 20.0
_AT_ONCE = 4
_LIBRARY = re.compile(r"(/\S+) \(0x")  # a line of ldd: name => path (address), or path (address) for the loader itself


@dataclass(frozen=True, slots=True, kw_only=True)
class MsgAuth:
    """The judge, in its own root directory."""

    root: Path

    def judge(self, contents: Iterable[bytes]) -> list[list[str]]:
        """What it says of each message: a line a signature, "Valid signature for ..." where all is well."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._judge, contents))

    def _judge(self, content: bytes) -> list[str]:
        command = [find("chroot", "coreutils"), str(self.root), "/dkim-verify"]
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=_SECONDS, check=False, env={"GODEBUG": "netdns=go"}
        )
        # its log lines begin with date and time
        return [re.sub(r"^[\d/]+ [\d:]+ ", "", line) for line in (done.stdout + done.stderr).decode().splitlines()]


def msgauth(root: Path, nameserver: str) -> MsgAuth:
    """Furnish the root directory."""
    need_root("dkim-verify gets its own /etc/resolv.conf by chroot")
    program = find("dkim-verify", "go-msgauth")
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    for library in _LIBRARY.findall(needed.stdout):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "resolv.conf").write_text(f"nameserver {nameserver}\n")
    shutil.copy(program, root / "dkim-verify")
    return MsgAuth(root=root)
