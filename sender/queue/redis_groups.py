"""The Redis backend's groups of readers: a consumer group of each events stream, and beside it who reads."""

from collections.abc import Mapping, Sequence

from sender.queue.client import Command
from sender.queue.groups import Entry, Lag, Reading, Start, Wish
from sender.queue.keys import Partition
from sender.queue.redis_part import RedisPart

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
        answers = await self._client.run([self._script("group_lag", _keys(part), *groups) for part in self._layout.partitions])
        found: dict[str, Lag] = {}
        for answer in answers:
            for group, told in zip(groups, answer, strict=False):  # a stream that is not there has no answer
                if told:
                    entries, oldest, lost = told
                    before, age_s = found.get(group, Lag()), max(0.0, now - int(oldest) / 1000) if oldest else 0.0
                    found[group] = Lag(
                        entries=before.entries + entries, oldest_s=max(before.oldest_s, age_s), lost=before.lost + lost
                    )
        return found

    async def forget_events(self, before: float) -> int:
        oldest = max(0, int(before * 1000))
        partitions = self._layout.partitions
        return sum(await self._client.run([("XTRIM", part.key("events"), "MINID", oldest) for part in partitions]))


def _keys(partition: Partition) -> tuple[str, str]:
    return partition.key("events"), partition.key("readers")


def _reading(stream: int, beat: bytes, lost: int = 0, *given: bytes) -> Reading:
    entries = tuple(
        Entry(id=name.decode(), lines=tuple(lines.split(b"\n"))) for name, lines in zip(given[::2], given[1::2], strict=True)
    )
    return Reading(stream=stream, entries=entries, lost=lost, beat=beat.decode())
