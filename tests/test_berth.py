"""The last word before an end of data: only what is still ours, still wanted and written down goes out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from sender.backlog import Held
from sender.model import Reply, State, Step, Transaction
from sender.queue.journal import Journal
from sender.queue.journal_left import homes
from sender.queue.journal_record import Key
from sender.queue.journaling import NoJournal
from sender.queue.owners import FENCED_AFTER_S
from sender.withdrawal import Withdrawn
from tests.office import OK, Lost, Office
from tests.queue.test_journal import file_limit, until
from tests.rig import Rig, submitted
from tests.test_engine import drained
from tests.test_engine import running as engines
from tests.test_lane import running

CANCELLED = Withdrawn(state=State.CANCELLED, why="cancelled by ann@office")
PAUSED = Withdrawn(state=None, why="paused by ann@office")


class Chronicle(NoJournal):
    """A journal that remembers, and can be full."""

    def __init__(self) -> None:
        self.healthy = True
        self.intents: list[Key] = []
        self.taken_back: list[Key] = []

    def intent(self, keys: Sequence[Key]) -> bool:
        self.intents += keys
        return True

    def untried(self, key: Key) -> None:
        if key in self.intents:
            self.taken_back.append(key)


async def test_every_end_of_data_is_in_the_journal_before_it_goes_out(autojump_clock: MockClock) -> None:
    journal = Chronicle()

    def answer(transaction: Transaction) -> Reply:
        assert isinstance(transaction.tag, Held)
        assert (transaction.tag.ticket.id, transaction.tag.position) in journal.intents
        return OK

    rig = Rig(office=Office(answer=answer), journal=journal)
    await submitted(rig.queue, 100)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        assert await rig.finished() == {State.DELIVERED: 100}
    assert len(journal.intents) == len(set(journal.intents)) == 100
    assert journal.taken_back == []


async def test_what_a_session_did_not_send_after_all_is_taken_back_and_sent_by_another(autojump_clock: MockClock) -> None:
    """The receiver closes an idle session under us: the message goes over the next one, and was in nobody's hands."""
    journal, closed = Chronicle(), iter([Lost(step=Step.MAIL)])

    def answer(transaction: Transaction) -> Reply | Lost:
        assert isinstance(transaction.tag, Held)
        return next(closed, OK) if transaction.tag.envelope.ordinal == 5 else OK

    rig = Rig(office=Office(answer=answer), journal=journal, limits={"connections": 1})
    await submitted(rig.queue, 10)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        assert await rig.finished() == {State.DELIVERED: 10}
    assert [position for _, position in journal.taken_back] == [5]
    assert [position for _, position in journal.intents].count(5) == 2
    assert set(rig.office.copies.values()) == {1}


async def test_a_withdrawn_envelope_is_passed_over_and_ends(autojump_clock: MockClock) -> None:
    """Some of those that were composed and waited for a session are cancelled: the others go out, over the same sessions."""
    rig = Rig(office=Office(rtt_s=1.0), limits={"connections": 1})
    rig.withdrawn = lambda held: CANCELLED if trio.current_time() > 5 and held.envelope.ordinal % 2 else None
    await submitted(rig.queue, 40)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        totals = await rig.finished()
    delivered = totals[State.DELIVERED]
    assert totals == {State.DELIVERED: delivered, State.CANCELLED: 40 - delivered}
    assert delivered == len(rig.office.copies)
    assert 20 <= delivered < 30
    assert len(rig.office.sessions) <= 3
    assert {attempt.held.envelope.ordinal for attempt in rig.attempts} == {
        int(one[1:].split("@")[0]) for one in rig.office.copies
    }
    await rig.conserved(40)


@pytest.mark.parametrize(("reason", "state"), [(CANCELLED, State.CANCELLED), (PAUSED, None)], ids=["cancelled", "paused"])
@pytest.mark.row("F50")
async def test_what_is_withdrawn_while_it_is_being_sent_is_stopped_before_its_end_of_data(
    autojump_clock: MockClock, reason: Withdrawn, state: State | None
) -> None:
    """It was handed to a session and MAIL, RCPT and DATA are through: the content does not go out."""
    rig, asked = Rig(), dict[int, int]()

    def between_take_and_dot(held: Held) -> Withdrawn | None:
        asked[held.envelope.ordinal] = asked.get(held.envelope.ordinal, 0) + 1
        return reason if held.envelope.ordinal == 3 and asked[3] > 1 and trio.current_time() < 100 else None

    rig.withdrawn = between_take_and_dot
    await submitted(rig.queue, 10)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(50)
        assert len(rig.office.copies) == 9
        assert "r3@big.example" not in rig.office.copies
        if state is None:
            assert (await rig.conserved(10)) == {State.DELIVERED: 9}
            return
        assert await rig.finished() == {State.DELIVERED: 9, state: 1}
    await rig.conserved(10)


