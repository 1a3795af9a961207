"""The queue in this process's memory: for notebooks, simulations and tests. Nothing outlives the process.

It keeps packs as every backend does, so that what is leased is never the object that was submitted. Each method does its
work in one go after a checkpoint: that is all the atomicity a single process needs. The parts are those of the Redis
backend: `memory_inbox`, `memory_delivery`, `memory_warmups`, `memory_upkeep`, `memory_views`.
"""

import trio

from sender.queue.memory_control import MemoryControl
from sender.queue.memory_delivery import MemoryDelivery
from sender.queue.memory_doubts import MemoryDoubts
from sender.queue.memory_finding import MemoryFinding
from sender.queue.memory_groups import MemoryGroups
from sender.queue.memory_inbox import MemoryInbox
from sender.queue.memory_lane_holds import MemoryLaneHolds
from sender.queue.memory_owners import MemoryOwners
from sender.queue.memory_standing import MemoryStanding


class MemoryQueue(
    MemoryInbox,
    MemoryControl,
    MemoryDelivery,
    MemoryDoubts,
    MemoryFinding,
    MemoryGroups,
    MemoryLaneHolds,
    MemoryOwners,
    MemoryStanding,
):
    """See `sender.queue.base.Queue`."""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def __repr__(self) -> str:
        return f"<MemoryQueue {len(self._accepted)} campaigns, {len(self._leases)} leases>"
