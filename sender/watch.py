"""Tells dead owners from living ones, for the whole fleet: any number of schedulers may each have a watch of their own.

Only how long a beat has stood still counts, by this watch's own monotonic clock, and only while it looked often: after an
outage of the store, or after this process itself was held up, everybody gets a whole life to beat again. Whoever was frozen
together with its watch, or could not reach the store, would otherwise be taken for dead all at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from sender.errors import BackendError
from sender.queue.owners import OWNER_LIFE_S, Owners

_HELD_UP_S = 5.0  # a look so long after the one before begins the patience anew


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    beat: int
    since: float  # when it was first seen at this number, trio's clock


class Watch:
    """Fences owners whose beat stands still."""

    def __init__(self, queue: Owners) -> None:
        self._queue = queue
        self._seen: Mapping[str, _Seen] = {}
        self._looked = float("-inf")

    async def look(self) -> Sequence[str]:
        """Compare all beats with those seen before; gives the owners that this look has fenced. Call it about once a second.

        BackendError: nothing is known, and patience begins anew.
        """
        began = trio.current_time()
        try:
            self._note(await self._queue.beats())
            still = {owner: seen.beat for owner, seen in self._seen.items() if began - seen.since > OWNER_LIFE_S}
            return await self._queue.fence(still) if still else []
        except BackendError:
            self._seen = {}
            raise

    def _note(self, beats: Mapping[str, int]) -> None:
        """Remember since when each beat stands where it is."""
        now = trio.current_time()
        known = self._seen if now - self._looked <= _HELD_UP_S else {}
        self._looked = now
        self._seen = {
            owner: seen if (seen := known.get(owner)) is not None and seen.beat == beat else _Seen(beat=beat, since=now)
            for owner, beat in beats.items()
        }
