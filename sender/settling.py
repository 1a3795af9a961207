"""Batches what lanes learn into settlements: one store call for all lanes of a process, every few hundredths of a second.

1. A lane calls `final` or `again` for each position of a lease, without waiting.
2. `run` gathers what came in during `gather_s`, turns it into one Settlement per lease and hands all to the queue.
3. While the store is away nothing is dropped: the same settlements are handed over again until it takes them (settling
   twice changes nothing). What can pile up is bounded, because lanes can lease nothing meanwhile.
4. `flush` waits for all that was recorded. `finish` hands over what a cancelled `run` leaves behind.
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
        self._told: list[Settlement] = []  # being handed over
        self._wake = trio.Event()
        self._gathering = trio.Event()  # set once what is in `_open` now is settled
        self._under_way = trio.Event()  # the same for what was taken out of it last
        self._under_way.set()
        self.troubled = False  # the store did not take the last hand-over

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
        """Settle for ever; cancel it only after `flush`, or call `finish` then."""
        while True:
            await self._wake.wait()
            await trio.sleep(self._gather_s)
            self._gather()
            await self._hand_over()
            self._under_way.set()

    async def finish(self) -> None:
        """Once `run` has been cancelled: settle what is left. Bound its time: the store may be away."""
        self._gather()
        await self._hand_over()

    async def flush(self) -> None:
        """Wait until all that was recorded so far is settled; what others record meanwhile is not waited for."""
        await (self._gathering if self._open else self._under_way).wait()

    def _record(self, lease: Lease) -> _Open:
        record = self._open.get(lease.id)
        if record is None:
            record = self._open[lease.id] = _Open(lease)
            self._wake.set()
        return record

    def _gather(self) -> None:
        self._told += [record.settlement() for record in self._open.values()]
        self._wake, self._open = trio.Event(), {}
        self._under_way, self._gathering = self._gathering, trio.Event()

    async def _hand_over(self) -> None:
        while self._told:
            try:
                await self._queue.settle(self._told, self._clock())
            except BackendError as error:
                self.troubled = True
                self._on_trouble(error)
                await trio.sleep(self._retry_s)
            else:
                self.troubled = False
                self._told = []
