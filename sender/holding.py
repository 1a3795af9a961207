"""Lanes that an operator holds, as this process sees it: `Holding` reads the words about once a second.

A lane that is held ends in order: it leases nothing, what its sessions have begun is finished, the rest goes back to its route
at once, where the other sources of its pool find it. None begins in its place. When the hold is over it begins again with one
connection. While the store is away, what was held stays held, and a hold that has an end still ends.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from sender.errors import BackendError
from sender.model import LaneId
from sender.queue.lane_holds import LaneHold, Words

_POLL_S = 1.0


class SaysWhoIsHeld(Protocol):
    """The part of a queue that knows these words."""

    async def lane_holds(self) -> Sequence[LaneHold]: ...


class WhoIsHeld(Protocol):
    """What is asked of it."""

    @property
    def any(self) -> bool:
        """Whether any word stands at all."""

    def of(self, lane: LaneId) -> LaneHold | None:
        """What holds this lane now; never blocks."""

    async def run(self, changed: Callable[[], None]) -> None:
        """Look for ever; `changed` is called when other words stand than before."""


class Nobody:
    """Nobody is held."""

    any = False

    def of(self, lane: LaneId) -> None:
        return None

    async def run(self, changed: Callable[[], None]) -> None:
        await trio.sleep_forever()


NOBODY = Nobody()


class Holding:
    """Which lanes are held; see `WhoIsHeld`."""

    def __init__(
        self, queue: SaysWhoIsHeld, clock: Callable[[], float], *, on_trouble: Callable[[str], None] = lambda text: None
    ) -> None:
        self._queue, self._clock, self._on_trouble = queue, clock, on_trouble
        self._words = Words()

    @property
    def any(self) -> bool:
        return bool(self._words)

    def of(self, lane: LaneId) -> LaneHold | None:
        return self._words.of(lane, self._clock()) if self._words else None

    async def run(self, changed: Callable[[], None]) -> None:
        while True:
            try:
                words = Words(await self._queue.lane_holds())
            except BackendError as error:
                self._on_trouble(str(error))
            else:
                if words != self._words:
                    self._words = words
                    changed()
            await trio.sleep(_POLL_S)

    def __repr__(self) -> str:
        return f"<Holding {self._words!r}>"
