"""Caps under a whole engine, on the virtual clock: what is permitted is sent, not one more, and nobody asks in vain."""

from collections import Counter
from dataclasses import replace
from itertools import count

import trio
from trio.testing import MockClock

from sender.leasing import Warming
from sender.model import Cap, LaneId, Mark, Reply, Route, State, Step, Verdict
from sender.net.session import Failure
from sender.queue.warmups import Account
from tests.office import Office
from tests.rig import ROUTE, SOURCE, Rig, clock, submitted

TAIL = Account("s1/other")


async def test_the_lanes_of_the_long_tail_share_one_cap_to_the_last_unit(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"idle_s": "1s"}, warming=lambda lane: Warming(account="s1/other"))
    for number in range(60):
        route = Route(pool="main", receiver=f"~r{number}.example")
        await submitted(rig.queue, 3, campaign=f"to-{number}", domains=[f"r{number}.example"], route=route)
    cap = Cap(day=1, starts=clock(), ends=clock() + 86_400, per_day=100, per_hour=100, per_minute=40)
    await rig.queue.set_caps({TAIL: cap}, clock())
    engine = rig.engine()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        nursery.start_soon(engine.run)
        await trio.sleep(200)
        use = (await rig.queue.use([TAIL], clock()))[TAIL]
        calls = rig.queue.calls["lease"]
        await trio.sleep(60)
        assert rig.queue.calls["lease"] - calls <= 3, "what is used up is not asked for again and again"
        running = set(engine.lanes)
        await submitted(
            rig.queue, 3, campaign="more", domains=["more.example"], route=Route(pool="main", receiver="~more.example")
        )
        await trio.sleep(5)
        assert not set(engine.lanes) - running, "no lane begins only to wait for it"
        nursery.cancel_scope.cancel()
    sent = [attempt.at for attempt in rig.attempts if attempt.outcome.verdict is Verdict.DELIVERED]
    minutes = Counter(int((at - cap.starts) // 60) for at in sent)
    assert max(minutes.values()) <= 40
    assert (len(sent), use.day, use.outstanding) == (100, 100, 0)


async def test_a_warm_source_of_the_pool_takes_what_a_capped_one_may_not(autojump_clock: MockClock) -> None:
    rig = Rig(warming=lambda lane: Warming(capped=lane.source == "s1"))
    await submitted(rig.queue, 400)
    cap = Cap(day=1, starts=clock(), ends=clock() + 86_400, per_day=25, per_hour=25, per_minute=25)
    lane = LaneId(source="s1", receiver="big")
    await rig.queue.set_caps({Account.of(lane, ROUTE): cap}, clock())
    engine = rig.engine(sources=(SOURCE, replace(SOURCE, name="s2")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        nursery.start_soon(engine.run)
        await trio.sleep(60)
        engine.drain()
        await engine.ended.wait()
        nursery.cancel_scope.cancel()
    assert await rig.finished("spring") == {State.DELIVERED: 400}
    by_source = Counter(attempt.lane.source for attempt in rig.attempts)
    assert by_source == {"s1": 25, "s2": 375}


async def test_a_door_that_is_shut_is_told_to_the_gates_each_time_and_uses_nothing(autojump_clock: MockClock) -> None:
    """The pause gives the work back; what the receiver said of the source must be heard all the same."""
    shut = Failure(step=Step.GREETING, reply=Reply(code=554, lines=("no service for you",)))
    rig = Rig(warming=lambda lane: Warming(capped=True))
    rig.office.turns_away = lambda destination: shut if trio.current_time() < 1_000 else None
    await submitted(rig.queue, 200)
    lane, now = Account.of(LaneId(source="s1", receiver="big"), ROUTE), clock()
    await rig.queue.set_caps({lane: Cap(day=1, starts=now, ends=now + 86_400, per_day=900, per_hour=900, per_minute=900)}, now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        engine = rig.engine()
        nursery.start_soon(engine.run)
        await trio.sleep(1_000)
        refused = {"receiver": "big", "category": "policy", "verdict": "unsent"}
        assert rig.registry.get_sample_value("penstock_refusals_total", refused) == len(rig.office.connects)
        pauses = len({int(at) for at in rig.office.connects})
        assert await rig.finished() == {State.DELIVERED: 200}
        use = (await rig.queue.use([lane], clock()))[lane]
        engine.drain()
        await engine.ended.wait()
        nursery.cancel_scope.cancel()
    assert 3 <= pauses <= 30
    assert use.marks == {1: {Mark.TURNED_AWAY: pauses, Mark.DELIVERED: 200}}
    assert use.day == 200


async def test_a_door_that_is_shut_on_one_session_is_told_to_the_gates_while_others_go_on(autojump_clock: MockClock) -> None:
    shut = Failure(step=Step.GREETING, reply=Reply(code=554, lines=("no service for you",)))
    rig = Rig(warming=lambda lane: Warming(capped=True), office=Office(rtt_s=0.5))
    asked = count(1)
    rig.office.turns_away = lambda destination: shut if next(asked) == 3 else None
    await submitted(rig.queue, 200)
    lane, now = Account.of(LaneId(source="s1", receiver="big"), ROUTE), clock()
    await rig.queue.set_caps({lane: Cap(day=1, starts=now, ends=now + 86_400, per_day=900, per_hour=900, per_minute=900)}, now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        engine = rig.engine()
        nursery.start_soon(engine.run)
        assert await rig.finished() == {State.DELIVERED: 200}
        use = (await rig.queue.use([lane], clock()))[lane]
        engine.drain()
        await engine.ended.wait()
        nursery.cancel_scope.cancel()
    assert use.marks == {1: {Mark.TURNED_AWAY: 1, Mark.DELIVERED: 200}}
