"""What the parts of the memory backend share: campaigns, leases, and where ready packs wait."""

import itertools
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sender.model import LaneId, Route, State
from sender.queue import inbox
from sender.queue.base import OWNER_LIFE_S, Announcement, Chunk, Lease, Refusal, RowBatch
from sender.queue.fairshare import ReadyWork
from sender.queue.walk import Walk

_DEAD_KEPT = 10_000
_EVENTS_KEPT = 100_000


@dataclass(slots=True)
class MemoryCampaign:
    """One campaign's inbox, its place in expansion, and its counters."""

    known: bool = False  # not until it is accepted: recipients may come first
    spec: bytes | None = None  # None again once the campaign is finished
    entries: dict[str, RowBatch] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    end: int | None = None
    chunk: int = 0
    last: Chunk | None = None
    open: bool = False
    priority: int = 0
    accepted: int = 0
    final: Counter[tuple[str, State]] = field(default_factory=Counter)
    deferrals: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        return self.end is not None and self.done.issuperset(range(self.end))

    @property
    def finished(self) -> bool:
        return not self.open and self.complete and self.final.total() == self.accepted


@dataclass(slots=True)
class HeldLease:
    lease: Lease
    campaign: str
    pack: bytes  # what was granted, as it was: the leased envelopes belong to whoever leased them
    open: set[int]  # positions not settled


class MemoryPart:
    """The state, and the few steps that several parts take."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._announced: dict[str, Announcement] = {}
        self._campaigns: dict[str, MemoryCampaign] = {}
        self._accepted: list[str] = []
        self._ready: dict[Route, ReadyWork] = {}
        self._walk = Walk()
        self._later: list[tuple[float, Route, str, bytes]] = []
        self._leases: dict[str, HeldLease] = {}
        self._claims: dict[LaneId, str] = {}  # lane to owner
        self._beats: dict[str, float] = {}
        self._dead: deque[Refusal] = deque(maxlen=_DEAD_KEPT)
        self._events: deque[tuple[int, bytes]] = deque(maxlen=_EVENTS_KEPT)

    def _campaign(self, name: str) -> MemoryCampaign:
        return self._campaigns.setdefault(inbox.campaign_id(name), MemoryCampaign())

    def _entry(self) -> str:
        return str(next(self._numbers))

    def _lives(self, owner: str, now: float) -> bool:
        return now - self._beats.get(owner, float("-inf")) <= OWNER_LIFE_S

    def _put(self, route: Route, campaign: str, pack: bytes) -> None:
        self._ready.setdefault(route, ReadyWork()).put(campaign, self._campaign(campaign).priority, pack)

    def _tell(self, events: Sequence[bytes]) -> None:
        self._events.extend((next(self._numbers), event) for event in events)
