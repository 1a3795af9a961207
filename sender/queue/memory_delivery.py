"""The memory backend's second half: leasing and settling."""

from collections.abc import Sequence

import trio

from sender.model import LaneId, Route, State
from sender.queue.base import Granted, Lease, LeaseRequest, Settlement
from sender.queue.doubts import KEPT, Doubt, Parked
from sender.queue.fates import DEFERRED, NUMBERS
from sender.queue.later import group
from sender.queue.memory_part import HeldLease
from sender.queue.memory_upkeep import MemoryUpkeep
from sender.queue.pack import decode, encode, size


class MemoryDelivery(MemoryUpkeep):
    """Leasing and settling."""

    async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Granted:
        await trio.lowlevel.checkpoint()
        leases = Granted()
        for request in requests:
            if self._claims.setdefault(request.lane, request.owner) == request.owner:
                leases += self._grant(request, now)
        return leases

    def _grant(self, request: LeaseRequest, now: float) -> list[Lease]:
        wanted, packs = request.envelopes, dict[str, list[bytes]]()
        work = self._ready.get(request.route)
        while work and wanted > 0 and (campaign := work.next_campaign()) is not None:
            permitted = self._permitted(campaign, now)
            if permitted <= 0:
                work.set_aside(campaign)
                continue
            pack, granted = work.take(campaign, at_most=int(min(wanted, permitted)))
            wanted -= granted
            self._spend(campaign, granted)
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
        self._leases[lease.id] = HeldLease(lease, campaign, pack, set(range(len(lease.envelopes))))
        return lease

    async def settle(self, settlements: Sequence[Settlement], now: float) -> int:
        await trio.lowlevel.checkpoint()
        gone = 0
        for settlement in settlements:
            self._suppress(settlement.refused)
            held = self._leases.get(settlement.lease)
            if held is not None:
                self._settle(held, settlement)
            else:
                gone += len(settlement.final) + len(settlement.again)
        return gone

    def _settle(self, held: HeldLease, settlement: Settlement) -> None:
        campaign, before = self._campaign(held.campaign), len(held.open)
        parked = {doubt.position: doubt for doubt in settlement.parked}
        for position, state in settlement.final:
            if position in held.open:
                held.open.discard(position)
                campaign.final[held.lease.route.receiver, state] += 1
                campaign.fates[held.lease.envelopes[position].ordinal] = NUMBERS[state]
                if position in parked and state is State.UNKNOWN:
                    self._park(held, parked[position])
        for back in group(settlement.again, held.open):
            held.open.difference_update(again.position for again in back.again)
            if back.due > 0:
                for again in back.again:
                    campaign.fates[again.envelope.ordinal] = DEFERRED
                campaign.deferrals[held.lease.route.receiver] += back.tried
                self._later.append((back.due, held.lease.route, held.campaign, back.pack))
            else:
                self._put(held.lease.route, held.campaign, back.pack)
                self._spend(held.campaign, -len(back.again))
        if len(held.open) < before:
            self._tell(settlement.events)
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
