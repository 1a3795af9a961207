"""What processes have spent, by the kernel's own account: processor seconds and peak memory out of /proc.

A process is counted with all it has started: those that live by their own account, those that have ended by their parent's.
"""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sender.content.key import PrivateKey, generate
from sender.content.rotation import Algorithm

_TICKS = os.sysconf("SC_CLK_TCK")
_SIGNATURES = 1_000


def cpu_s(pid: int) -> float:
    """Seconds of CPU so far of a process and all that it has started; of one that waits to be reaped, too."""
    return _own_s(pid) + sum(cpu_s(child) for child in children(pid))


def _own_s(pid: int) -> float:
    """Of the process itself and of what it has reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended since it was listed, and its parent has the account
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def children(pid: int) -> Iterator[int]:
    """The processes that this one has started and not reaped."""
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from (int(word) for word in file.read_text().split())
        except OSError:  # a thread that has just ended
            continue


def cpu_by_role(fleet_pid: int, sink_pid: int) -> dict[str, float]:
    """Seconds of CPU so far: of every process of the fleet by its role, of its store, and of the receiving side."""
    spent: dict[str, float] = defaultdict(float, {"supervisor": _own_s(fleet_pid), "sink": cpu_s(sink_pid)})
    for pid in children(fleet_pid):
        spent[_role(pid)[0]] += cpu_s(pid)
    return spent


def peak_by_process(fleet_pid: int) -> dict[str, float]:
    """Peak resident memory in MB of each process of the fleet: "delivery 0", "store" ... Pages they share count in each."""
    peaks = {"supervisor": peak_mb(fleet_pid)}
    for pid in children(fleet_pid):
        role, index = _role(pid)
        peaks[f"{role} {index}".strip()] = peak_mb(pid)
    return peaks


def _role(pid: int) -> tuple[str, str]:
    """The role of a process of a fleet and its number there; the only one that is none of ours is the store."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    if "run" not in words:
        return "store", ""
    return words[words.index("run") + 1], words[words.index("--index") + 1]


def peak_mb(pid: int) -> float:
    """The most memory that was resident at once."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def signature_us() -> float:
    """S: CPU of one RSA-2048 signature on this machine, now, with all processors signing: as busy as they are in a bench.

    One that works alone may be a fifth faster, which would make everything else look dear.
    """
    with tempfile.TemporaryDirectory() as directory:
        key = generate(Algorithm.RSA, Path(directory) / "key.pem")
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as threads:
        began = time.process_time()
        for done in [threads.submit(_sign_many, key) for _ in range(cores)]:
            done.result()
        return (time.process_time() - began) / (cores * _SIGNATURES) * 1e6


def _sign_many(key: PrivateKey) -> None:
    """The signatures themselves are made without the interpreter's lock."""
    digest = bytes(32)
    for _ in range(_SIGNATURES):
        key.sign(digest)
