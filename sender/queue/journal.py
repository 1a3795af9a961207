"""An owner's journal: whose end of data goes out, and what came of it, on disk before anybody acts on it.

What a killed process knew and the store did not is read from here by whoever comes after (`sender.recovery`), so that no
message whose reply had been read is sent again, and one whose reply had not is counted as in doubt.

1. `begin` makes the owner's directory and keeps a lock on it: while it is held, the owner lives.
2. `intent` and the outcomes append one record each. A record is one write: it outlives the process from then on. What must
   outlive the host as well is up to `fsync`.
3. `settled` says what the store has taken. A file in which nothing is left open goes; a new one begins every 8 MiB.
4. Where a write fails, `healthy` is False until a new file can be begun: nothing may be leased or ended meanwhile.
5. `close` removes what nobody needs, and leaves the rest to be recovered.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

import trio

from sender.model import Mark, State
from sender.queue.base import Again, Settlement
from sender.queue.journal_record import BACK, ENDED, FILLER, INTENT, UNTRIED, Key, encode, header
from sender.queue.suppressions import Suppression

Fsync: TypeAlias = Literal["never", "second", "always"]

SEGMENT_OCTETS = 8 * 1024 * 1024
SEGMENTS_KEPT = 4  # a reply may take ten minutes: what older files still wait for is written anew
_LOOK_S = 1.0  # between two rounds of upkeep
_ROOM = bytes(16_384)  # a file is begun only where there is room for some records too
_KEYS_AT_ONCE = 1000
_TRIES = 10  # at a directory of its own: recovery looks once a second, so that a second try is rare


class _Segment:
    """One file, and whom it is still needed for."""

    __slots__ = ("dirty", "fd", "intents", "name", "outcomes", "size")

    def __init__(self, name: str, directory: int, beginning: bytes) -> None:
        self.name, self.size, self.dirty = name, len(beginning), True
        self.intents: set[Key] = set()  # without an outcome
        self.outcomes: set[Key] = set()  # not settled
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self.fd = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            _write(self.fd, beginning)
        except OSError:
            os.close(self.fd)
            os.unlink(name, dir_fd=directory)
            raise

    def __repr__(self) -> str:
        return f"<_Segment {self.name}: {self.size} octets, {len(self.intents)} intents, {len(self.outcomes)} outcomes>"

    @property
    def needed(self) -> bool:
        return bool(self.intents or self.outcomes)


class Journal:
    """The journal of one process, under one owner's name at a time. Not thread-safe."""

    def __init__(
        self, directory: Path, fsync: Fsync = "second", *, on_trouble: Callable[[str], None] = lambda text: None
    ) -> None:
        """`directory` is that of all journals of the host, mode 0700; each owner has one of its own in it."""
        self._directory, self._fsync, self._on_trouble = directory, fsync, on_trouble
        self._always = fsync == "always"
        self._owner = ""
        self._lock: int | None = None  # the owner's directory, open and locked
        self._segments: list[_Segment] = []
        self._current: _Segment | None = None  # the last of them, while it can be written
        self._number = 0

    @property
    def healthy(self) -> bool:
        return self._current is not None

    @property
    def home(self) -> Path:
        """The owner's directory."""
        return self._directory / quote(self._owner, safe="")

    def begin(self, owner: str) -> None:
        if self._owner:
            self.close()
        self._owner = owner
        self._next_segment()

    def intent(self, keys: Sequence[Key]) -> bool:
        segment = self._append((INTENT, keys))
        if segment is None:
            return False
        segment.intents.update(keys)
        return True

    def ended(
        self,
        key: Key,
        state: State,
        event: bytes,
        *,
        at: float,
        why: str = "",
        refused: Suppression | None = None,
        mark: Mark | None = None,
    ) -> None:
        self._outcome(key, (ENDED, key, state, event, at, why, refused, mark or ""))

    def back(self, key: Key, again: Again, event: bytes, *, mark: Mark | None = None) -> None:
        envelope = again.envelope
        counts = envelope.attempts, envelope.doubts, envelope.tried_at
        self._outcome(key, (BACK, key, again.due, *counts, event, again.source, mark or ""))

    def untried(self, key: Key) -> None:
        for segment in self._segments:
            if key in segment.intents and self._append((UNTRIED, key)) is not None:
                segment.intents.discard(key)
                return

    def settled(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            lease = settlement.lease
            keys = [(lease, position) for position, _ in settlement.final]
            keys += [(lease, again.position) for again in settlement.again]
            for segment in self._segments:
                segment.outcomes.difference_update(keys)
                segment.intents.difference_update(keys)

    async def run(self) -> None:
        """About once a second: what is settled goes, a disk that was full is tried again, and what is written is synced."""
        while True:
            await trio.sleep(_LOOK_S)
            if self._owner:
                self._look_after()
                if self._fsync == "second":
                    await self._sync()

    def close(self) -> None:
        """Remove what nobody needs; where something is left open, its files stay, for `sender.recovery`."""
        self._current = None
        self._tidy()
        if self._lock is not None and not self._segments:
            with suppress(OSError):  # somebody put something there: recovery tells of it
                self.home.rmdir()
        self._let_go()

    def _let_go(self) -> None:
        """Close all that is open, the lock with it."""
        for segment in self._segments:
            os.close(segment.fd)
        self._segments, self._current = [], None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _outcome(self, key: Key, record: tuple[object, ...]) -> None:
        segment = self._append(record)
        if segment is not None:  # else the store alone hears of it, and if we die before, it counts as in doubt
            for one in self._segments:
                one.intents.discard(key)
            segment.outcomes.add(key)

    def _append(self, record: tuple[object, ...]) -> _Segment | None:
        """Write a record; None where it could not be written."""
        segment = self._current
        if segment is not None and segment.size >= SEGMENT_OCTETS:
            segment = self._next_segment()
        if segment is None:
            return None
        octets = encode(record)
        try:
            _write(segment.fd, octets)
            if self._always:
                os.fdatasync(segment.fd)
        except OSError as error:
            self._fail(error)
            return None
        segment.size += len(octets)
        segment.dirty = True
        return segment

    def _next_segment(self) -> _Segment | None:
        self._current = None
        try:
            if self._lock is None:
                self._lock = _locked(self.home)
            self._number += 1
            beginning = header(self._owner) + encode((FILLER, _ROOM))
            self._current = _Segment(f"{self._number:08}", self._lock, beginning)
            if self._always:
                os.fsync(self._lock)
        except OSError as error:
            self._fail(error)
        else:
            self._segments.append(self._current)
        return self._current

    def _fail(self, error: OSError) -> None:
        """What follows a write that failed could not be read: only a new file can be trusted."""
        self._current = None
        why = error.strerror or str(error)
        self._on_trouble(f"journal {self.home}: {why}: nothing is sent until it can be written again")

    def _look_after(self) -> None:
        if self._lock is not None and os.fstat(self._lock).st_nlink == 0:  # removed under us: what is written goes nowhere
            self._let_go()
        self._tidy()
        if self._current is None:
            self._next_segment()

    def _tidy(self) -> None:
        """Remove the files that nobody needs."""
        for segment in tuple(self._segments):
            if segment is self._current:
                continue
            if len(self._segments) > SEGMENTS_KEPT and not segment.outcomes:
                self._carry_over(segment)
            if not segment.needed:
                self._segments.remove(segment)
                os.close(segment.fd)
                with suppress(OSError):  # one that stays is harmless: all in it is settled
                    os.unlink(segment.name, dir_fd=self._lock)

    def _carry_over(self, old: _Segment) -> None:
        """Write the intents that wait for their replies into the file in use."""
        keys = list(old.intents)
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            if not self.intent(some):
                return
            old.intents.difference_update(some)

    async def _sync(self) -> None:
        """Bring to the disk what was written, in a thread: a disk may take its time."""
        dirty = [segment for segment in self._segments if segment.dirty]
        if not dirty or self._lock is None:
            return
        for segment in dirty:
            segment.dirty = False
        copies = [os.dup(fd) for fd in (self._lock, *(segment.fd for segment in dirty))]
        try:
            await trio.to_thread.run_sync(_sync, copies, abandon_on_cancel=True)
        except OSError as error:
            self._fail(error)

    def __repr__(self) -> str:
        state = "healthy" if self.healthy else "can't be written"
        return f"<Journal of {self._owner or 'nobody'}: {len(self._segments)} files, {state}>"


def _write(fd: int, octets: bytes) -> None:
    """All of it at once; a part means that the disk is full."""
    if os.write(fd, octets) != len(octets):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _locked(home: Path) -> int:
    """The directory, made where there is none, open and locked: OSError where another process has it.

    While it is empty and not locked yet, it looks to whoever recovers journals like one to be removed: then it is made again.
    """
    for _ in range(_TRIES):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                raise
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(home))


def _sync(fds: Sequence[int]) -> None:
    try:
        for fd in fds:
            os.fsync(fd)
    finally:
        for fd in fds:
            os.close(fd)
