"""A route's ready work in memory: whose turn it is, by priority, then by fair share among campaigns.

Start-time fair queueing, counted in envelopes: among the campaigns of the best priority the one that got least goes next,
and a campaign that joins starts level with the one that got least, so that it neither waits for nor overtakes the others.
Within a campaign the oldest pack goes first. The Redis backend keeps the same rules in lua/route.lua.
"""

import heapq

from sender.queue.pack import HEADER


class ReadyWork:
    """The ready packs of one route."""

    def __init__(self) -> None:
        self._packs: dict[str, list[tuple[float, bytes]]] = {}
        self._turns: dict[str, tuple[int, int]] = {}  # priority, envelopes granted
        self.envelopes = 0

    def __bool__(self) -> bool:
        return self.envelopes > 0

    @property
    def oldest(self) -> float:
        """When the oldest ready envelope was queued; there must be one."""
        return min(heap[0][0] for heap in self._packs.values())

    def put(self, campaign: str, priority: int, pack: bytes) -> None:
        _, queued_at, _, count = HEADER.unpack_from(pack)
        if campaign not in self._packs:
            level = min((granted for level, granted in self._turns.values() if level == priority), default=0)
            self._packs[campaign], self._turns[campaign] = [], (priority, level)
        heapq.heappush(self._packs[campaign], (queued_at, pack))
        self.envelopes += count

    def next_campaign(self) -> str | None:
        """Whose turn it is, or None where nothing is ready."""
        return min(self._turns, key=lambda campaign: (*self._turns[campaign], campaign), default=None)

    def take(self, campaign: str, *, at_most: int) -> tuple[bytes, int]:
        """The campaign's oldest pack and how many of its envelopes are granted."""
        heap = self._packs[campaign]
        _, pack = heapq.heappop(heap)
        count: int = HEADER.unpack_from(pack)[3]
        granted = min(count, at_most)
        priority, turn = self._turns[campaign]
        self._turns[campaign] = priority, turn + granted
        self.envelopes -= count
        if not heap:
            del self._packs[campaign], self._turns[campaign]
        return pack, granted
