"""The sessions that a process may have at a time: who waits for a place is known, so that others can make room."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio


class Places:
    """So many and no more; first come, first served."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting = 0  # for one of them
        self._limiter = trio.CapacityLimiter(most)
        self._yielding = trio.lowlevel.ParkingLot()
        self._idle: dict[object, Callable[[], None]] = {}  # sessions with a place and nothing to do, longest first

    @property
    def taken(self) -> int:
        return self._limiter.borrowed_tokens

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a place, and have it while the block runs."""
        try:
            self._limiter.acquire_nowait()
        except trio.WouldBlock:
            await self._wait()
        try:
            yield
        finally:
            self._limiter.release()

    @contextmanager
    def idling(self, call: Callable[[], None]) -> Iterator[None]:
        """A place is held without need while the block runs; `call` is called once if somebody needs it."""
        key = object()
        self._idle[key] = call
        try:
            yield
        finally:
            self._idle.pop(key, None)

    def call_idle(self) -> None:
        """Tell the one that has idled longest that its place is needed."""
        if self._idle:
            self._idle.pop(next(iter(self._idle)))()

    async def _wait(self) -> None:
        self.waiting += 1
        self._yielding.unpark()
        self.call_idle()
        try:
            await self._limiter.acquire()
        finally:
            self.waiting -= 1

    async def wanted(self) -> None:
        """Wait until somebody needs a place: of those that wait here one is told for each."""
        if not self.waiting:
            await self._yielding.park()
        await trio.lowlevel.checkpoint()

    def __repr__(self) -> str:
        return f"<Places {self._limiter.borrowed_tokens} of {self.most} taken, {self.waiting} wait>"
