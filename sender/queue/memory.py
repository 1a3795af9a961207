"""The queue in this process's memory: for notebooks, simulations and tests. Nothing outlives the process.

It keeps packs as every backend does, so that what is leased is never the object that was submitted. Each method does its
work in one go after a checkpoint: that is all the atomicity a single process needs.
"""

import itertools
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from sender.model import LaneId, Route, State
from sender.queue import inbox
from sender.queue.base import (
    OWNER_LIFE_S,
    Announcement,
    CampaignStatus,
    Chunk,
    Depth,
    Inflow,
    Lease,
    LeaseRequest,
    ReadyRoute,
    Refusal,
    RowBatch,
    Settlement,
)
from sender.queue.fairshare import ReadyWork
from sender.queue.later import group
from sender.queue.pack import decode, encode, encode_all, size
from sender.queue.walk import Walk

_DEAD_KEPT = 10_000
_EVENTS_KEPT = 100_000


@dataclass(slots=True)
class _Campaign:
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
class _Lease:
    lease: Lease
    campaign: str
    pack: bytes  # what was granted, as it was: the leased envelopes belong to whoever leased them
    open: set[int]  # positions not settled


class MemoryQueue:
    """See `sender.queue.base.Queue`."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._announced: dict[str, Announcement] = {}
        self._campaigns: dict[str, _Campaign] = {}
        self._accepted: list[str] = []
        self._ready: dict[Route, ReadyWork] = {}
        self._walk = Walk()
        self._later: list[tuple[float, Route, str, bytes]] = []
        self._leases: dict[str, _Lease] = {}
        self._claims: dict[LaneId, str] = {}  # lane to owner
        self._beats: dict[str, float] = {}
        self._dead: deque[Refusal] = deque(maxlen=_DEAD_KEPT)
        self._events: deque[tuple[int, bytes]] = deque(maxlen=_EVENTS_KEPT)

    def __repr__(self) -> str:
        return f"<MemoryQueue {len(self._accepted)} campaigns, {len(self._leases)} leases>"

    async def announce(self, campaign: str, spec: bytes) -> None:
        await trio.lowlevel.checkpoint()
        entry = self._entry()
        self._announced[entry] = Announcement(entry=entry, campaign=inbox.campaign_id(campaign), spec=spec)

    async def add_rows(self, campaign: str, batches: Sequence[RowBatch]) -> int:
        await trio.lowlevel.checkpoint()
        rows = self._campaign(campaign)
        inbox.check(batches)
        new = 0
        for batch in batches:
            if batch.number not in rows.seen:
                rows.seen.add(batch.number)
                entry = self._entry()
                rows.entries[entry] = RowBatch(number=batch.number, rows=batch.rows, entry=entry)
                new += 1
        return new

    async def close_rows(self, campaign: str, batches: int) -> None:
        await trio.lowlevel.checkpoint()
        rows = self._campaign(campaign)
        rows.end = batches if rows.end is None else rows.end

    async def announcements(self, limit: int) -> Sequence[Announcement]:
        await trio.lowlevel.checkpoint()
        return list(itertools.islice(self._announced.values(), limit))

    async def accept(self, announcement: Announcement, spec: bytes, now: float) -> None:
        await trio.lowlevel.checkpoint()
        self._announced.pop(announcement.entry, None)
        campaign = self._campaign(announcement.campaign)
        if not campaign.known:
            campaign.known, campaign.spec, campaign.open = True, spec, True
            self._accepted.append(announcement.campaign)
            if announcement.row:
                entry = self._entry()
                campaign.entries[entry] = RowBatch(number=0, rows=announcement.row, entry=entry)
                campaign.seen.add(0)
                campaign.end = 1

    async def refuse(self, refusals: Sequence[Refusal], now: float) -> None:
        await trio.lowlevel.checkpoint()
        for refusal in refusals:
            if self._drop(refusal):
                self._dead.append(refusal)

    def _drop(self, refusal: Refusal) -> bool:
        """Take the entry out of the inbox; its batch may then be submitted again, corrected."""
        if self._announced.pop(refusal.entry, None) is not None:
            return True
        campaign = self._campaigns.get(refusal.campaign)
        batch = campaign.entries.pop(refusal.entry, None) if campaign is not None else None
        if campaign is not None and batch is not None:
            campaign.seen.discard(batch.number)
        return batch is not None

    async def spec(self, campaign: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        known = self._campaigns.get(campaign)
        return known.spec if known is not None else None

    async def open_campaigns(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return [name for name in self._accepted if self._campaigns[name].open]

    async def rows(self, campaign: str, limit: int) -> Inflow:
        await trio.lowlevel.checkpoint()
        known = self._campaigns.get(campaign) or _Campaign()
        return inbox.inflow(campaign, known.entries.values(), known.done, known.end, known.chunk, limit)

    async def expand(self, chunk: Chunk, now: float) -> bool:
        await trio.lowlevel.checkpoint()
        campaign = self._campaign(chunk.campaign)
        if chunk.number != campaign.chunk:
            return chunk == campaign.last  # told again, or taken by another expander
        for entry in (*(batch.entry for batch in chunk.batches), *chunk.drop):
            campaign.entries.pop(entry, None)
        campaign.done.update(batch.number for batch in chunk.batches)
        campaign.chunk, campaign.last, campaign.priority = chunk.number + 1, chunk, chunk.priority
        for routed in chunk.packs:
            self._put(routed.route, chunk.campaign, routed.pack)
            campaign.accepted += routed.count
        for state, count in chunk.states.items():
            campaign.final["-", state] += count
            campaign.accepted += count
        self._tell(chunk.events)
        return True

    async def finish_rows(self, campaign: str) -> None:
        await trio.lowlevel.checkpoint()
        self._campaign(campaign).open = False

    async def ready(self, limit: int) -> Sequence[ReadyRoute]:
        await trio.lowlevel.checkpoint()
        routes = [ReadyRoute(route=route, envelopes=work.envelopes, oldest=work.oldest) for route, work in self._ready.items()]
        (stretch,) = self._walk.stretches([len(routes)], limit)
        oldest_first = sorted(routes, key=lambda ready: (ready.oldest, str(ready.route)))
        shown = oldest_first[stretch.start : stretch.start + stretch.most]
        self._walk.shown([len(shown)])
        return shown

    async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Sequence[Lease]:
        await trio.lowlevel.checkpoint()
        leases: list[Lease] = []
        for request in requests:
            self._beats[request.owner] = max(now, self._beats.get(request.owner, now))
            if self._claim(request, now):
                leases += self._grant(request)
        return leases

    def _claim(self, request: LeaseRequest, now: float) -> bool:
        holder = self._claims.get(request.lane, request.owner)
        if holder != request.owner and self._lives(holder, now):
            return False
        self._claims[request.lane] = request.owner
        return True

    def _grant(self, request: LeaseRequest) -> list[Lease]:
        wanted, packs = request.envelopes, dict[str, list[bytes]]()
        work = self._ready.get(request.route)
        while work and wanted > 0 and (campaign := work.next_campaign()) is not None:
            pack, granted = work.take(campaign, at_most=wanted)
            wanted -= granted
            if granted < size(pack):
                envelopes = decode(pack)
                pack = encode(envelopes[:granted])
                self._put(request.route, campaign, encode(envelopes[granted:]))
            packs.setdefault(campaign, []).append(pack)
        if work is not None and not work:
            del self._ready[request.route]
        return [self._lease(request, campaign, pack) for campaign, some in packs.items() for pack in some]

    def _lease(self, request: LeaseRequest, campaign: str, pack: bytes) -> Lease:
        lease = Lease(
            id=f"m{next(self._numbers)}",
            lane=request.lane,
            route=request.route,
            owner=request.owner,
            envelopes=tuple(decode(pack)),
        )
        self._leases[lease.id] = _Lease(lease, campaign, pack, set(range(len(lease.envelopes))))
        return lease

    async def settle(self, settlements: Sequence[Settlement], now: float) -> None:
        await trio.lowlevel.checkpoint()
        for settlement in settlements:
            held = self._leases.get(settlement.lease)
            if held is not None:
                self._settle(held, settlement)

    def _settle(self, held: _Lease, settlement: Settlement) -> None:
        campaign, before = self._campaign(held.campaign), len(held.open)
        for position, state in settlement.final:
            if position in held.open:
                held.open.discard(position)
                campaign.final[held.lease.route.receiver, state] += 1
        for back in group(settlement.again, held.open):
            held.open.difference_update(again.position for again in back.again)
            if back.due > 0:
                campaign.deferrals[held.lease.route.receiver] += back.tried
                self._later.append((back.due, held.lease.route, held.campaign, back.pack))
            else:
                self._put(held.lease.route, held.campaign, back.pack)
        if len(held.open) < before:
            self._tell(settlement.events)
        if not held.open:
            del self._leases[settlement.lease]

    async def heartbeat(self, owner: str, now: float) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self._beats[owner] = max(now, self._beats.get(owner, now))
        return sorted(name for name in self._beats if self._lives(name, now))

    async def resign(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        self._beats.pop(owner, None)
        self._claims = {lane: holder for lane, holder in self._claims.items() if holder != owner}

    async def unclaim(self, owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        await trio.lowlevel.checkpoint()
        for lane in lanes:
            if self._claims.get(lane) == owner:
                del self._claims[lane]

    async def promote(self, now: float, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        promoted = 0
        for item in sorted(self._later, key=lambda item: item[0]):
            due, route, campaign, pack = item
            count = size(pack)
            if due > now or (promoted and promoted + count > limit):
                break
            self._later.remove(item)
            self._put(route, campaign, pack)
            promoted += count
        return promoted

    async def reclaim(self, now: float) -> int:
        await trio.lowlevel.checkpoint()
        returned = 0
        for held in [held for held in self._leases.values() if not self._lives(held.lease.owner, now)]:
            left = [envelope for position, envelope in enumerate(decode(held.pack)) if position in held.open]
            for pack in encode_all(left):
                self._put(held.lease.route, held.campaign, pack)
            returned += len(left)
            del self._leases[held.lease.id]
        for campaign in self._campaigns.values():
            if campaign.finished:
                campaign.spec = None
        return returned

    async def campaigns(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return self._accepted[::-1]

    async def status(self, campaigns: Sequence[str]) -> Sequence[CampaignStatus]:
        await trio.lowlevel.checkpoint()
        known = {name: self._campaigns[name] for name in campaigns if name in self._campaigns}
        return [
            CampaignStatus(
                campaign=name,
                accepted=campaign.accepted,
                waiting_batches=len(campaign.entries),
                complete=campaign.complete,
                final=dict(campaign.final),
                deferrals=dict(campaign.deferrals),
            )
            for name, campaign in known.items()
            if campaign.known
        ]

    async def depth(self, now: float) -> Depth:
        await trio.lowlevel.checkpoint()
        return Depth(
            ready={route: work.envelopes for route, work in self._ready.items()},
            leased=sum(len(held.open) for held in self._leases.values()),
            later=sum(size(pack) for _, _, _, pack in self._later),
            oldest_ready_s=max((max(0.0, now - work.oldest) for work in self._ready.values()), default=0.0),
            oldest_due_s=max(0.0, now - min((due for due, _, _, _ in self._later), default=now)),
            refused=len(self._dead),
        )

    async def events(self, after: str, limit: int) -> tuple[str, Sequence[bytes]]:
        await trio.lowlevel.checkpoint()
        start = int(after or 0)
        some = list(itertools.islice(((number, event) for number, event in self._events if number > start), limit))
        return (str(some[-1][0]) if some else after), [event for _, event in some]

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def _campaign(self, name: str) -> _Campaign:
        return self._campaigns.setdefault(inbox.campaign_id(name), _Campaign())

    def _entry(self) -> str:
        return str(next(self._numbers))

    def _lives(self, owner: str, now: float) -> bool:
        return now - self._beats.get(owner, float("-inf")) <= OWNER_LIFE_S

    def _put(self, route: Route, campaign: str, pack: bytes) -> None:
        self._ready.setdefault(route, ReadyWork()).put(campaign, self._campaign(campaign).priority, pack)

    def _tell(self, events: Sequence[bytes]) -> None:
        self._events.extend((next(self._numbers), event) for event in events)
