"""The memory backend's groups of readers: one stream, and a place in it for each group."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from sender.errors import BackendError
from sender.queue.groups import Entry, Failure, GroupStanding, Lag, Reading, Start, Wish
from sender.queue.memory_part import MemoryPart, Told

_STREAM = 0


@dataclass(slots=True)
class MemoryGroup:
    passed: int  # of all entries that ever were: how many were given to it, or had gone
    under_way: list[int] = field(default_factory=list)  # their numbers
    reader: str = ""
    beat: int = 0
    failed: Failure | None = None

    @property
    def shown(self) -> str:
        return f"{self.beat} {self.reader}" if self.reader else ""


class MemoryGroups(MemoryPart):
    """See `sender.queue.groups.Groups`."""

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, MemoryGroup] = {}

    async def open_group(self, group: str, start: Start) -> int:
        await trio.lowlevel.checkpoint()
        passed = self._told - (len(self._events) if start is Start.BEGINNING else 0)
        self._groups.setdefault(group, MemoryGroup(passed=passed))
        return 1

    async def read_group(self, group: str, reader: str, wishes: Sequence[Wish]) -> Sequence[Reading]:
        await trio.lowlevel.checkpoint()
        if group not in self._groups and not any(wish.entries for wish in wishes):
            return [Reading(stream=wish.stream) for wish in wishes]
        return [self._read(self._group(group), reader, wish) for wish in wishes]

    def _read(self, group: MemoryGroup, reader: str, wish: Wish) -> Reading:
        if group.reader not in ("", reader) and group.shown != wish.stands_still:
            return Reading(stream=_STREAM, beat=group.shown)
        group.reader, group.beat = reader, group.beat + 1
        if not wish.entries:
            return Reading(stream=_STREAM)
        kept = {told.number: told for told in self._events}
        here = [number for number in group.under_way if number in kept]
        lost, group.under_way = len(group.under_way) - len(here), here
        if not here:
            gone = self._told - len(self._events)
            lost, group.passed = lost + max(0, gone - group.passed), max(gone, group.passed)
            here = [told.number for told in itertools.islice(self._events, group.passed - gone, None)][: wish.entries]
            group.under_way, group.passed = here, group.passed + len(here)
        entries = (Entry(id=str(number), lines=kept[number].events) for number in here[: wish.entries])
        return Reading(stream=_STREAM, entries=tuple(entries), lost=lost)

    async def acknowledge(self, group: str, reader: str, entries: Mapping[int, Sequence[str]]) -> int:
        await trio.lowlevel.checkpoint()
        place, done = self._group(group), {int(entry) for entry in entries.get(_STREAM, ())}
        if place.reader != reader or not done:
            return 0
        left = [number for number in place.under_way if number not in done]
        counted, place.under_way, place.beat = len(place.under_way) - len(left), left, place.beat + 1
        return counted

    async def let_go(self, group: str, reader: str) -> None:
        await trio.lowlevel.checkpoint()
        if (place := self._groups.get(group)) is not None and place.reader == reader:
            place.reader, place.beat = "", 0

    async def lag(self, groups: Sequence[str], now: float) -> Mapping[str, Lag]:
        await trio.lowlevel.checkpoint()
        return {name: self._lag(self._groups[name], now) for name in groups if name in self._groups}

    def _lag(self, group: MemoryGroup, now: float) -> Lag:
        left = self._left(group)
        gone = len(group.under_way) - sum(told.number <= group.passed for told in left)
        return Lag(entries=len(left) + gone, oldest_s=max(0.0, now - min((told.at for told in left), default=now)))

    def _left(self, group: MemoryGroup) -> Sequence[Told]:
        """What is kept of all that it has not acknowledged."""
        under_way = set(group.under_way)
        return [told for told in self._events if told.number > group.passed or told.number in under_way]

    async def groups(self, now: float) -> Sequence[GroupStanding]:
        await trio.lowlevel.checkpoint()
        return [self._standing(name, group, now) for name, group in sorted(self._groups.items())]

    def _standing(self, name: str, group: MemoryGroup, now: float) -> GroupStanding:
        left, lag = self._left(group), self._lag(group, now)
        return GroupStanding(
            name=name,
            ours=True,
            entries=lag.entries,
            events=sum(len(told.events) for told in left),
            under_way=len(group.under_way),
            oldest_s=lag.oldest_s,
            readers={group.reader: [str(group.beat)]} if group.reader else {},
            failed=group.failed,
        )

    async def note_failure(self, group: str, failure: Failure) -> None:
        await trio.lowlevel.checkpoint()
        self._group(group).failed = failure

    async def ends(self) -> Mapping[int, str]:
        await trio.lowlevel.checkpoint()
        return {_STREAM: str(self._told)}

    async def peek(self, after: Mapping[int, str], entries: int) -> Sequence[Reading]:
        await trio.lowlevel.checkpoint()
        behind = (told for told in self._events if told.number > int(after[_STREAM]))
        found = (Entry(id=str(told.number), lines=told.events) for told in itertools.islice(behind, entries))
        return [Reading(stream=_STREAM, entries=tuple(found))]

    async def tell(self, subject: str, events: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        self._tell(events, time.time())

    async def forget_events(self, before: float) -> int:
        await trio.lowlevel.checkpoint()
        dropped = 0
        while self._events and self._events[0].at < before:
            self._events.popleft()
            dropped += 1
        return dropped

    def _group(self, name: str) -> MemoryGroup:
        if (found := self._groups.get(name)) is None:
            raise BackendError(f"there is no group {name} of readers of events")
        return found
