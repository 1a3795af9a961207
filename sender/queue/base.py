"""The contract every queue backend keeps, and the values that cross it.

The way of a recipient through a queue, in steps:

1. `announce` a campaign, `add_rows` in numbered batches, `close_rows` with their number: the inbox. Repeats add nothing.
2. An expander reads `announcements` and `rows`, decides where each recipient goes, and hands over one `Chunk` at a time to
   `expand`: exactly once, whatever dies in between.
3. A lane `lease`s packs of its route; what becomes of each envelope comes back in a `Settlement`: a final state, or a pack
   for later. Settling twice changes nothing.
4. A scheduler calls `promote` (what is due becomes ready) and `reclaim` (what a fenced owner held becomes ready).

Beside the way stand who may settle (`owners`), what holds a campaign back (`control`) or a lane (`lane_holds`), what was never
answered (`doubts`), who gets no mail (`suppressions`), what caps the lanes that warm up (`warmups`), how to find one envelope
(`finding`), who reads the events (`groups`) and how the store is (`standing`).

Rules that every backend keeps, and that one contract suite tests on all of them: no method takes one item; time is an
argument, in Unix seconds; each state change is atomic and may be repeated; an envelope is in exactly one place.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from sender.model import Choice, Envelope, LaneId, Mark, Route, State
from sender.queue.control import FOR_EVER, Controls
from sender.queue.doubts import Doubts, Parked
from sender.queue.finding import Finds
from sender.queue.groups import Groups
from sender.queue.lane_holds import HoldsLanes
from sender.queue.owners import Owners
from sender.queue.standing import Standings
from sender.queue.staying import Stays
from sender.queue.suppressions import Suppression, Suppressions
from sender.queue.warmups import OTHER, TAIL, Wait, Warmups

BATCH_ROWS = 1000  # a rows batch holds at most this many; ordinal = batch * BATCH_ROWS + place in the batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A campaign as somebody wrote it to the inbox: not yet checked."""

    entry: str  # the inbox's own id, for `accept` and `refuse`
    campaign: str
    spec: bytes
    row: bytes = b""  # the one recipient of a ready-made message: with it, `accept` also adds batch 0 and closes


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """Up to `BATCH_ROWS` recipients of a campaign as JSON lines, numbered from 0 by whoever submits."""

    number: int
    rows: bytes
    entry: str = ""  # the inbox's own id, when it was read from there


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An inbox entry that can't be used, kept in the dead-letter stream with the reason."""

    entry: str
    campaign: str  # "" where the entry named none
    why: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflow:
    """What the inbox holds for one campaign: the next batches, and whether more may come."""

    batches: tuple[RowBatch, ...]
    repeats: tuple[str, ...]  # entries whose batch was expanded before: a chunk drops them
    malformed: tuple[Refusal, ...]
    chunk: int  # the number the next Chunk must carry
    exhausted: bool  # the end has been read and every batch before it expanded


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedPack:
    route: Route
    pack: bytes
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spill:
    """For how long warm lanes leave a campaign's envelopes to those of their pool that warm up at the receiver."""

    after_s: float = 0.0  # from when they were queued; 0: not at all; FOR_EVER: while any there warms up
    start: float = 0.0  # and not from before this, Unix seconds: the campaign's start

    def until(self, queued_at: float) -> float:
        """When those queued then are anybody's, Unix seconds."""
        return max(queued_at, self.start) + self.after_s if self.after_s else -FOR_EVER


