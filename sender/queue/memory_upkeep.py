"""The memory backend's upkeep: what is due, what the dead leave behind, what may be forgotten."""

import trio

from sender.queue.memory_suppressions import MemorySuppressions
from sender.queue.memory_views import MemoryViews
from sender.queue.pack import decode, encode_all, size


class MemoryUpkeep(MemoryViews, MemorySuppressions):
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

    async def reclaim(self, now: float) -> int:
        await trio.lowlevel.checkpoint()
        returned = 0
        for held in [held for held in self._leases.values() if held.lease.owner not in self._beats]:
            left = [envelope for position, envelope in enumerate(decode(held.pack)) if position in held.open]
            for pack in encode_all(left):
                self._put(held.lease.route, held.campaign, pack)
            returned += len(left)
            del self._leases[held.lease.id]
        self._unclaim_all(lambda owner: owner not in self._beats)
        self._fenced.clear()
        self._sweep_suppressions(now)
        for name, campaign in self._campaigns.items():
            if campaign.finished and not self._parked.get(name):
                campaign.spec = None
        return returned
