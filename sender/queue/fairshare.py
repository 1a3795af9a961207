"""A route's ready work in memory: whose turn it is, by priority, then by fair share among campaigns.

Start-time fair queueing, counted in envelopes: among the campaigns of the best priority the one that got least goes next,
and a campaign that joins starts level with the one that got least, so that it neither waits for nor overtakes the others.
Within a campaign the oldest pack goes first. A campaign that may not be leased now is set aside: it has work and no turn.
The Redis backend keeps the same rules in lua/route.lua.
"""

import heapq

from sender.queue.pack import HEADER


class ReadyWork:
    """The ready packs of one route."""

    def __init__(self) -> None:
        self._packs: dict[str, list[tuple[float, bytes]]] = {}
        self._turns: dict[str, tuple[int, int]] = {}  # in line: priority, envelopes granted
        self._aside: dict[str, int] = {}  # set aside: priority
        self._envelopes: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._packs)

    @property
    def envelopes(self) -> int:
        """All there are."""
        return sum(self._envelopes.values())

    @property
    def in_line(self) -> int:
        """How many envelopes may be leased."""
        return sum(self._envelopes[campaign] for campaign in self._turns)

    @property
    def oldest(self) -> float:
        """When the oldest envelope that may be leased was queued; there must be one."""
        return min(self._packs[campaign][0][0] for campaign in self._turns)

    @property
    def aside(self) -> frozenset[str]:
        return frozenset(self._aside)

    def of(self, campaign: str) -> int:
        """How many envelopes of this campaign there are."""
        return self._envelopes.get(campaign, 0)

    def packs(self, campaign: str) -> list[bytes]:
        """The packs of this campaign, the next one first."""
        return [pack for _, pack in sorted(self._packs.get(campaign, ()))]

    def put(self, campaign: str, priority: int, pack: bytes) -> None:
        _, queued_at, _, count = HEADER.unpack_from(pack)
        if campaign not in self._packs:
            self._packs[campaign] = []
            self._join(campaign, priority)
        heapq.heappush(self._packs[campaign], (queued_at, pack))
        self._envelopes[campaign] = self.of(campaign) + count

    def next_campaign(self) -> str | None:
        """Whose turn it is, or None where nobody is in line."""
        return min(self._turns, key=lambda campaign: (*self._turns[campaign], campaign), default=None)

    def take(self, campaign: str, *, at_most: int) -> tuple[bytes, int]:
        """The oldest pack of a campaign in line, and how many of its envelopes are granted."""
        priority, turn = self._turns[campaign]
        pack = self.drop(campaign)
        granted = min(int(HEADER.unpack_from(pack)[3]), at_most)
        if campaign in self._turns:
            self._turns[campaign] = priority, turn + granted
        return pack, granted

    def drop(self, campaign: str) -> bytes:
        """The oldest pack of a campaign, in line or not, which counts for nobody's turn."""
        _, pack = heapq.heappop(self._packs[campaign])
        self._envelopes[campaign] -= int(HEADER.unpack_from(pack)[3])
        if not self._packs[campaign]:
            del self._packs[campaign], self._envelopes[campaign]
            self._turns.pop(campaign, None)
            self._aside.pop(campaign, None)
        return pack

    def set_aside(self, campaign: str) -> None:
        """A campaign in line leaves it."""
        self._aside[campaign], _ = self._turns.pop(campaign)

    def line_up(self, campaign: str) -> None:
        """A campaign that was set aside joins the line again."""
        self._join(campaign, self._aside.pop(campaign))

    def _join(self, campaign: str, priority: int) -> None:
        level = min((granted for other, granted in self._turns.values() if other == priority), default=0)
        self._turns[campaign] = priority, level
