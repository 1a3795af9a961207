"""Which lanes are whose: every member of the fleet computes the same answer, and nobody has to decide.

A lane belongs to the owner that weighs most for it (highest random weight), among those that can send from its source. And a
route calls for the sources of its pool: all of them where it has more than a lane holds at a time; one of them, always the
same, where it has less. A campaign for a hundred thousand small domains would otherwise start a lane of every source for
each of them, for one of them to find the work and the others to find it gone.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import inf
from zlib import crc32

from sender.holding import NOBODY, WhoIsHeld
from sender.membership import Membership, host
from sender.model import LaneId, Source
from sender.queue.base import ReadyRoute

_ALL_EVERY = 6  # turns: in one of them a small route calls for all sources, since the one it calls first may be held up
_TURN_S = 1.0  # of a turn; where looks are rarer each is a turn of its own, so that every turn has a look in it
_ANSWERS_KEPT = 20_000  # lanes of which it is remembered whether they are this owner's


class Shares:
    """One owner's view."""

    def __init__(
        self,
        sources: Sequence[Source],
        membership: Membership,
        most_for_one: int,
        holding: WhoIsHeld = NOBODY,
    ) -> None:
        """`most_for_one` envelopes are a single lane's work; lanes that are held get none."""
        self._membership, self._most_for_one, self._holding = membership, most_for_one, holding
        self._pools: dict[str, tuple[Source, ...]] = {}
        for source in sources:
            self._pools[source.pool] = (*self._pools.get(source.pool, ()), source)
        self._by: tuple[str, ...] = ()  # the members that the answers hold for
        self._mine: dict[LaneId, bool] = {}
        self._turn, self._turn_ends = 0, -inf

    def look(self, now: float) -> None:
        """A round of calls begins; `now` in seconds, of a clock that never goes back.

        Turns are counted from look to look. Were they read from the clock, looks in step with it would never meet some of them.
        """
        if now >= self._turn_ends:
            self._turn, self._turn_ends = self._turn + 1, now + _TURN_S

    def have_changed(self) -> bool:
        """Whether members came or went since it was asked last: then lanes may be others' now."""
        if self._membership.members == self._by:
            return False
        self._by = self._membership.members
        self._mine.clear()
        return True

    def called(self, waiting: ReadyRoute) -> Sequence[Source]:
        """The sources whose lanes this route's work is for in this look; some may be of another host."""
        pool, own = self._pools.get(waiting.route.pool, ()), waiting.route.source
        if own:
            pool = tuple(source for source in pool if source.name == own)
        if self._holding.any:
            lanes = [LaneId(source=source.name, receiver=waiting.route.receiver) for source in pool]
            pool = tuple(source for source, lane in zip(pool, lanes, strict=True) if self._holding.of(lane) is None)
        if len(pool) < 2 or waiting.envelopes > self._most_for_one:
            return pool
        lot = crc32(waiting.route.receiver.encode())
        return pool if (self._turn + lot // len(pool)) % _ALL_EVERY == 0 else (pool[lot % len(pool)],)

    def is_mine(self, lane: LaneId, source: Source) -> bool:
        """Whether this owner weighs most among those that can send from the lane's source."""
        answer = self._mine.get(lane)
        if answer is None:
            rivals = [owner for owner in self._by if source.host in ("", host(owner))]
            answer = not rivals or max(rivals, key=lambda owner: weight(owner, lane)) == self._membership.owner
            if len(self._mine) >= _ANSWERS_KEPT:
                self._mine.clear()
            self._mine[lane] = answer
        return answer

    def __repr__(self) -> str:
        return f"<Shares of {self._membership.owner}: {len(self._pools)} pools, {len(self._by)} members>"


def weight(owner: str, lane: LaneId) -> bytes:
    """How much an owner weighs for a lane: by chance, and the same for everybody who asks."""
    return blake2b(f"{owner} {lane}".encode(), digest_size=8).digest()
