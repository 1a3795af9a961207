"""The memory backend's upkeep: what is due, what the dead leave behind, what may be forgotten."""

from collections.abc import Mapping

import trio

from sender.model import Route
from sender.queue.memory_suppressions import MemorySuppressions
from sender.queue.memory_views import MemoryViews
from sender.queue.memory_warmups import MemoryWarmups
from sender.queue.pack import decode, encode_all, size


class MemoryUpkeep(MemoryViews, MemorySuppressions, MemoryWarmups):
    """Promotion, giving back, forgetting."""

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

    async def unbind(self, pools: Mapping[str, str], patience_s: float, now: float, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        moved = 0
        for route, since in list(self._owned.items()):
            if route not in self._ready:
                del self._owned[route]
            elif pools.get(route.source) != route.pool or (since is not None and now - since >= patience_s):
                moved += self._unbind(route, limit - moved)
            elif since is None:
                self._owned[route] = now
        return moved

    def _unbind(self, route: Route, limit: int) -> int:
        """What is set aside moves once it is in line again."""
        work, moved = self._ready[route], 0
        for _, campaign in list(work.line()):
            while moved < limit and work.of(campaign):
                pack = work.drop(campaign)
                self._put(route.shared, campaign, pack)
                moved += size(pack)
        if not work:
            del self._ready[route]
        return moved

    async def reclaim(self, now: float) -> int:
        await trio.lowlevel.checkpoint()
        returned = 0
        for held in [held for held in self._leases.values() if held.lease.owner not in self._beats]:
            left = [envelope for position, envelope in enumerate(decode(held.pack)) if position in held.open]
            for pack in encode_all(left):
                self._put(held.lease.route, held.campaign, pack)
            returned += len(left)
            self._settle_units(held, len(left), 0 if held.lease.owner in self._told_all else len(left), now)
            del self._leases[held.lease.id]
        self._unclaim_all(lambda owner: owner not in self._beats)
        self._fenced.clear()
        self._told_all.clear()
        self._sweep_suppressions(now)
        for name, campaign in self._campaigns.items():
            if campaign.finished and not self._parked.get(name):
                campaign.spec = None
        return returned
