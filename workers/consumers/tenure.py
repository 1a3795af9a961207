"""Which streams of a group are ours to read, and for how long: see `sender.queue.groups`.

A stream that nobody holds is ours with the first beat. Those of others we watch: only how long a beat has stood still by our
own clock counts, and only while we looked often, as with owners (`sender.watch`). We in turn do nothing more with what we were
given once no beat of ours was answered for `FENCED_AFTER_S`: somebody may have taken it over.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from sender.errors import BackendError
from sender.queue.base import Queue
from sender.queue.groups import Reading, Start, Wish
from sender.queue.owners import FENCED_AFTER_S, OWNER_LIFE_S

_HELD_UP_S = 5.0  # a look so long after the one before begins the patience anew


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    beat: str
    since: float  # when it was first seen at this number, trio's clock


class Tenure:
    """One reader's place in a group."""

    def __init__(self, queue: Queue, group: str, reader: str, start: Start) -> None:
        """`reader` is "host/anything unique"."""
        self._queue, self._group, self._reader, self._start = queue, group, reader, start
        self._streams: range | None = None  # None: the group may have to be opened
        self._held: set[int] = set()
        self._others: dict[int, _Seen] = {}
        self._looked = float("-inf")
        self._terms: set[trio.CancelScope] = set()

    async def open(self) -> int:
        """Begin the group where it is not there yet; gives how many streams there are."""
        self._streams = range(await self._queue.open_group(self._group, self._start))
        return len(self._streams)

    async def beat(self) -> None:
        """Show that we live, and take what nobody holds any more. Call it every `BEAT_S`."""
        began = trio.current_time()
        try:
            streams = range(await self.open()) if self._streams is None else self._streams
            wishes = [Wish(stream=stream, entries=0, stands_still=self._still(stream, began)) for stream in streams]
            readings = await self._queue.read_group(self._group, self._reader, wishes)
        except BackendError:
            self._streams, self._others = None, {}
            raise
        if began - self._looked > _HELD_UP_S:
            self._others = {}
        self._looked = began
        for reading in readings:
            self._note(reading, began)
        for term in self._terms:
            term.deadline = began + FENCED_AFTER_S

    async def read(self, entries: Mapping[int, int]) -> Sequence[Reading]:
        """The next entries of those streams that are ours, at most so many of each."""
        wishes = [Wish(stream=stream, entries=most) for stream, most in entries.items() if stream in self._held]
        began = trio.current_time()
        try:
            readings = await self._queue.read_group(self._group, self._reader, wishes) if wishes else []
        except BackendError:
            self._streams = None  # a beat alone does not see that the group is gone
            raise
        for reading in readings:
            self._note(reading, began)
        return [reading for reading in readings if not reading.beat]

    @contextmanager
    def term(self, streams: Sequence[int]) -> Iterator[None]:
        """Something is done with what was read: it is cancelled, and BackendError, where that may be another's by now."""
        if not self._held.issuperset(streams):
            raise BackendError(f"consumer {self._group}: another reader has its streams")
        with trio.CancelScope(deadline=self._looked + FENCED_AFTER_S) as scope:
            self._terms.add(scope)
            try:
                yield
            finally:
                self._terms.discard(scope)
        if scope.cancelled_caught:
            raise BackendError(f"consumer {self._group}: another reader may have its streams by now")

    async def acknowledge(self, entries: Mapping[int, Sequence[str]]) -> None:
        await self._queue.acknowledge(self._group, self._reader, entries)

    async def let_go(self) -> None:
        """End in order: whoever comes next finds the streams free."""
        self._held.clear()
        await self._queue.let_go(self._group, self._reader)

    def _still(self, stream: int, now: float) -> str:
        """The beat of another reader that has stood still for a whole life, or ""."""
        seen = self._others.get(stream)
        looked_often = now - self._looked <= _HELD_UP_S
        return seen.beat if seen is not None and looked_often and now - seen.since > OWNER_LIFE_S else ""

    def _note(self, reading: Reading, now: float) -> None:
        if not reading.beat:
            self._held.add(reading.stream)
            self._others.pop(reading.stream, None)
            return
        if reading.stream in self._held:  # we stood still for so long that it was taken from us
            self._held.discard(reading.stream)
            for term in self._terms:
                term.cancel()
        seen = self._others.get(reading.stream)
        if seen is None or seen.beat != reading.beat:
            self._others[reading.stream] = _Seen(beat=reading.beat, since=now)

    def __repr__(self) -> str:
        return f"<Tenure of {self._group}: {len(self._held)} streams are {self._reader}'s>"
