"""All figures of a run as one JSON document, beside the conditions they were taken under."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from sender.settings.sections import Journal
from tests.bench.figures import Row
from tests.bench.rig import EMBEDDED_FSYNC
from workers.embedded import find_server

_PACKAGES = ("penstock", "trio", "cryptography", "redis", "hiredis", "msgspec", "dkimpy")
# Programs of others, and how each says its version.
_PROGRAMS: Mapping[str, Sequence[str]] = {
    "node": ("node", "--version"),
    "postfix": ("postconf", "-d", "-h", "mail_version"),
    "opendkim": ("opendkim", "-V"),
    "openssl": ("openssl", "version"),
}
_SYSTEM_PATHS = "/usr/sbin:/sbin"


def document(benches: Mapping[str, Sequence[Row]], rounds: int) -> bytes:
    """The report; a bench's rows have their medians beside what each round came to."""
    found = {"conditions": conditions(rounds), "benches": {name: [_row(row) for row in rows] for name, rows in benches.items()}}
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"


def _row(row: Row) -> dict[str, Any]:
    names = {name: None for figures in row.rounds for name in figures}
    return {
        "who": row.who,
        "case": row.case,
        "missing": row.missing,
        "medians": {name: row.median(name) for name in names},
        "rounds": row.rounds,
    }


def conditions(rounds: int) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "programs": {name: _said(command) for name, command in _PROGRAMS.items()}
        | {"store": _said([str(find_server()), "-v"])},
        "appendfsync": f"{EMBEDDED_FSYNC}, unless the case says otherwise",
        "journal_fsync": Journal().fsync,
        "file_system": _file_system(Path(tempfile.gettempdir())),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _said(command: Sequence[str]) -> str:
    """The first line that a program says of its version; "" where there is no such program."""
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATHS}")
    if program is None:
        return ""
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return next(iter((done.stdout + done.stderr).splitlines()), "").strip()


def _file_system(path: Path) -> str:
    """The type of what the queues of a run are written to."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(len(Path(place).parts), kind) for _, place, kind, *_ in mounts if path.resolve().is_relative_to(place)]
    return max(holding)[1]  # of the innermost; "/" is always there