AT_ONCE = Spill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One step of expansion: these batches became these packs and these final states, all or nothing."""

    campaign: str
    number: int
    priority: int  # 0 goes first, 9 last
    batches: tuple[RowBatch, ...]
    packs: tuple[RoutedPack, ...]
    states: Mapping[State, int] = field(default_factory=dict)  # recipients that ended here: invalid, suppressed
    ended: tuple[tuple[int, State], ...] = ()  # which ones: ordinal, state
    drop: tuple[str, ...] = ()  # repeated entries to drop along with these
    events: tuple[bytes, ...] = ()
    spill: Spill = AT_ONCE  # of the campaign, like its priority


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyRoute:
    route: Route
    envelopes: int
    oldest: float  # when its oldest ready envelope was queued, Unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """A lane asks for up to `envelopes` of its route's work, and of what waits for its source alone.

    A lane has one owner process at a time.
    """

    lane: LaneId
    route: Route
    owner: str
    envelopes: int
    capped: bool = False  # the lane is warming up: nothing without a cap in force. A cap that is in force binds in any case
    account: str = ""  # the shared account whose units it takes besides, if any
    choice: Choice = Choice.OLDEST
    engagement_min: int = 0  # the least that it takes, where it warms up; of a warm lane, that those beside it take


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Temporary ownership of a pack: every position must be settled once."""

    id: str
    lane: LaneId
    route: Route
    owner: str
    envelopes: tuple[Envelope, ...]  # the place in this tuple is the position a settlement names
    day_ends: float = FOR_EVER  # when the sending day of its cap ends: what no session has begun by then goes back

    def ticket(self) -> "Ticket":
        """Made anew at each call: one of them is enough for all envelopes of a lease."""
        return Ticket(
            id=self.id,
            lane=self.lane,
            route=self.route,
            campaign=self.envelopes[0].campaign,
            ordinals=tuple(envelope.ordinal for envelope in self.envelopes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What it takes to settle a lease: an envelope that goes its own way keeps this, and not all the others beside it."""

    id: str  # of the lease
    lane: LaneId
    route: Route
    campaign: str
    ordinals: tuple[int, ...]  # by position


class Granted(list[Lease]):
    """The leases of one call; and, beside them, whom a cap has kept from getting any."""

    def __init__(self, leases: Iterable[Lease] = (), waits: Iterable[Wait] = ()) -> None:
        super().__init__(leases)
        self.waits = tuple(waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """A lease as the store holds it: which of its positions are not settled."""

    lease: Lease
    open: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """An envelope that goes back: ready from `due` on, with the counts it carries now. `due` 0 means at once."""

    position: int
    envelope: Envelope
    due: float
    tried: bool = True  # an attempt ended in "later": counted among the deferrals, if `due` is not 0
    source: str = ""  # who alone may try it again; "": whoever might try it before


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of some envelopes of a lease."""

    lease: str
    route: Route
    campaign: str
    final: tuple[tuple[int, State], ...] = ()  # position, state
    again: tuple[Again, ...] = ()
    events: tuple[bytes, ...] = ()
    ordinals: tuple[int, ...] = ()  # of `final`, in step with it: how their end is found again; () where not known
    parked: tuple[Parked, ...] = ()  # of those that are final as UNKNOWN: what an operator may send again
    refused: tuple[Suppression, ...] = ()  # recipients that do not exist: suppressed before anything is settled
    marks: Mapping[Mark, tuple[int, ...]] = field(default_factory=dict)  # positions whose attempt counts as this
    marked_at: float = FOR_EVER  # when the last of those attempts had ended: windows that began later do not count it
    identity: str = ""  # the shared account "@domain" whose statistics count the marks too, if any


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStatus:
    """Where a campaign stands. `accepted` = the final states + `queued`, always."""

    campaign: str
    accepted: int  # recipients expanded so far, invalid and suppressed ones included
    waiting_batches: int  # rows batches still in the inbox
    complete: bool  # the end of recipients was read and everything before it expanded
    # (receiver, state); the receiver is "-" where none was found, and beyond some hundreds without a profile "other"
    final: Mapping[tuple[str, State], int]
    deferrals: Mapping[str, int]  # by receiver: attempts that ended in "later"
    parked: int = 0  # of the UNKNOWN ones: those that an operator may still send again

    @property
    def finished(self) -> int:
        return sum(self.final.values())

    @property
    def queued(self) -> int:
        return self.accepted - self.finished


def shown_as(route: Route) -> Route:
    """Under which route the depth counts what waits here."""
    return replace(route, receiver=OTHER) if route.receiver.startswith(TAIL) else route


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much waits where, for metrics. Ages are in seconds; 0 where nothing waits."""

    ready: Mapping[Route, int]  # receivers without a profile together, as "other": there may be any number of them
    aside: Mapping[Route, int]  # of those: no lane may have them now, because their campaign is held or without budget
    leased: int
    later: int
    oldest_ready_s: float
    oldest_due_s: float  # how long the retry that is due longest has waited to be promoted
    refused: int  # entries in the dead-letter stream


class Queue(Owners, Controls, Doubts, Suppressions, Finds, Groups, HoldsLanes, Standings, Stays, Warmups, Protocol):
    """A queue backend. Every method may block, is a checkpoint, and raises BackendError with nothing half-written."""

    async def announce(self, campaign: str, spec: bytes) -> None:
        """Append a campaign to the inbox, unchecked; a repeat is dropped when it is accepted."""

    async def add_rows(self, campaign: str, batches: Sequence[RowBatch]) -> int:
        """Append recipients to the inbox; returns how many batches were new.

        Raises ValueError where a batch is out of bounds (see `sender.queue.inbox`), before any is written.
        """

    async def close_rows(self, campaign: str, batches: int) -> None:
        """Say that the campaign has this many batches and no more will come."""

    async def announcements(self, limit: int) -> Sequence[Announcement]:
        """The oldest campaigns waiting to be checked."""

    async def accept(self, announcement: Announcement, spec: bytes, now: float, *, scheduled: bool = False) -> None:
        """Store the checked campaign under its id, open it for expansion and drop the entry. The first one wins.

        A `scheduled` one (start, windows, deadline, rate, or a signing domain that warms up) is on the list of `schedules`,
        and is held for ever from before the first of its envelopes can be leased, until a scheduler has read that list.
        """

    async def refuse(self, refusals: Sequence[Refusal], now: float) -> None:
        """Move unusable inbox entries to the dead-letter stream."""

    async def spec(self, campaign: str) -> bytes | None:
        """The checked campaign, or None where there is none of that id, or where it is finished and `reclaim` has seen it."""

    async def open_campaigns(self) -> Sequence[str]:
        """The campaigns that may still have recipients to expand."""

    async def rows(self, campaign: str, limit: int) -> Inflow:
        """The next batches to expand, at most `limit`; a chunk that was begun and not finished is finished first."""

    async def expand(self, chunk: Chunk, now: float) -> bool:
        """Apply a chunk exactly once; False where its number has been taken by another expander."""

    async def finish_rows(self, campaign: str) -> None:
        """Nothing more comes: take the campaign off the list of open ones."""

    async def ready(self, limit: int) -> Sequence[ReadyRoute]:
        """Routes with work, at most `limit`, those whose work is oldest first.

        Where there are more, successive calls on one object walk through all of them, oldest first within a walk: a route
        that can't be served now hides no other. Each object walks by itself; one that fits all in shows all in each call.
        """

    async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Granted:
        """Lease packs by priority, then fair share among campaigns; a request may get none, one or several leases.

        A lane that another owner has claimed gets none; the first lease claims it, under a new epoch. Caps bind (see
        `warmups`): whom one has kept from getting any is among the answer's `waits`.
        """

    async def settle(self, settlements: Sequence[Settlement], now: float) -> int:
        """Record what became of leased envelopes; positions settled before are left as they are.

        Gives how many positions belonged to leases that are gone: told again after an answer was lost, or too late because
        the lease has passed on.
        """

    async def held(self, owner: str) -> Sequence[HeldLease]:
        """What an owner has leased and not settled."""

    async def unclaim(self, owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        """The owner lets go of these lanes (each with its route, in step): another may claim them at once."""

    async def promote(self, now: float, limit: int) -> int:
        """Make due envelopes ready; returns how many."""

    async def reclaim(self, now: float) -> int:
        """Give back what owners that are no members, or are fenced, had leased and not settled; returns how many envelopes.

        It also frees their claims, forgets the fenced ones then, drops the content of finished campaigns, whose ids stay
        known, and old events where memory is short.
        """

    async def time(self) -> float:
        """What time the store has, Unix seconds: one clock for a whole fleet."""

    async def campaigns(self) -> Sequence[str]:
        """All campaigns the queue knows, newest first."""

    async def status(self, campaigns: Sequence[str]) -> Sequence[CampaignStatus]:
        """Where these campaigns stand; unknown ids are left out."""

    async def depth(self, now: float) -> Depth:
        """How much waits where."""

    async def events(self, after: str, limit: int) -> tuple[str, Sequence[bytes]]:
        """Events after a cursor ("" is the oldest kept), and the cursor to go on from."""

    async def aclose(self) -> None:
        """Let go of connections."""
