"""Async context managers that outlive a test: a thread with a trio run of its own holds them open for a whole session."""

import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Generic, TypeVar

import trio

Value = TypeVar("Value")


class _Holder(threading.Thread, Generic[Value]):
    def __init__(self, manager: AbstractAsyncContextManager[Value]) -> None:
        super().__init__()
        self.values: list[Value] = []
        self.ready = threading.Event()
        self._manager = manager
        self._end: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def run(self) -> None:
        try:
            trio.run(self._hold)
        finally:
            self.ready.set()

    async def _hold(self) -> None:
        async with self._manager as value:
            self._end, self._token = trio.Event(), trio.lowlevel.current_trio_token()
            self.values.append(value)
            self.ready.set()
            await self._end.wait()

    def stop(self) -> None:
        if self._end is not None and self._token is not None:
            self._token.run_sync_soon(self._end.set)
        self.join()


@contextmanager
def held_open(manager: AbstractAsyncContextManager[Value]) -> Iterator[Value]:
    """Enter an async context manager now and leave it with the block."""
    holder = _Holder(manager)
    holder.start()
    holder.ready.wait()
    try:
        assert holder.values, "it did not start: the thread's own report says why"
        yield holder.values[0]
    finally:
        holder.stop()
