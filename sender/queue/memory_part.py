"""What the parts of the memory backend share: campaigns, leases, and where ready packs wait."""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sender.model import LaneId, Mark, Route, State
from sender.queue import inbox
from sender.queue.base import AT_ONCE, Announcement, Chunk, Lease, Refusal, RowBatch, Spill
from sender.queue.control import FOR_EVER, Control, Hold
from sender.queue.doubts import Doubt
from sender.queue.fairshare import ReadyWork
from sender.queue.fates import Fates
from sender.queue.finding import LaneReport
from sender.queue.lane_holds import LaneHold
from sender.queue.pack import decode
from sender.queue.quota import Quota
from sender.queue.walk import Walk
from sender.queue.warmups import AUDIT_KEPT, Kept

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
    scheduled: bool = False
    priority: int = 0
    spill: Spill = AT_ONCE
    accepted: int = 0
    final: Counter[tuple[str, State]] = field(default_factory=Counter)
    deferrals: Counter[str] = field(default_factory=Counter)
    fates: Fates = field(default_factory=Fates)

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
    day: int  # the sending day whose statistics count what comes of it
    account: str  # the shared account that its units are counted in too, if any

    def granted(self) -> Lease:
        """The lease as it was given, whatever its owner has made of the envelopes since."""
        return replace(self.lease, envelopes=tuple(decode(self.pack)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Events that were told together."""

    number: int
    at: float  # Unix seconds
    events: tuple[bytes, ...]


class MemoryPart:
    """The state, and the few steps that several parts take."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._announced: dict[str, Announcement] = {}
        self._campaigns: dict[str, MemoryCampaign] = {}
        self._accepted: list[str] = []
        self._ready: dict[Route, ReadyWork] = {}
        self._owned: dict[Route, float | None] = {}  # own routes of sources: since when nobody took from them; see `staying`
        self._walk = Walk()
        self._later: list[tuple[float, Route, str, bytes]] = []
        self._leases: dict[str, HeldLease] = {}
        self._claims: dict[LaneId, str] = {}  # lane to owner
        self._beats: dict[str, int] = {}  # members
        self._fenced: set[str] = set()
        self._told_all: set[str] = set()  # of those: nobody has sent what they have not settled
        self._controls: dict[str, Control] = {}
        self._holds: dict[str, Hold] = {}
        self._budgets: dict[str, int] = {}  # of campaigns with a limited rate: envelopes they may still lease
        self._tokens: dict[str, tuple[float, float]] = {}  # and their buckets: tokens, when they were counted
        self._parked: dict[str, dict[int, Doubt]] = {}  # by campaign and ordinal
        self._reports: dict[str, tuple[LaneReport, ...]] = {}  # by owner
        self._lane_holds: dict[str, LaneHold] = {}  # by name
        self._quotas: defaultdict[str, Quota] = defaultdict(Quota)  # by account
        self._marks: defaultdict[str, defaultdict[int, Counter[Mark]]] = defaultdict(lambda: defaultdict(Counter))
        self._complaints: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._progress: dict[str, Kept] = {}
        self._audit: deque[tuple[int, bytes]] = deque(maxlen=AUDIT_KEPT)
        self._audit_told = -1
        self._dead: deque[Refusal] = deque(maxlen=_DEAD_KEPT)
        self._events: deque[Told] = deque(maxlen=_EVENTS_KEPT)
        self._told = 0  # how many entries there ever were

    def _campaign(self, name: str) -> MemoryCampaign:
        return self._campaigns.setdefault(inbox.campaign_id(name), MemoryCampaign())

    def _entry(self) -> str:
        return str(next(self._numbers))

    def _unclaim_all(self, gone: Callable[[str], bool]) -> None:
        """Free the claims of owners that are gone."""
        self._claims = {lane: owner for lane, owner in self._claims.items() if not gone(owner)}

    def _put(self, route: Route, campaign: str, pack: bytes) -> None:
        if route.source:
            self._owned.setdefault(route, None)
        self._ready.setdefault(route, ReadyWork()).put(campaign, self._campaign(campaign).priority, pack)

    def _permitted(self, campaign: str, now: float) -> float:
        """How many envelopes of the campaign may be leased now; `inf` where nothing says."""
        hold = self._holds.get(campaign)
        if hold is not None and hold.start <= now < hold.end:
            return 0
        return max(0, self._budgets.get(campaign, FOR_EVER))

    def _spend(self, campaign: str, envelopes: int) -> None:
        """Envelopes are leased, or have come back untried (a negative number): a limited rate counts them."""
        if campaign in self._budgets:
            self._budgets[campaign] -= envelopes

    def _tell(self, events: Sequence[bytes], now: float) -> None:
        if events:
            self._told += 1
            self._events.append(Told(number=self._told, at=now, events=tuple(events)))
