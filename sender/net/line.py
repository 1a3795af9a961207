"""A line for questions to servers of which some answer at once and some never do.

So many may be asked at a time. Whoever has waited for an answer for longer than `patience_s` steps aside: it goes on waiting,
and another is let in, so that the dead do not hold up the living. How many wait in all is bounded too.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


class Line:
    """Where one waits for one's turn to ask."""

    def __init__(self, *, quick: int, most: int, patience_s: float) -> None:
        """`quick` at a time that have not waited long yet, and `most` with those that have."""
        self._quick, self._patience_s = quick, patience_s
        self._all = trio.CapacityLimiter(most)
        self._inside: OrderedDict[object, float] = OrderedDict()  # since when, the one that has waited longest first
        self._door = trio.Lock()  # one stands there and watches, the others wait behind
        self._outside = trio.lowlevel.ParkingLot()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a turn, and have it while the block runs."""
        async with self._all:
            token = object()
            async with self._door:
                while not self._has_room():
                    with trio.move_on_at(next(iter(self._inside.values())) + self._patience_s):
                        await self._outside.park()
                self._inside[token] = trio.current_time()
            try:
                yield
            finally:
                if self._inside.pop(token, None) is not None:
                    self._outside.unpark()

    def _has_room(self) -> bool:
        """Whether another may be let in; the one that has waited longest may have to step aside for it."""
        if len(self._inside) < self._quick:
            return True
        token, since = next(iter(self._inside.items()))
        if trio.current_time() < since + self._patience_s:
            return False
        del self._inside[token]
        return True

    def __repr__(self) -> str:
        return f"<Line {len(self._inside)} quick ones of {self._all.borrowed_tokens}>"
