"""The memory backend's upkeep: who lives, what is due, what the dead leave behind, what may be forgotten."""

from collections.abc import Sequence

import trio

from sender.queue.memory_views import MemoryViews
from sender.queue.pack import decode, encode_all, size


class MemoryUpkeep(MemoryViews):
    """Heartbeats, promotion, giving back, forgetting."""

    async def heartbeat(self, owner: str, now: float) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self._beats[owner] = max(now, self._beats.get(owner, now))
        return sorted(name for name in self._beats if self._lives(name, now))

    async def resign(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        self._beats.pop(owner, None)
        self._claims = {lane: holder for lane, holder in self._claims.items() if holder != owner}

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
