"""The Redis backend's parked envelopes: `P doubts:<campaign>` in the partition of their route, filled by settle.lua."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from sender.model import Envelope, Route
from sender.queue.client import Command
from sender.queue.doubts import Doubt, Parked, by_campaign, forgiven
from sender.queue.fates import NONE
from sender.queue.keys import ENDED, FINISHED, KNOWN, Partition
from sender.queue.pack import decode, encode, runs
from sender.queue.redis_part import RedisPart

_ROUNDS = 10  # of reading and sending again, while others do the same
_AT_ONCE = 1000  # envelopes in one round


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """A parked envelope as the store has it."""

    at: float
    why: str
    pool: str
    receiver: str
    pack: bytes

    def doubt(self) -> Doubt:
        (envelope,) = decode(self.pack)
        return Doubt(envelope=envelope, pool=self.pool, receiver=self.receiver, at=self.at, why=self.why)


class _Place(NamedTuple):
    """Where a walk through all that is parked stands."""

    partition: int
    campaign: str
    cursor: int = 0  # HSCAN's

    @classmethod
    def read(cls, text: str) -> "_Place":
        partition, campaign, cursor = text.split(",")
        return cls(int(partition), campaign, int(cursor))

    def __str__(self) -> str:
        return f"{self.partition},{self.campaign},{self.cursor}"


def encode_doubt(parked: Parked, route: Route) -> bytes:
    """A parked envelope as the store keeps it."""
    kept = _Kept(parked.at, parked.why, route.pool, route.receiver, encode([parked.envelope]))
    return msgspec.msgpack.encode(kept)


class RedisDoubts(RedisPart):
    """See `sender.queue.doubts.Doubts`."""

    async def doubts(self, campaign: str = "", after: str = "", limit: int = 1000) -> tuple[str, Sequence[Doubt]]:
        """A little more than `limit` may come: a step of a scan is given whole, and twice only if the store regroups it."""
        places = await self._parked_at(campaign, after)
        found: dict[str, Doubt] = {}
        while places and len(found) < limit:
            place = places[0]
            key = self._layout.partitions[place.partition].doubts(place.campaign)[0]
            ((cursor, pairs),) = await self._client.run([("HSCAN", key, place.cursor, "COUNT", limit)])
            found |= {doubt.envelope.id: doubt for doubt in _readable(pairs[1::2])}
            places = places[1:] if int(cursor) == 0 else [place._replace(cursor=int(cursor)), *places[1:]]
        return str(places[0]) if places else "", list(found.values())

    async def _parked_at(self, campaign: str, after: str) -> list[_Place]:
        """Where something is parked, from the cursor `after` on."""
        partitions = self._layout.partitions
        names = await self._client.run([("SMEMBERS", part.key("doubted")) for part in partitions])
        start = _Place.read(after) if after else _Place(0, "")
        there = [_Place(number, name.decode()) for number, some in enumerate(names) for name in sorted(some)]
        ahead = [place for place in there if place[:2] > start[:2] and campaign in ("", place.campaign)]
        return [start, *ahead] if start.campaign else ahead

    async def resend(self, envelopes: Sequence[str], now: float) -> int:
        sent = 0
        for campaign, ordinals in by_campaign(envelopes).items():
            for start in range(0, len(ordinals), _AT_ONCE):
                sent += await self._resend(campaign, ordinals[start : start + _AT_ONCE], now)
        return sent

    async def _resend(self, campaign: str, ordinals: Sequence[int], now: float) -> int:
        """Read, pack, put back in line: again where somebody else was faster with some of them."""
        sent = 0
        for _ in range(_ROUNDS):
            parked = await self._parked(campaign, ordinals)
            if not parked:
                break
            # First: a campaign that was finished is forgotten after a while, whatever it has got since.
            await self._client.run([self._script("reopen", (ENDED, FINISHED, KNOWN), campaign, now)])
            groups = {part: list(_groups(some, now)) for part, some in parked.items()}
            answers = await self._client.run([self._put_back(part, campaign, some) for part, some in groups.items()])
            again = [
                envelope.ordinal
                for some, partly in zip(groups.values(), answers, strict=True)
                for number, (_, envelopes) in enumerate(some)
                if number not in partly
                for envelope in envelopes
            ]
            await self._client.run(list(self._note(campaign, ((ordinal, NONE) for ordinal in again))))
            sent += len(again)
        return sent

    async def _parked(self, campaign: str, ordinals: Sequence[int]) -> Mapping[Partition, list[Doubt]]:
        """Those that are parked, where they are: an ordinal does not say its route."""
        partitions = self._layout.partitions
        answers = await self._client.run([("HMGET", part.doubts(campaign)[0], *ordinals) for part in partitions])
        read = zip(partitions, (list(_readable(some)) for some in answers), strict=True)
        return {partition: some for partition, some in read if some}

    def _put_back(self, partition: Partition, campaign: str, groups: Sequence[tuple[Route, Sequence[Envelope]]]) -> Command:
        told = [(str(route), [envelope.ordinal for envelope in some]) for route, some in groups]
        packs = [encode(some) for _, some in groups]
        keys = partition.doubts(campaign)
        return self._script("resend", keys, partition.prefix, campaign, msgspec.msgpack.encode(told), *packs)

    async def drop_doubts(self, envelopes: Sequence[str]) -> int:
        dropped = 0
        for campaign, ordinals in by_campaign(envelopes).items():
            dropped += await self._drop(campaign, ordinals)
        return dropped

    async def _drop(self, campaign: str, ordinals: Sequence[int]) -> int:
        """Forget these of a campaign, or all where none are named."""
        parts = self._layout.partitions
        counts = await self._client.run(
            [self._script("drop_doubts", part.doubts(campaign), campaign, *ordinals) for part in parts]
        )
        return sum(counts)


def _readable(octets: Sequence[bytes | None]) -> Iterator[Doubt]:
    """What can be read; the rest stays where it is, and UNKNOWN."""
    for one in octets:
        if one is not None:
            try:
                yield msgspec.msgpack.decode(one, type=_Kept).doubt()
            except (msgspec.DecodeError, ValueError):
                continue


def _groups(doubts: Sequence[Doubt], now: float) -> Iterator[tuple[Route, Sequence[Envelope]]]:
    """Envelopes of one route, as many as a pack holds, as they are sent again."""
    by_route: dict[Route, list[Envelope]] = defaultdict(list)
    for doubt in sorted(doubts, key=lambda doubt: doubt.envelope.ordinal):
        by_route[Route(pool=doubt.pool, receiver=doubt.receiver)].append(forgiven(doubt.envelope, now))
    for route, some in by_route.items():
        for run in runs(some):
            yield route, run
