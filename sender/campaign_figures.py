"""Which campaigns moved last, and where their recipients are: a bounded look at the store each time.

A round is one call for the counts of at most 100 campaigns, and one for the list of all now and then:

1. Those that were never looked at, newest first, then those that are shown and not over, as many as there is room for; but
   half the round is for the rest, whoever was looked at longest ago, so that one that wakes up is found as well.
2. A campaign whose counts are others than before has moved now. One that is seen for the first time has, if it is not over.
3. The 50 that moved last are given; of those that have not moved since we look, the newest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from sender.metrics import CAMPAIGNS_SHOWN
from sender.queue.base import BATCH_ROWS, CampaignStatus, Queue

_AT_ONCE = 100  # campaigns in one round
_KNOWN_MOST = 10_000  # the newest: what is looked at less than once in ten minutes tells nobody anything
_NAMES_EVERY_S = 30.0


class Movers:
    """Looks again and again, and remembers when each campaign moved."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._names: Sequence[str] = ()  # newest first
        self._names_until = float("-inf")
        self._counts: dict[str, Mapping[str, int]] = {}  # in the order in which they were looked at
        self._moved: dict[str, float] = {}  # when; what has not moved since we look is missing
        self._over: set[str] = set()

    async def look(self, now: float) -> Mapping[str, Mapping[str, int]]:
        """One round; gives the envelopes of each campaign that moved last, by state. Raises BackendError."""
        if not 0 <= self._names_until - now <= _NAMES_EVERY_S:
            self._names, self._names_until = (await self._queue.campaigns())[:_KNOWN_MOST], now + _NAMES_EVERY_S
            self._forget(set(self._names))
        asked = self._asked()
        for status in await self._queue.status(asked) if asked else ():
            self._note(status, now)
        return {name: self._counts[name] for name in self._shown()}

    def _shown(self) -> Sequence[str]:
        """Those that moved last, and before they all have, the newest."""
        seen = [name for name in self._names if name in self._counts]
        return sorted(seen, key=lambda name: -self._moved.get(name, float("-inf")))[:CAMPAIGNS_SHOWN]

    def _asked(self) -> Sequence[str]:
        unseen = [name for name in self._names if name not in self._counts]
        going = [name for name in self._shown() if name not in self._over]
        first = dict.fromkeys([*unseen, *going][: _AT_ONCE // 2])
        rest = (name for name in self._counts if name not in first)
        return [*first, *(name for name, _ in zip(rest, range(_AT_ONCE - len(first)), strict=False))]

    def _note(self, status: CampaignStatus, now: float) -> None:
        name, counts = status.campaign, _counts(status)
        before = self._counts.pop(name, None)
        over = status.complete and not status.queued
        if counts != before if before is not None else not over:
            self._moved[name] = now
        self._counts[name] = counts
        (self._over.add if over else self._over.discard)(name)

    def _forget(self, known: set[str]) -> None:
        self._counts = {name: counts for name, counts in self._counts.items() if name in known}
        self._moved = {name: at for name, at in self._moved.items() if name in known}
        self._over &= known


def _counts(status: CampaignStatus) -> Mapping[str, int]:
    """How many are in each state that anybody is in; "open" always, so that a campaign without recipients shows too."""
    counts = Counter[str]()
    for (_, state), count in status.final.items():
        counts[str(state)] += count
    return {"open": status.queued + BATCH_ROWS * status.waiting_batches, **counts}
