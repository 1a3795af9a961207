"""The memory backend's words on lanes."""

from collections.abc import Sequence

import trio

from sender.queue.lane_holds import LaneHold
from sender.queue.memory_part import MemoryPart


class MemoryLaneHolds(MemoryPart):
    """See `sender.queue.lane_holds.HoldsLanes`."""

    async def hold_lanes(self, holds: Sequence[LaneHold]) -> None:
        await trio.lowlevel.checkpoint()
        self._lane_holds.update((hold.name, hold) for hold in holds)

    async def free_lanes(self, names: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        for name in names:
            self._lane_holds.pop(name, None)

    async def lane_holds(self) -> Sequence[LaneHold]:
        await trio.lowlevel.checkpoint()
        return [hold for _, hold in sorted(self._lane_holds.items())]
