"""A lane's sessions: how many, for whom, and what the window and the pool do to them."""

import trio
from trio.testing import MockClock

from sender.model import Reply, State, Step
from sender.net.session import Failure
from sender.net.turnstile import MOST as TURNS
from tests.office import OK, Lost, Office
from tests.rig import Rig, clock, destination, states, submitted
from tests.test_lane import running

FEWER = Reply(code=450, lines=("fewer please",))
TOO_MANY = Failure(step=Step.GREETING, reply=Reply(code=421, lines=("too many connections",)))


async def test_the_window_grows_with_success_and_never_over_its_cap(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"connections": 6}, office=Office(rtt_s=1.0))
    await submitted(rig.queue, 600)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await trio.sleep(3)
        assert rig.office.open == 2
        await trio.sleep(40)
        assert rig.office.open == lane.crew.sessions == 6
        await rig.finished()
    assert rig.office.peak == 6


async def test_a_refusal_that_asks_for_less_closes_some_and_not_all(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"connections": 8}, office=Office(rtt_s=1.0))
    await submitted(rig.queue, 2_000)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await trio.sleep(40)
        assert rig.office.open == 8
        opened = len(rig.office.sessions)
        refused = iter([FEWER])
        rig.office.answer = lambda transaction: next(refused, OK)
        await trio.sleep(3)
        assert 3 <= rig.office.open <= 5
        assert len(rig.office.sessions) == opened, "nobody who fits is sent away to be opened again"


async def test_a_window_of_one_never_sees_two(autojump_clock: MockClock) -> None:
    """Destinations take turns: who is asked to leave has left before another one comes."""
    rig = Rig(limits={"connections": 1}, office=Office(rtt_s=0.5))
    await submitted(rig.queue, 120, domains=["a.example", "b.example", "c.example"])
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        with trio.fail_after(600):
            assert await rig.finished() == {State.DELIVERED: 120}
    assert rig.office.peak == 1


async def test_an_idle_session_has_left_before_another_takes_its_place(autojump_clock: MockClock) -> None:
    """While it says QUIT the receiver still counts it."""
    rig = Rig(limits={"connections": 1}, office=Office(rtt_s=1.0))
    await submitted(rig.queue, 1, domains=["a.example"])
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await rig.finished()
        await submitted(rig.queue, 1, campaign="more", domains=["b.example"])
        lane.nudge()
        with trio.fail_after(10):
            await rig.finished("more")
    assert len(rig.office.connects) == 2
    assert rig.office.connects[1] - rig.office.connects[0] >= 3.0  # opened, one message, QUIT


async def test_no_destination_starves(autojump_clock: MockClock) -> None:
    """One with a long queue does not keep a place for itself while another has none."""
    rig = Rig(limits={"connections": 1, "messages_per_second": 10}, office=Office(rtt_s=0.05))
    await submitted(rig.queue, 199, domains=["busy.example"])
    await submitted(rig.queue, 2, campaign="small", domains=["quiet.example"])
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        with trio.fail_after(15):
            assert await rig.finished("small") == {State.DELIVERED: 2}
        assert await rig.finished() == {State.DELIVERED: 199}


async def test_too_many_connections_means_one_for_a_while(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"connections": 5}, office=Office(rtt_s=0.2))
    rig.office.turns_away = lambda destination: TOO_MANY if rig.office.open >= 1 else None
    await submitted(rig.queue, 300)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        assert await rig.finished() == {State.DELIVERED: 300}
    assert rig.office.peak == 1
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}


async def test_an_idle_session_is_kept_for_what_comes_and_then_let_go(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"idle_s": "30s"})
    await submitted(rig.queue, 3)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await rig.finished()
        await trio.sleep(20)
        await submitted(rig.queue, 3, campaign="more")
        lane.nudge()
        await rig.finished("more")
        assert len(rig.office.sessions) == 1
        await trio.sleep(40)
        assert rig.office.open == 0


async def test_sessions_of_the_whole_process_are_bounded(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"connections": 10}, office=Office(rtt_s=0.5), sessions=3)
    await submitted(rig.queue, 400, domains=[f"d{number}.example" for number in range(20)])
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        assert await rig.finished() == {State.DELIVERED: 400}
    assert rig.office.peak <= 3


async def test_the_more_sessions_a_process_has_the_fewer_messages_wait_ready_for_each(autojump_clock: MockClock) -> None:
    seen: list[tuple[int, int]] = []
    for sessions in (1, 4, 64):
        rig = Rig(limits={"connections": sessions}, office=Office(rtt_s=1.0))
        await submitted(rig.queue, 3_000)
        services = rig.lanes(lookahead=800)
        lane = rig.lane(services)
        async with running(rig, services, lane):
            await trio.sleep(50)
            (backlog,) = lane.crew._backlogs.values()
            seen.append((backlog.open, len(backlog.ready)))
    (one, few), (four, some), (many, most) = seen
    assert (one, four) == (1, 4)
    assert few < 8 + 2 + 8
    assert 8 <= some < 8 + 8 + 8
    assert 8 <= most < 8 + 2 + 2 * TURNS + 8 < 2 * many, "two for each would be more"


async def test_one_dead_destination_does_not_hold_up_the_others(autojump_clock: MockClock) -> None:
    dead, failure = destination("dead.example"), Failure(step=Step.CONNECT, error="refused")
    rig = Rig(office=Office(turns_away=lambda where: failure if where == dead else None))
    await submitted(rig.queue, 100, domains=["dead.example", "live.example"])
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(30)
        assert await states(rig.queue) == {State.DELIVERED: 50}
        depth = await rig.queue.depth(clock())
        assert depth.later == 50
    assert {attempt.why for attempt in rig.attempts if attempt.outcome.rule == "unreachable"} == {"refused"}


async def test_a_refusal_in_words_is_never_sent_again_unheard(autojump_clock: MockClock) -> None:
    """A reply that leaves a message untried still slows the lane: only a connection lost under us is tried again at once."""
    rig = Rig(office=Office(rtt_s=0.1))
    seen = 0

    def answer(transaction: object) -> Reply:
        nonlocal seen
        seen += 1
        return OK if seen <= 5 else Reply(code=450, lines=("not now",))

    rig.office.answer = answer
    await submitted(rig.queue, 100)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await trio.sleep(30)
        assert seen <= 5 + 3
        assert lane.throttle.paused(trio.current_time())


async def test_a_connection_lost_in_the_middle_defers_only_what_was_begun(autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(ahead=3))
    lost = iter([Lost(step=Step.DATA)])
    rig.office.answer = lambda transaction: next(lost, OK) if transaction.rcpt == "r10@big.example" else OK
    await submitted(rig.queue, 30)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(10)
        assert await states(rig.queue) == {State.DELIVERED: 29}
    (deferred,) = [attempt for attempt in rig.attempts if attempt.outcome.verdict != "delivered"]
    assert deferred.held.envelope.ordinal == 10


async def test_it_says_in_a_line_how_it_stands(autojump_clock: MockClock) -> None:
    rig = Rig()
    assert repr(rig.lane(rig.lanes()).crew) == "<Crew of s1/big: 0 sessions, 0 held>"
