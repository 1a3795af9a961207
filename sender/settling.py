"""Batches what lanes learn into settlements: one store call for all lanes of a process, every few hundredths of a second.

1. A lane calls `final` or `again` for each position of a lease, without waiting.
2. `run` gathers what came in during `gather_s`, turns it into one Settlement per lease and hands all to the queue.
3. While the store is away nothing is dropped: the same settlements are handed over again until it takes them (settling
   twice changes nothing). What can pile up is bounded, because lanes can lease nothing meanwhile.
"""

from collections.abc import Callable

import trio

from sender.errors import BackendError
from sender.model import State
from sender.queue.base import Again, Lease, Queue, Settlement


class _Open:
    """What is known of one lease since the last hand-over."""

    __slots__ = ("again", "events", "final", "lease")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.final: list[tuple[int, State]] = []
        self.again: list[Again] = []
        self.events: list[bytes] = []

    def settlement(self) -> Settlement:
        return Settlement(
            lease=self.lease.id,
            route=self.lease.route,
            campaign=self.lease.envelopes[0].campaign,
            final=tuple(self.final),
            again=tuple(self.again),
            events=tuple(self.events),
        )


class Settler:
    """Collects what became of leased envelopes and settles it in batches."""

    def __init__(
        self,
        queue: Queue,
        clock: Callable[[], float],
        *,
        gather_s: float = 0.03,
        retry_s: float = 1.0,
        on_trouble: Callable[[BackendError], None] = lambda error: None,
    ) -> None:
        self._queue, self._clock = queue, clock
        self._gather_s, self._retry_s, self._on_trouble = gather_s, retry_s, on_trouble
        self._open: dict[str, _Open] = {}
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._idle.set()

    def final(self, lease: Lease, position: int, state: State, event: bytes) -> None:
        """This envelope has reached a final state."""
        record = self._record(lease)
        record.final.append((position, state))
        record.events.append(event)

    def again(self, lease: Lease, again: Again, event: bytes | None = None) -> None:
        """This envelope goes back to the queue: with an event where an attempt was made, without one where none was."""
        record = self._record(lease)
        record.again.append(again)
        if event is not None:
            record.events.append(event)

    async def run(self) -> None:
        """Settle for ever; cancel it only after `flush`."""
        while True:
            await self._wake.wait()
            await trio.sleep(self._gather_s)
            self._wake = trio.Event()
            batch = [record.settlement() for record in self._open.values()]
            self._open = {}
            await self._hand_over(batch)
            if not self._open:
                self._idle.set()

    async def flush(self) -> None:
        """Wait until all that was recorded so far is settled."""
        await self._idle.wait()

    def _record(self, lease: Lease) -> _Open:
        record = self._open.get(lease.id)
        if record is None:
            record = self._open[lease.id] = _Open(lease)
            self._wake.set()
            if self._idle.is_set():
                self._idle = trio.Event()
        return record

    async def _hand_over(self, batch: list[Settlement]) -> None:
        while True:
            try:
                await self._queue.settle(batch, self._clock())
            except BackendError as error:
                self._on_trouble(error)
                await trio.sleep(self._retry_s)
            else:
                return
