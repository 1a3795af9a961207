"""The memory backend's second half: leasing and settling."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import trio

from sender.model import LaneId, Route, State
from sender.queue.base import Granted, Lease, LeaseRequest, Settlement
from sender.queue.doubts import KEPT, Doubt, Parked
from sender.queue.fairshare import ReadyWork, Taste
from sender.queue.fates import DEFERRED, NUMBERS
from sender.queue.later import group
from sender.queue.memory_part import HeldLease
from sender.queue.memory_upkeep import MemoryUpkeep
from sender.queue.pack import decode, encode, size
from sender.queue.warmups import Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """A campaign whose turn it is on a route; `band` is None where it may not be leased now."""

    priority: int
    route: Route
    work: ReadyWork
    campaign: str
    band: int | None


class MemoryDelivery(MemoryUpkeep):
    """Leasing and settling."""

    async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Granted:
        await trio.lowlevel.checkpoint()
        leases = Granted()
        for request in requests:
            self._ask(request.account, now)
            if self._claims.setdefault(request.lane, request.owner) != request.owner:
                continue
            self._comes_for(request.route.own(request.lane.source))
            room = self._room(request, now)
            if isinstance(room, Wait):
                leases.waits += (room,)
            else:
                leases += self._grant(replace(request, envelopes=room), now)
        return leases

    def _comes_for(self, own: Route) -> None:
        """The source asks, whether it gets anything or not: what stays with it goes on waiting for it."""
        if own in self._owned:
            self._owned[own] = None

    def _grant(self, request: LeaseRequest, now: float) -> list[Lease]:
        wanted, packs = request.envelopes, dict[tuple[Route, str], list[bytes]]()
        while wanted > 0 and (turn := self._next_turn(request, now)) is not None:
            permitted = self._permitted(turn.campaign, now)
            if turn.band is None:
                turn.work.set_aside(turn.campaign)
                continue
            pack, granted = turn.work.take(turn.campaign, turn.band, at_most=int(min(wanted, permitted)))
            wanted -= granted
            self._spend(turn.campaign, granted)
            if granted < size(pack):
                envelopes = decode(pack)
                pack = encode(envelopes[:granted])
                self._put(turn.route, turn.campaign, encode(envelopes[granted:]))
            packs.setdefault((turn.route, turn.campaign), []).append(pack)
            if not turn.work:
                del self._ready[turn.route]
        return [self._lease(request, *where, pack, now) for where, some in packs.items() for pack in some]

    def _next_turn(self, request: LeaseRequest, now: float) -> "_Turn | None":
        """Whose turn it is among what waits for this source alone, in the order it came, and what waits for all of its pool.

        The better priority goes first, and of one priority what is the source's own.
        """
        own, taste = request.route.own(request.lane.source), Taste(now=now)
        shared = replace(taste, choice=request.choice, engagement_min=request.engagement_min)
        turns = [turn for turn in (self._turn(own, taste), self._turn(request.route, shared)) if turn is not None]
        return min(turns, key=lambda turn: turn.priority, default=None)

    def _turn(self, route: Route, taste: Taste) -> "_Turn | None":
        """The first campaign in line that has something for this taste, or that must leave the line."""
        work = self._ready.get(route)
        for priority, campaign in work.line() if work is not None else ():
            may = self._permitted(campaign, taste.now) > 0
            band = work.band_for(campaign, taste, self._campaign(campaign).spill) if work is not None and may else None
            if work is not None and (band is not None or not may):
                return _Turn(priority=priority, route=route, work=work, campaign=campaign, band=band)
        return None

    def _lease(self, request: LeaseRequest, route: Route, campaign: str, pack: bytes, now: float) -> Lease:
        lease = Lease(
            id=f"m{next(self._numbers)}",
            lane=request.lane,
            route=route,
            owner=request.owner,
            envelopes=tuple(decode(pack)),
            day_ends=self._day_ends(request),
        )
        positions, day = set(range(len(lease.envelopes))), self._day(request, now)
        self._leases[lease.id] = HeldLease(lease, campaign, pack, positions, day, request.account)
        self._take_units(lease, request.account)
        return lease

    async def settle(self, settlements: Sequence[Settlement], now: float) -> int:
        await trio.lowlevel.checkpoint()
        gone = 0
        for settlement in settlements:
            self._suppress(settlement.refused)
            held = self._leases.get(settlement.lease)
            if held is not None:
                self._settle(held, settlement, now)
            else:
                gone += len(settlement.final) + len(settlement.again)
        return gone

    def _settle(self, held: HeldLease, settlement: Settlement, now: float) -> None:
        campaign, before = self._campaign(held.campaign), frozenset(held.open)
        parked = {doubt.position: doubt for doubt in settlement.parked}
        for position, state in settlement.final:
            if position in held.open:
                held.open.discard(position)
                campaign.final[held.lease.route.receiver, state] += 1
                campaign.fates[held.lease.envelopes[position].ordinal] = NUMBERS[state]
                if position in parked and state is State.UNKNOWN:
                    self._park(held, parked[position])
        for back in group(settlement.again, held.open):
            route = held.lease.route.own(back.source) if back.source else held.lease.route
            held.open.difference_update(again.position for again in back.again)
            if back.due > 0:
                for again in back.again:
                    campaign.fates[again.envelope.ordinal] = DEFERRED
                campaign.deferrals[held.lease.route.receiver] += back.tried
                self._later.append((back.due, route, held.campaign, back.pack))
            else:
                self._put(route, held.campaign, back.pack)
                self._spend(held.campaign, -len(back.again))
        if fresh := before - held.open:
            self._tell(settlement.events, now)
            self._settle_units(held, len(fresh), self._tell_marks(held, settlement, fresh), now)
        if not held.open:
            del self._leases[settlement.lease]

    def _park(self, held: HeldLease, parked: Parked) -> None:
        kept = self._parked.setdefault(held.campaign, {})
        if len(kept) < KEPT:
            (envelope,) = decode(encode([parked.envelope]))  # the leased one belongs to whoever leased it
            route = held.lease.route
            kept[envelope.ordinal] = Doubt(
                envelope=envelope, pool=route.pool, receiver=route.receiver, at=parked.at, why=parked.why
            )

    async def unclaim(self, owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        await trio.lowlevel.checkpoint()
        for lane in lanes:
            if self._claims.get(lane) == owner:
                del self._claims[lane]
