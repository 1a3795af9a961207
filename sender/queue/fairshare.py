"""A route's ready work in memory: whose turn it is, by priority, then by fair share among campaigns.

Start-time fair queueing, counted in envelopes: among the campaigns of the best priority the one that got least goes next,
and a campaign that joins starts level with the one that got least, so that it neither waits for nor overtakes the others.
Within a campaign the oldest pack goes first, or one of the band that the lane's choice names. A campaign that may not be
leased now is set aside: it has work and no turn. One that has nothing for the lane that asks keeps its turn.
The Redis backend keeps the same rules in lua/route.lua and lua/lease.lua.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from sender.model import Choice
from sender.policy.engagement import FLOORS
from sender.queue.base import AT_ONCE, Spill
from sender.queue.pack import HEADER, band

_BANDS = range(len(FLOORS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """What a lane takes now."""

    choice: Choice = Choice.OLDEST
    engagement_min: int = 0
    now: float = 0.0


class ReadyWork:
    """The ready packs of one route."""

    def __init__(self) -> None:
        self._packs: dict[str, tuple[list[tuple[float, bytes]], ...]] = {}  # a heap for each band
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
        return min(map(self.oldest_of, self._turns))

    def oldest_of(self, campaign: str) -> float:
        """The same, of a campaign in line."""
        return min(heap[0][0] for heap in self._packs[campaign] if heap)

    @property
    def aside(self) -> frozenset[str]:
        return frozenset(self._aside)

    def of(self, campaign: str) -> int:
        """How many envelopes of this campaign there are."""
        return self._envelopes.get(campaign, 0)

    def packs(self, campaign: str) -> list[bytes]:
        """The packs of this campaign, the next one first."""
        return [pack for _, pack in sorted((item for heap in self._packs.get(campaign, ()) for item in heap), key=_age)]

    def put(self, campaign: str, priority: int, pack: bytes) -> None:
        _, queued_at, _, count = HEADER.unpack_from(pack)
        if campaign not in self._packs:
            self._packs[campaign] = tuple([] for _ in _BANDS)
            self._join(campaign, priority)
        heapq.heappush(self._packs[campaign][band(pack)], (queued_at, pack))
        self._envelopes[campaign] = self.of(campaign) + count

    def line(self) -> Iterator[tuple[int, str]]:
        """The campaigns in line, each with its priority, in the order of their turns."""
        for campaign in sorted(self._turns, key=lambda campaign: (*self._turns[campaign], campaign)):
            yield self._turns[campaign][0], campaign

    def band_for(self, campaign: str, taste: Taste, spill: Spill = AT_ONCE) -> int | None:
        """The band that a lane takes the campaign's next pack from; None where there is nothing for it."""
        heaps = self._packs[campaign]
        there = [number for number in _BANDS if heaps[number]]
        match taste.choice:
            case Choice.OLDEST:
                return min(there, key=lambda number: _age(heaps[number][0]))
            case Choice.ENGAGED:
                return max((number for number in there if FLOORS[number] >= taste.engagement_min), default=None)
            case Choice.REST:
                return min((number for number in there if self._spilled(campaign, number, taste, spill)), default=None)

    def _spilled(self, campaign: str, number: int, taste: Taste, spill: Spill) -> bool:
        """Whether a warm lane may take the next pack of this band: those that warm up leave it, or have had their time."""
        queued_at = self._packs[campaign][number][0][0]
        return FLOORS[number] < taste.engagement_min or spill.until(queued_at) <= taste.now

    def take(self, campaign: str, number: int, *, at_most: int) -> tuple[bytes, int]:
        """The oldest pack in a band of a campaign in line, and how many of its envelopes are granted."""
        priority, turn = self._turns[campaign]
        pack = self._pop(campaign, number)
        granted = min(int(HEADER.unpack_from(pack)[3]), at_most)
        if campaign in self._turns:
            self._turns[campaign] = priority, turn + granted
        return pack, granted

    def drop(self, campaign: str) -> bytes:
        """The oldest pack of a campaign, in line or not, which counts for nobody's turn."""
        number = self.band_for(campaign, Taste())
        assert number is not None
        return self._pop(campaign, number)

    def _pop(self, campaign: str, number: int) -> bytes:
        _, pack = heapq.heappop(self._packs[campaign][number])
        self._envelopes[campaign] -= int(HEADER.unpack_from(pack)[3])
        if not any(self._packs[campaign]):
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


def _age(item: tuple[float, bytes]) -> tuple[float, int]:
    """Of packs of one age the one with the smallest first ordinal stands first, whatever its band."""
    queued_at, pack = item
    return queued_at, int(HEADER.unpack_from(pack)[2])
