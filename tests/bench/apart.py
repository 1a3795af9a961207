"""One measurement from the near end of a link, by a process of its own that is started inside the namespace.

All that a sender needs beside itself (its name server, its store, what feeds it) is at the near end with it, and only the
receiving side at the far one. `python -m tests.bench.apart REQUEST RESULT` reads and writes files of JSON.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from tests.bench.peers.lineup import CONTENDERS
from tests.bench.rig import Case, Spent

_PROBES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who is measured, from which folder, and at what."""

    contender: str
    home: str
    case: Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What it spent, and how long a round trip took just before."""

    spent: Spent
    round_trip_ms: float


def measured_apart(near: Sequence[str], request: Request) -> Result:
    """What a process at the near end finds; RuntimeError with its last words where it fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        asked, answered = Path(folder) / "request.json", Path(folder) / "result.json"
        asked.write_bytes(msgspec.json.encode(request))
        command = [*near, sys.executable, "-m", "tests.bench.apart", str(asked), str(answered)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"{request.contender}, {request.case}: {done.stderr.strip()[-2000:]}")
        return msgspec.json.decode(answered.read_bytes(), type=Result)


def _round_trip_ms(case: Case) -> float:
    """How long it takes to be refused a connection."""
    took = []
    for _ in range(_PROBES):
        with socket.socket() as probe:
            began = time.monotonic()
            probe.connect_ex((case.place.sink, case.place.port))  # nobody listens there yet
            took.append(time.monotonic() - began)
    return median(took) * 1000


def main(asked: Path, answered: Path) -> None:
    request = msgspec.json.decode(asked.read_bytes(), type=Request)
    contender = next(one for one in CONTENDERS if one.name == request.contender)
    round_trip_ms = _round_trip_ms(request.case)
    result = Result(spent=contender.measure(request.case, Path(request.home)), round_trip_ms=round_trip_ms)
    answered.write_bytes(msgspec.json.encode(result))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
