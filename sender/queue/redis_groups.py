"""The Redis backend's groups of readers: a consumer group of each events stream, and beside it who reads."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sender.queue.client import Command
from sender.queue.group_standing import OURS, OnStream, on_stream, together
from sender.queue.groups import Entry, Failure, GroupStanding, Lag, Reading, Start, Wish
from sender.queue.keys import Partition
from sender.queue.redis_part import EVENT_ENTRIES, RedisPart

_COUNTED = 20  # entries of each group and stream whose events are counted: each may hold some hundreds
_FROM = {Start.BEGINNING: "0", Start.NOW: "$"}


class RedisGroups(RedisPart):
    """See `sender.queue.groups.Groups`."""

    async def open_group(self, group: str, start: Start) -> int:
        partitions = self._layout.partitions
        await self._client.run([self._script("open_group", _keys(part), group, _FROM[start]) for part in partitions])
        return len(partitions)

    async def read_group(self, group: str, reader: str, wishes: Sequence[Wish]) -> Sequence[Reading]:
        answers = await self._client.run([self._wished(group, reader, wish) for wish in wishes])
        return [_reading(wish.stream, *answer) for wish, answer in zip(wishes, answers, strict=True)]

    def _wished(self, group: str, reader: str, wish: Wish) -> Command:
        keys = _keys(self._layout.partitions[wish.stream])
        return self._script("read_events", keys, group, reader, wish.entries, wish.stands_still)

    async def acknowledge(self, group: str, reader: str, entries: Mapping[int, Sequence[str]]) -> int:
        told = {self._layout.partitions[stream]: ids for stream, ids in entries.items() if ids}
        commands = [self._script("acknowledge", _keys(part), group, reader, *ids) for part, ids in told.items()]
        return sum(await self._client.run(commands))

    async def let_go(self, group: str, reader: str) -> None:
        partitions = self._layout.partitions
        await self._client.run([self._script("let_go", (part.key("readers"),), group, reader) for part in partitions])

    async def lag(self, groups: Sequence[str], now: float) -> Mapping[str, Lag]:
        found: dict[str, Lag] = {}
        for parts in (await self._standings(0, [OURS + group for group in groups])).values() if groups else ():
            standing = together(parts, now)
            found[standing.name] = Lag(entries=standing.entries or 0, oldest_s=standing.oldest_s)
        return found

    async def groups(self, now: float) -> Sequence[GroupStanding]:
        found = await self._standings(_COUNTED)
        return [together(found[name], now) for name in sorted(found)]

    async def _standings(self, counted: int, names: Sequence[str] = ()) -> Mapping[str, Sequence[OnStream]]:
        """By group what each stream says of it."""
        partitions = self._layout.partitions
        answers = await self._client.run([self._script("groups", _keys(part), counted, *names) for part in partitions])
        found = defaultdict[str, list[OnStream]](list)
        for answer in answers:
            for group in answer:
                part = on_stream(*group)
                found[part.name].append(part)
        return found

    async def note_failure(self, group: str, failure: Failure) -> None:
        keys = (self._layout.home(group).key("readers"),)
        await self._client.run([self._script("note_failure", keys, group, failure.at, failure.why)])

    async def ends(self) -> Mapping[int, str]:
        partitions = self._layout.partitions
        newest = await self._client.run([("XREVRANGE", part.key("events"), "+", "-", "COUNT", 1) for part in partitions])
        return {stream: found[0][0].decode() if found else "0-0" for stream, found in enumerate(newest)}

    async def peek(self, after: Mapping[int, str], entries: int) -> Sequence[Reading]:
        asked = [(self._layout.partitions[stream].key("events"), last) for stream, last in after.items()]
        answers = await self._client.run([("XRANGE", key, f"({last}", "+", "COUNT", entries) for key, last in asked])
        return [
            Reading(stream=stream, entries=tuple(_entry(name, fields[fields.index(b"lines") + 1]) for name, fields in found))
            for stream, found in zip(after, answers, strict=True)
        ]

    async def tell(self, subject: str, events: Sequence[bytes]) -> None:
        if events:
            keys = (self._layout.home(subject).key("events"),)
            await self._client.run([self._script("tell", keys, b"\n".join(events), EVENT_ENTRIES)])

    async def forget_events(self, before: float) -> int:
        oldest = max(0, int(before * 1000))
        partitions = self._layout.partitions
        return sum(await self._client.run([("XTRIM", part.key("events"), "MINID", oldest) for part in partitions]))


def _keys(partition: Partition) -> tuple[str, str]:
    return partition.key("events"), partition.key("readers")


def _reading(stream: int, beat: bytes, lost: int = 0, *given: bytes) -> Reading:
    entries = tuple(map(_entry, given[::2], given[1::2]))
    return Reading(stream=stream, entries=entries, lost=lost, beat=beat.decode())


def _entry(name: bytes, lines: bytes) -> Entry:
    return Entry(id=name.decode(), lines=tuple(lines.split(b"\n")))
