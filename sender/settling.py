"""Batches what lanes learn into settlements: one store call for all lanes of a process, ten times a second.

1. A lane calls `final` or `again` for each position of a lease, without waiting.
2. `run` gathers what came in during `gather_s`, turns it into one Settlement per lease and hands all to the queue.
3. While the store is away nothing is dropped: the same settlements are handed over again until it takes them (settling
   twice changes nothing). What can pile up is bounded, because lanes can lease nothing meanwhile.
4. The journal hears what the store has taken; what came too late, because the lease had passed on, is counted.
5. `flush` waits for all that was recorded. `finish` hands over what a cancelled `run` leaves behind.
"""

from collections.abc import Callable

import trio

from sender.errors import BackendError
from sender.model import Mark, State
from sender.queue.base import Again, Queue, Settlement, Ticket
from sender.queue.doubts import Parked
from sender.queue.journaling import NO_JOURNAL, Journaling
from sender.queue.suppressions import Suppression


class Sheet:
    """What is known of one lease since the last hand-over."""

    __slots__ = ("again", "events", "final", "identity", "marks", "parked", "refused", "ticket")

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.final: list[tuple[int, State]] = []
        self.again: list[Again] = []
        self.events: list[bytes] = []
        self.refused: list[Suppression] = []
        self.parked: list[Parked] = []
        self.marks: dict[Mark, list[int]] = {}
        self.identity = ""

    def mark(self, position: int, mark: Mark | None, identity: str) -> None:
        """What an attempt counts as: nothing, where that is None."""
        if mark is not None:
            self.marks.setdefault(mark, []).append(position)
            self.identity = identity

    def settlement(self) -> Settlement:
        return Settlement(
            lease=self.ticket.id,
            route=self.ticket.route,
            campaign=self.ticket.campaign,
            final=tuple(self.final),
            ordinals=tuple(self.ticket.ordinals[position] for position, _ in self.final),
            again=tuple(self.again),
            events=tuple(self.events),
            parked=tuple(self.parked),
            refused=tuple(self.refused),
            marks={mark: tuple(positions) for mark, positions in self.marks.items()},
            identity=self.identity,
        )


class Settler:
    """Collects what became of leased envelopes and settles it in batches."""

    def __init__(
        self,
        queue: Queue,
        clock: Callable[[], float],
        *,
        gather_s: float = 0.1,
        retry_s: float = 1.0,
        journal: Journaling = NO_JOURNAL,
        on_trouble: Callable[[BackendError], None] = lambda error: None,
        on_late: Callable[[int], None] = lambda positions: None,
    ) -> None:
        self._queue, self._clock = queue, clock
        self._gather_s, self._retry_s, self._on_trouble = gather_s, retry_s, on_trouble
        self._journal, self._on_late = journal, on_late
        self._open: dict[str, Sheet] = {}
        self._told: list[Settlement] = []  # being handed over
        self._again = False  # not for the first time: the store may have taken it, and its answer was lost
        self._wake = trio.Event()
        self._gathering = trio.Event()  # set once what is in `_open` now is settled
        self._under_way = trio.Event()  # the same for what was taken out of it last
        self._under_way.set()
        self.troubled = False  # the store did not take the last hand-over

    def final(self, ticket: Ticket, position: int, state: State, event: bytes) -> None:
        """This envelope has reached a final state."""
        record = self._record(ticket)
        record.final.append((position, state))
        record.events.append(event)

    def again(self, ticket: Ticket, again: Again, event: bytes | None = None) -> None:
        """This envelope goes back to the queue: with an event where an attempt was made, without one where none was."""
        record = self._record(ticket)
        record.again.append(again)
        if event is not None:
            record.events.append(event)

    def suppress(self, ticket: Ticket, entry: Suppression) -> None:
        """A recipient of this lease does not exist: told together with what became of the envelope."""
        self._record(ticket).refused.append(entry)

    def park(self, ticket: Ticket, parked: Parked) -> None:
        """An envelope that ends as UNKNOWN: told together with that, so that an operator may send it again."""
        self._record(ticket).parked.append(parked)

    def mark(self, ticket: Ticket, position: int, mark: Mark | None, identity: str) -> None:
        """What an attempt for this envelope counts as, told together with what became of it.

        Without a mark the unit of a cap that it had taken is there again.
        """
        if mark is not None:
            self._record(ticket).mark(position, mark, identity)

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

    def _record(self, ticket: Ticket) -> Sheet:
        record = self._open.get(ticket.id)
        if record is None:
            record = self._open[ticket.id] = Sheet(ticket)
            self._wake.set()
        return record

    def _gather(self) -> None:
        self._told += [record.settlement() for record in self._open.values()]
        self._wake, self._open = trio.Event(), {}
        self._under_way, self._gathering = self._gathering, trio.Event()

    async def _hand_over(self) -> None:
        while self._told:
            repeated, self._again = self._again, True
            try:
                late = await self._queue.settle(self._told, self._clock())
            except BackendError as error:
                self.troubled = True
                self._on_trouble(error)
                await trio.sleep(self._retry_s)
            else:
                self._journal.settled(self._told)
                self.troubled, self._again, self._told = False, False, []
                if late and not repeated:
                    self._on_late(late)
