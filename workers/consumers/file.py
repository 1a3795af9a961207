"""Events as JSON lines in a file: synced before they are acknowledged, rotated by size and time, mended after a crash.

The directory is looked at with every portion: whoever renames or removes the file meanwhile finds a new one there. A full file
is renamed once, to the next number, and not touched again until it is too old to be kept.
"""

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from sender.queue.groups import Reading
from workers.consumers.sink import Outcome, Portion, SinkError, together

MIB = 1024 * 1024
_BLOCK = 64 * 1024
_MODE = 0o640
_FD_NONE = -1


@dataclass(slots=True, kw_only=True)
class FileSink:
    """One file in `directory`, and the full ones before it."""

    directory: Path
    name: str
    rotate_octets: int
    rotate_every_s: float  # 0: by size alone
    keep_files: int
    clock: Callable[[], float]
    ways: int = 1
    events: int = 500
    retry_most_s: float = 30.0
    _fd: int = _FD_NONE
    _size: int = 0
    _written: float = 0.0  # when something was last written, Unix seconds

    def portions(self, readings: Sequence[Reading]) -> Iterator[Portion]:
        """All at once: a sync costs the same for one event and for a thousand."""
        if (portion := together(readings)).lines:
            yield portion

    async def take(self, portion: Portion) -> Outcome:
        """The events are on the disk; SinkError where they may not be."""
        octets = b"".join(line + b"\n" for line in portion.lines)
        try:
            await trio.to_thread.run_sync(self._append, octets, self.clock())
        except OSError as error:
            self._close()  # what is left of it is mended when it is opened again
            raise SinkError(f"{self._path}: {error.strerror or error}") from error
        return "done"

    async def aclose(self) -> None:
        self._close()
        await trio.lowlevel.checkpoint()

    def set_aside(self) -> list[Path]:
        """All that is kept as full files, oldest first: the one being written becomes the last of them.

        None is begun: whoever asks may be another user than the consumer. BlockingIOError where another process writes it at
        this moment.
        """
        if self._path.exists():
            try:
                self._open()
                if self._size:
                    self._put_by()
            finally:
                self._close()
        return [path for _, path in self._full()] if self.directory.is_dir() else []

    def files(self) -> list[Path]:
        """All that is kept, oldest first, the one being written last; nothing is moved. OSError where we may not look."""
        if not self.directory.exists():
            return []
        return [*(path for _, path in self._full()), *([self._path] if self._path.exists() else [])]

    @property
    def _path(self) -> Path:
        return self.directory / f"{self.name}.jsonl"

    def _append(self, octets: bytes, now: float) -> None:
        if self._fd != _FD_NONE and not self._is_current():
            self._close()
        if self._fd == _FD_NONE:
            self._open()
        if self._size and (self._size + len(octets) > self.rotate_octets or self._is_another_span(now)):
            self._rotate()
        left = memoryview(octets)
        while left:
            left = left[os.write(self._fd, left) :]
        os.fsync(self._fd)
        self._size, self._written = self._size + len(octets), now

    def _open(self) -> None:
        """Open or make the file; BlockingIOError where another process writes it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(errno.EAGAIN, "another process writes it") from None
        if not self._is_current():  # renamed before it was locked: whoever did so may remove it
            raise BlockingIOError(errno.EAGAIN, "another process has just moved it")
        self._size, self._written = _mended(self._fd), os.fstat(self._fd).st_mtime
        _sync_directory(self.directory)

    def _is_current(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def _is_another_span(self, now: float) -> bool:
        return bool(self.rotate_every_s) and now // self.rotate_every_s != self._written // self.rotate_every_s

    def _rotate(self) -> None:
        self._put_by()
        self._close()
        self._open()
        full = self._full()
        for _, path in full[: max(0, len(full) - self.keep_files)]:
            path.unlink(missing_ok=True)

    def _put_by(self) -> None:
        """The file is full: it is renamed to the next number."""
        full = self._full()
        number = full[-1][0] + 1 if full else 1
        self._path.rename(self.directory / f"{self.name}-{number:06}.jsonl")

    def _full(self) -> list[tuple[int, Path]]:
        """The full files by their numbers, oldest first."""
        form = re.compile(rf"{re.escape(self.name)}-(\d{{6,}})\.jsonl")
        found = [(form.fullmatch(path.name), path) for path in self.directory.iterdir()]
        return sorted((int(match[1]), path) for match, path in found if match)

    def _close(self) -> None:
        if self._fd != _FD_NONE:
            os.close(self._fd)
        self._fd = _FD_NONE


def _mended(fd: int) -> int:
    """Remove a last line that was cut short: it was never acknowledged, and comes again. Gives the file's length."""
    end = size = os.fstat(fd).st_size
    while end:
        start = max(0, end - _BLOCK)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(fd, end)
    return end


def _sync_directory(directory: Path) -> None:
    """A new name in it outlives a loss of power."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