async def test_what_is_paused_while_it_is_being_sent_goes_back_untried(autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(rtt_s=1.0))
    rig.withdrawn = lambda held: PAUSED if 3 < trio.current_time() < 60 else None
    engine = rig.engine()
    await submitted(rig.queue, 200)
    async with engines(rig, engine):
        assert await rig.finished() == {State.DELIVERED: 200}
        await drained(engine)
    assert set(rig.office.copies.values()) == {1}
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}
    assert {attempt.held.envelope.tried_at for attempt in rig.attempts} == {0.0}
    await rig.conserved(200)


@pytest.mark.row("F6")
async def test_a_lease_that_may_have_passed_on_at_the_last_moment_is_not_sent(autojump_clock: MockClock) -> None:
    """Alive when it was taken, no longer at the dot: nothing of it arrives, and what was written down is taken back."""
    journal = Chronicle()
    rig = Rig(journal=journal)
    await submitted(rig.queue, 10)
    services = rig.lanes()

    def alive() -> bool:
        return not (journal.intents and journal.intents[-1][1] == 3 and not journal.taken_back)

    services = replace(services, crew=replace(services.crew, alive=alive))
    async with running(rig, services, rig.lane(services)):
        assert await rig.finished() == {State.DELIVERED: 10}
    assert [position for _, position in journal.taken_back] == [3]
    assert set(rig.office.copies.values()) == {1}
    assert len(rig.office.sessions) >= 2, "that session was over"
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}


@pytest.mark.row("F6")
async def test_who_could_not_beat_sends_nothing_more(autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(rtt_s=1.0), limits={"connections": 1})
    await submitted(rig.queue, 200)
    membership = rig.membership()
    await membership.join()
    services = rig.lanes(membership)
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(FENCED_AFTER_S + 2)  # nobody beats for it
        taken = len(rig.office.contents)
        assert 0 < taken < 20
        await trio.sleep(100)
        assert len(rig.office.contents) == taken
        assert sum((await rig.queue.depth(0.0)).ready.values()) == 200 - taken


@pytest.mark.row("F47")
async def test_a_full_disk_stops_before_the_dot_and_all_goes_on_by_itself(tmp_path: Path, autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(rtt_s=0.5), limits={"connections": 4})
    rig.journal = journal = Journal(tmp_path, "never", on_trouble=rig.troubles.append)
    engine = rig.engine()
    await submitted(rig.queue, 600)
    async with engines(rig, engine):
        with file_limit(40_000):
            await until(lambda: len(rig.office.contents) > 10 and not journal.healthy)
        with file_limit(8_000):  # no new file can be begun either
            await trio.sleep(5)  # what was past its end of data is answered, the rest is given back
            taken, leases = len(rig.office.contents), rig.queue.calls["lease"]
            assert 0 < taken < 600
            await trio.sleep(60)
            assert (len(rig.office.contents), rig.queue.calls["lease"]) == (taken, leases)
            depth = await rig.queue.depth(0.0)
            assert (depth.leased, sum(depth.ready.values())) == (0, 600 - taken)
        assert any("nothing is sent until it can be written again" in trouble for trouble in rig.troubles)
        assert await rig.finished() == {State.DELIVERED: 600}
        await drained(engine)
    assert set(rig.office.copies.values()) == {1}
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}
    assert homes(tmp_path) == []


@pytest.mark.row("F26")
async def test_two_copies_at_most_and_then_an_operator_decides(tmp_path: Path, autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(answer=lambda transaction: Lost(in_doubt=True)))
    rig.journal = Journal(tmp_path, "never")
    engine = rig.engine()
    await submitted(rig.queue, 20)
    async with engines(rig, engine):
        assert await rig.finished() == {State.UNKNOWN: 20}
        await drained(engine)
    assert set(rig.office.copies.values()) == {2}
    _, doubts = await rig.queue.doubts()
    assert sorted(doubt.envelope.ordinal for doubt in doubts) == list(range(20))
    assert all(doubt.why == "mx.big.example: lost" for doubt in doubts)
    assert homes(tmp_path) == []
