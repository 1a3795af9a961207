"""The Redis backend's words on lanes: one hash for the whole store, a field for each name."""

from collections.abc import Sequence

import msgspec

from sender.queue.control import FOR_EVER
from sender.queue.keys import LANE_HOLDS
from sender.queue.lane_holds import LaneHold
from sender.queue.redis_part import RedisPart

_UNREADABLE = "its entry in the store can't be read by this version: resume it, and hold it again"


class _Word(msgspec.Struct, frozen=True):
    """A LaneHold as it is kept."""

    until: float | None  # None: for ever, which JSON can't say
    by: str
    at: float
    why: str


class RedisLaneHolds(RedisPart):
    """See `sender.queue.lane_holds.HoldsLanes`."""

    async def hold_lanes(self, holds: Sequence[LaneHold]) -> None:
        flat = [part for hold in holds for part in (hold.name, msgspec.json.encode(_word(hold)))]
        if flat:
            await self._client.run([("HSET", LANE_HOLDS, *flat)])

    async def free_lanes(self, names: Sequence[str]) -> None:
        if names:
            await self._client.run([("HDEL", LANE_HOLDS, *names)])

    async def lane_holds(self) -> Sequence[LaneHold]:
        (pairs,) = await self._client.run([("HGETALL", LANE_HOLDS)])
        return sorted(map(_hold, pairs[::2], pairs[1::2]), key=lambda hold: hold.name)


def _word(hold: LaneHold) -> _Word:
    return _Word(until=hold.until if hold.until < FOR_EVER else None, by=hold.by, at=hold.at, why=hold.why)


def _hold(name: bytes, octets: bytes) -> LaneHold:
    """A word that can't be read holds all the same: that is what somebody wanted."""
    source, _, receiver = name.decode(errors="replace").partition("/")
    try:
        word = msgspec.json.decode(octets, type=_Word)
    except msgspec.DecodeError:
        return LaneHold(source=source, receiver=receiver, why=_UNREADABLE)
    until = word.until if word.until is not None else FOR_EVER
    return LaneHold(source=source, receiver=receiver, until=until, by=word.by, at=word.at, why=word.why)
