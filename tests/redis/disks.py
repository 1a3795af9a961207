"""Disks that misbehave: one that is full, one whose fsync is slow, one that loses what was never fsynced."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.redis.servers import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDisk:
    """Preloaded into servers that run with `environment`."""

    library: Path
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "SLOWSYNC": str(self.directory)}

    @contextmanager
    def stalled(self, seconds: float = 3600.0) -> Iterator[None]:
        """Each fsync that begins in this block takes so long, or until the block ends."""
        delay = self.directory / "delay"
        delay.write_text(f"{seconds}\n")
        try:
            yield
        finally:
            delay.unlink()


def build_slow_disk(directory: Path) -> SlowDisk:
    """Compile it; CalledProcessError where there is no compiler."""
    library = directory / "slowsync.so"
    source = Path(__file__).with_name("slowsync.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(source), "-ldl"], check=True)
    return SlowDisk(library=library, directory=directory)


def lose_power(server: Server) -> int:
    """After a kill: take from the append-only file what was never fsynced; gives how many octets that were."""
    log = server.aof
    ledger = log.with_name(log.name + ".synced")
    kept = int(ledger.read_text()) if ledger.exists() else 0
    lost = log.stat().st_size - kept
    with log.open("r+b") as file:
        file.truncate(kept)
    return lost


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, so small; needs root."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "penstock-test", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def enlarge(directory: Path, megabytes: int) -> None:
    """Space on a small disk."""
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(directory)], check=True)
