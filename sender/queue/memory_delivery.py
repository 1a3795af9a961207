"""The memory backend's second half: leasing and settling."""

from collections.abc import Sequence

import trio

from sender.model import LaneId, Route
from sender.queue.base import Lease, LeaseRequest, Settlement
from sender.queue.later import group
from sender.queue.memory_part import HeldLease
from sender.queue.memory_upkeep import MemoryUpkeep
from sender.queue.pack import decode, encode, size


class MemoryDelivery(MemoryUpkeep):
    """Leasing and settling."""

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
        self._leases[lease.id] = HeldLease(lease, campaign, pack, set(range(len(lease.envelopes))))
        return lease

    async def settle(self, settlements: Sequence[Settlement], now: float) -> None:
        await trio.lowlevel.checkpoint()
        for settlement in settlements:
            held = self._leases.get(settlement.lease)
            if held is not None:
                self._settle(held, settlement)

    def _settle(self, held: HeldLease, settlement: Settlement) -> None:
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

    async def unclaim(self, owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        await trio.lowlevel.checkpoint()
        for lane in lanes:
            if self._claims.get(lane) == owner:
                del self._claims[lane]
