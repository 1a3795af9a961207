"""Settlements in batches: one call for many, none lost while the store is away, and a flush that waits for its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.model import State
from sender.queue.base import Again, Lease, Settlement, Ticket
from sender.queue.doubts import Parked
from sender.queue.journaling import NoJournal
from sender.queue.memory import MemoryQueue
from sender.settling import Settler
from tests.holding import LANE, envelope, ticket
from tests.rig import ROUTE, clock


class Ledger(MemoryQueue):
    """Remembers what it was told, in calls; away for the first `away` of them."""

    def __init__(self, *, away: int = 0, seconds: float = 0.0, gone: int = 0) -> None:
        """`gone` positions of each call belong to leases that have passed on."""
        super().__init__()
        self.told: list[Sequence[Settlement]] = []
        self._away, self._seconds, self._gone = away, seconds, gone

    async def settle(self, settlements: Sequence[Settlement], now: float) -> int:
        await trio.sleep(self._seconds)
        if self._away:
            self._away -= 1
            raise BackendError("the store is away")
        self.told.append(tuple(settlements))
        return self._gone


@asynccontextmanager
async def running(settler: Settler) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(settler.run)
        yield
        nursery.cancel_scope.cancel()


def test_a_ticket_says_all_of_its_lease_that_a_settlement_does() -> None:
    envelopes = tuple(envelope(ordinal) for ordinal in (7, 11, 20))
    lease = Lease(id="l1", lane=LANE, route=ROUTE, owner="host/1", envelopes=envelopes)
    assert lease.ticket() == Ticket(id="l1", lane=LANE, route=ROUTE, campaign="spring", ordinals=(7, 11, 20))


async def test_what_comes_together_is_told_together(autojump_clock: MockClock) -> None:
    queue = Ledger()
    settler = Settler(queue, clock)
    first, second = replace(ticket(3, number=1), ordinals=(7, 11, 20)), ticket(2, number=2)
    async with running(settler):
        settler.final(first, 0, State.DELIVERED, b"e0")
        settler.again(first, Again(position=1, envelope=envelope(1), due=5.0), b"e1")
        settler.again(second, Again(position=0, envelope=envelope(0), due=0.0))
        await settler.flush()
        settler.final(first, 2, State.REJECTED, b"e2")
        await settler.flush()
    (one, two), (late,) = queue.told
    assert (one.lease, one.final, one.events) == ("l1", ((0, State.DELIVERED),), (b"e0", b"e1"))
    assert [again.position for again in one.again] == [1]
    assert (two.lease, two.final, two.events, len(two.again)) == ("l2", (), (), 1)
    assert (late.lease, late.final) == ("l1", ((2, State.REJECTED),))
    assert [told.ordinals for told in (one, two, late)] == [(7,), (), (20,)]


async def test_while_the_store_is_away_nothing_is_dropped_and_nothing_hammers(autojump_clock: MockClock) -> None:
    queue = Ledger(away=5)
    troubles: list[str] = []
    settler = Settler(queue, clock, on_trouble=lambda error: troubles.append(str(error)))
    leased = ticket(2)
    async with running(settler):
        settler.final(leased, 0, State.DELIVERED, b"e0")
        await trio.sleep(2)
        settler.final(leased, 1, State.DELIVERED, b"e1")
        await settler.flush()
        assert 5.0 <= trio.current_time() < 5.5
    assert troubles == ["the store is away"] * 5
    assert [settlement.final[0][0] for told in queue.told for settlement in told] == [0, 1]


async def test_flush_waits_for_what_was_recorded_and_not_for_what_others_record(autojump_clock: MockClock) -> None:
    queue = Ledger(seconds=0.5)
    settler = Settler(queue, clock)

    async def others() -> None:
        for number in range(10_000):
            settler.final(ticket(1, number=1000 + number), 0, State.DELIVERED, b"e")
            await trio.sleep(0.05)

    async with running(settler), trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await trio.sleep(3)
        settler.final(ticket(1, number=1), 0, State.DELIVERED, b"mine")
        with trio.fail_after(2):
            await settler.flush()
        assert "l1" in {settlement.lease for told in queue.told for settlement in told}
        nursery.cancel_scope.cancel()


async def test_flush_with_nothing_recorded_returns_at_once(autojump_clock: MockClock) -> None:
    settler = Settler(Ledger(), clock)
    await settler.flush()
    assert trio.current_time() == 0


async def test_finish_tells_what_a_cancelled_run_left(autojump_clock: MockClock) -> None:
    """Both what was on its way and what was recorded since; told twice it is settled once."""
    queue = Ledger(seconds=10.0)
    settler = Settler(queue, clock)
    async with running(settler):
        settler.final(ticket(1, number=1), 0, State.DELIVERED, b"e")
        await trio.sleep(1)
        settler.final(ticket(1, number=2), 0, State.DELIVERED, b"e")
    assert queue.told == []
    await settler.finish()
    assert [settlement.lease for settlement in queue.told[0]] == ["l1", "l2"]
    await settler.finish()
    assert len(queue.told) == 1


class Chronicle(NoJournal):
    """A journal that remembers what it was told is settled."""

    def __init__(self) -> None:
        self.leases: list[str] = []

    def settled(self, settlements: Sequence[Settlement]) -> None:
        self.leases += [settlement.lease for settlement in settlements]


async def test_the_journal_hears_what_the_store_has_taken_and_no_more(autojump_clock: MockClock) -> None:
    journal = Chronicle()
    settler = Settler(Ledger(away=3), clock, journal=journal)
    async with running(settler):
        settler.final(ticket(1), 0, State.DELIVERED, b"e")
        await trio.sleep(2)
        assert journal.leases == []
        await settler.flush()
    assert journal.leases == ["l1"]


async def test_outcomes_whose_lease_has_passed_on_are_counted(autojump_clock: MockClock) -> None:
    late: list[int] = []
    settler = Settler(Ledger(gone=2), clock, on_late=late.append)
    async with running(settler):
        for number in range(2):
            settler.final(ticket(1, number=number), 0, State.DELIVERED, b"e")
            await settler.flush()
    assert late == [2, 2]


async def test_what_is_told_again_may_have_been_taken_the_first_time(autojump_clock: MockClock) -> None:
    late: list[int] = []
    settler = Settler(Ledger(gone=2, away=1), clock, on_late=late.append)
    async with running(settler):
        settler.final(ticket(1, number=1), 0, State.DELIVERED, b"e")
        await settler.flush()
        assert late == []
        settler.final(ticket(1, number=2), 0, State.DELIVERED, b"e")
        await settler.flush()
    assert late == [2]


async def test_what_an_operator_may_send_again_goes_with_its_end(autojump_clock: MockClock) -> None:
    queue = Ledger()
    settler = Settler(queue, clock)
    parked = Parked(position=0, envelope=envelope(0), at=1.0, why="mx: lost")
    async with running(settler):
        settler.final(ticket(1), 0, State.UNKNOWN, b"e")
        settler.park(ticket(1), parked)
        await settler.flush()
    ((settlement,),) = queue.told
    assert (settlement.final, settlement.parked) == (((0, State.UNKNOWN),), (parked,))
