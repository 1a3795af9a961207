"""Engines over the memory queue and receivers of our own: a campaign from its route to its final states."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from sender.engine import Engine
from sender.model import Destination, LaneId, Reply, Route, Source, State, Step
from sender.net.session import Failure, Session
from sender.policy.receivers import Profile
from sender.policy.retry import RetryCurve
from sender.queue.base import LeaseRequest
from sender.queue.owners import BEAT_S, FENCED_AFTER_S, OWNER_LIFE_S
from tests.office import Lost, Office
from tests.rig import ROUTE, SOURCE, Rig, clock, submitted

SECOND = Source(name="s2", address="", ehlo="mta2.shop.example", pool="main")


@asynccontextmanager
async def running(rig: Rig, *engines: Engine) -> AsyncIterator[None]:
    """The engines and the scheduler, while the block runs; then all is cancelled, as by a kill."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        for engine in engines:
            nursery.start_soon(engine.run)
        yield
        nursery.cancel_scope.cancel()


async def drained(engine: Engine) -> None:
    engine.drain()
    await engine.ended.wait()


async def test_a_campaign_is_delivered_once_each(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 450)
    engine = rig.engine()
    async with running(rig, engine):
        assert await rig.finished() == {State.DELIVERED: 450}
        await drained(engine)
    assert set(rig.office.copies.values()) == {1}
    assert len(rig.office.copies) == 450
    await rig.conserved(450)


async def test_a_lane_without_work_ends_and_one_with_work_begins_again(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"idle_s": "10s"})
    engine = rig.engine()
    await submitted(rig.queue, 5)
    async with running(rig, engine):
        await rig.finished()
        await trio.sleep(30)
        assert not engine.lanes
        assert rig.office.open == 0
        await submitted(rig.queue, 5, campaign="autumn")
        assert await rig.finished("autumn") == {State.DELIVERED: 5}


async def test_a_lane_begins_within_a_second_where_all_had_rested(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"idle_s": "5s"})
    engine = rig.engine()
    async with running(rig, engine):
        for number in range(8):  # whenever in the engine's round it comes
            await trio.sleep(20 + number * 0.13)
            assert not engine.lanes
            await submitted(rig.queue, 1, campaign=f"late-{number}")
            await trio.sleep(0.6)
            assert engine.lanes


async def test_where_nothing_is_ready_the_store_is_asked_twice_a_second(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig()
    async with running(rig, rig.engine()):
        await trio.sleep(1)
        asked = rig.queue.calls["ready"]
        await trio.sleep(60)
        assert rig.queue.calls["ready"] - asked <= 121


async def test_a_lane_ends_although_others_never_rest(autojump_clock: trio.testing.MockClock) -> None:
    """Its last settlements are waited for, not everybody's: it must not stay behind, dead, in the way of its successor."""
    rig = Rig(limits={"idle_s": "5s", "messages_per_second": 20})
    other = Route(pool="main", receiver="~busy.example")
    await submitted(rig.queue, 3)
    await submitted(rig.queue, 9_000, campaign="endless", domains=["busy.example"], route=other)
    engine = rig.engine()
    async with running(rig, engine):
        await rig.finished()
        await trio.sleep(20)
        assert [lane.receiver for lane in engine.lanes] == ["~busy.example"]
        await submitted(rig.queue, 3, campaign="late")
        with trio.fail_after(5):
            assert await rig.finished("late") == {State.DELIVERED: 3}


async def test_sources_of_a_pool_share_its_work(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"connections": 1, "messages_per_second": 10})
    await submitted(rig.queue, 2_000)
    elsewhere = Source(name="s3", address="", ehlo="x", pool="other")
    async with running(rig, rig.engine(sources=[SOURCE, SECOND, elsewhere])):
        await rig.finished()
    by_source = {name: sum(a.lane.source == name for a in rig.attempts) for name in ("s1", "s2", "s3")}
    assert by_source["s3"] == 0
    assert min(by_source["s1"], by_source["s2"]) > 700
    assert len(rig.office.copies) == 2_000


async def test_a_paused_lane_leaves_its_work_to_the_other_source(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig()
    closed = Failure(step=Step.GREETING, reply=Reply(code=554, lines=("not from you",)))
    inner = rig.office.connect

    async def connect(source: Source, destination: Destination, profile: Profile) -> Session | Failure:
        return closed if source is SOURCE else await inner(source, destination, profile)

    monkeypatch.setattr(rig.office, "connect", connect)
    await submitted(rig.queue, 300)
    async with running(rig, rig.engine(sources=[SOURCE, SECOND])):
        with trio.fail_after(45):  # less than the first pause
            assert await rig.finished() == {State.DELIVERED: 300}
    assert {attempt.lane.source for attempt in rig.attempts} == {"s2"}
    await rig.conserved(300)


async def test_drain_finishes_what_is_open_and_gives_back_the_rest(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(office=Office(rtt_s=3.0, ahead=2))
    await submitted(rig.queue, 500)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(10)
        began = trio.current_time()
        await drained(engine)
        assert trio.current_time() - began <= 3 * 3.0 + 0.5  # two replies and a QUIT
        totals = await rig.conserved(500)
        assert totals == {State.DELIVERED: len(rig.office.copies)}
        depth = await rig.queue.depth(clock())
        assert (depth.leased, depth.later) == (0, 0)
        assert sum(depth.ready.values()) == 500 - len(rig.office.copies)
        assert await rig.queue.beats() == {}
        async with running(rig, rig.engine("host/2")):
            assert await rig.finished() == {State.DELIVERED: 500}
    assert set(rig.office.copies.values()) == {1}


async def test_drain_gives_back_at_once_what_a_slow_receiver_would_hold_up(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(office=Office(rtt_s=600.0))
    await submitted(rig.queue, 200)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(700)
        engine.drain()
        await trio.sleep(6)  # QUIT of an idle session
        depth = await rig.queue.depth(clock())
        assert not engine.ended.is_set()
        assert depth.leased == rig.office.open
        assert list(await rig.queue.beats()) == ["host/1-1"]
        await engine.ended.wait()
    assert set(rig.office.copies.values()) == {1}


async def test_drain_opens_nothing_any_more(autojump_clock: trio.testing.MockClock) -> None:
    """Neither a connection that waits for its turn nor one that gets no answer may hold up the end."""
    rig = Rig(office=Office(rtt_s=100.0), limits={"connections_per_minute": 1})
    await submitted(rig.queue, 200)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(5)
        assert len(rig.office.connects) == 1
        with trio.fail_after(1):
            await drained(engine)
        assert rig.office.sessions == []
        depth = await rig.queue.depth(clock())
        assert (depth.leased, sum(depth.ready.values())) == (0, 200)


async def test_a_slow_pace_does_not_hold_up_the_end(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 0.01})
    await submitted(rig.queue, 20)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(150)
        assert sum(rig.office.copies.values()) == 2
        with trio.fail_after(1):
            await drained(engine)
        await rig.conserved(20)


async def test_no_lane_begins_after_drain(autojump_clock: trio.testing.MockClock) -> None:
    """Also where the store was being asked for routes while the order came."""
    rig = Rig()
    rig.queue.seconds = 1.0
    await submitted(rig.queue, 200)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(1.5)
        with trio.fail_after(10):
            await drained(engine)
        assert not engine.lanes
        assert rig.queue.calls["lease"] == 0


async def test_cancelled_it_says_what_it_knows(autojump_clock: trio.testing.MockClock) -> None:
    """A drain that is cut short counts its doubts and leaves nothing to be reclaimed."""
    rig = Rig(office=Office(rtt_s=50.0), limits={"connections": 3})
    await submitted(rig.queue, 100)
    async with running(rig, rig.engine()):
        await trio.sleep(120)
        delivered, open_ones = len(rig.office.copies), rig.office.open
        assert open_ones
    totals = await rig.conserved(100)
    assert totals == {State.DELIVERED: delivered}
    depth = await rig.queue.depth(clock())
    assert depth.leased == 0
    assert depth.later == open_ones
    assert sum(attempt.outcome.in_doubt for attempt in rig.attempts) == open_ones


async def test_a_killed_owner_s_work_is_taken_over(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(office=Office(rtt_s=0.5))
    await submitted(rig.queue, 400)
    async with running(rig, rig.engine("host/1")):
        await trio.sleep(3)
        rig.queue.away = True  # who is killed settles nothing and says no farewell
    before = set(rig.office.copies)
    assert 0 < len(before) < 400
    rig.queue.away = False
    began = trio.current_time()
    async with running(rig, rig.engine("host/2")):
        assert await rig.finished() == {State.DELIVERED: 400}
    assert trio.current_time() - began > OWNER_LIFE_S - 5
    twice = {recipient for recipient, copies in rig.office.copies.items() if copies > 1}
    assert twice <= before
    assert max(rig.office.copies.values()) <= 2
    await rig.conserved(400)


@pytest.mark.row("F6")
async def test_fenced_it_drops_everything_at_once_and_joins_anew(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(office=Office(rtt_s=5.0), limits={"connections": 4})
    await submitted(rig.queue, 60)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(20)
        delivered, open_ones = len(rig.office.copies), rig.office.open
        assert open_ones > 1
        await rig.queue.fence({"host/1-1": None})
        await trio.sleep(BEAT_S + 0.1)
        assert rig.office.open == 0
        assert repr(engine).startswith("<Engine host/1-2: ")
        assert await rig.finished() == {State.DELIVERED: 60}
        assert list(await rig.queue.beats()) == ["host/1-2"]
        assert await rig.queue.held("host/1-1") == []
    twice = sum(copies > 1 for copies in rig.office.copies.values())
    assert 0 < delivered < len(rig.office.copies) == 60
    assert twice <= open_ones
    assert sum("host/1-1 was fenced" in trouble for trouble in rig.troubles) == 1
    await rig.conserved(60)


@pytest.mark.row("F6", "F7")
async def test_an_owner_that_nobody_hears_leases_nothing_more_before_others_take_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """All it says else is heard: its own clock alone tells it to stop, and what it held goes to the other one."""
    rig = Rig(office=Office(rtt_s=0.5), limits={"messages_per_second": 20})
    await submitted(rig.queue, 2_000)
    first, second = rig.engine("host/1"), rig.engine("host/2")
    async with running(rig, first):
        await trio.sleep(10)
        async with running(rig, second):
            rig.queue.unheard.add("host/1-1")
            cut = trio.current_time()
            await trio.sleep(FENCED_AFTER_S + 0.1)
            stopped = sum(rig.office.copies.values())
            while list(await rig.queue.beats()) != ["host/2-1"]:
                await trio.sleep(0.1)
                assert sum(rig.office.copies.values()) <= stopped + 20, "what was past the last look"
            assert FENCED_AFTER_S < trio.current_time() - cut <= OWNER_LIFE_S + 2
            rig.queue.unheard.clear()
            assert await rig.finished() == {State.DELIVERED: 2_000}
    assert max(rig.office.copies.values()) <= 2
    await rig.conserved(2_000)


async def test_a_drain_is_no_shelter_from_the_fence(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(office=Office(rtt_s=600.0))
    await submitted(rig.queue, 20)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(700)
        engine.drain()
        await trio.sleep(30)
        assert not engine.ended.is_set()
        await rig.queue.fence({"host/1-1": None})
        with trio.fail_after(BEAT_S + 0.1):
            await engine.ended.wait()
        assert await rig.queue.beats() == {}, "it joins no more"
    await rig.conserved(20)


async def test_a_drain_waits_for_its_last_settlements_however_slow_the_store_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rig = Rig()
    await submitted(rig.queue, 400)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(1)
        rig.queue.seconds = 6.0  # longer than a cancelled engine has for its farewell
        await drained(engine)
        assert (await rig.queue.depth(clock())).leased == 0
        assert (await rig.conserved(400)) == {State.DELIVERED: len(rig.office.copies)}


async def test_a_store_that_is_away_at_the_start_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 10)
    rig.queue.away = True
    engine, other = rig.engine("host/1"), rig.engine("host/2")
    async with running(rig, engine, other):
        await trio.sleep(60)
        assert rig.queue.calls["join"] <= 2 * 60 / BEAT_S + 2
        with trio.fail_after(0.1):
            await drained(other)
        rig.queue.away = False
        assert await rig.finished() == {State.DELIVERED: 10}


async def test_more_receivers_than_lanes_are_served_one_after_the_other(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"idle_s": "1s"})
    names = [f"r{number}" for number in range(30)]
    for name in names:
        route = Route(pool="main", receiver=f"~{name}.example")
        await submitted(rig.queue, 20, campaign=f"to-{name}", domains=[f"{name}.example"], route=route)
    engine = rig.engine(lanes_most=4)
    async with running(rig, engine):
        while any(status.queued for status in await rig.queue.status([f"to-{name}" for name in names])):
            assert len(engine.lanes) <= 4
            await trio.sleep(0.05)
    assert len(rig.office.copies) == 600
    assert set(rig.office.copies.values()) == {1}


async def test_lanes_that_have_nothing_to_do_make_room_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Their sessions would idle for a minute; those that work, or have been told of work, stay."""
    rig = Rig(limits={"idle_s": "60s"}, office=Office(rtt_s=0.1))
    names = [f"r{number}" for number in range(40)]
    await submitted(rig.queue, 2_000, campaign="large")
    for name in names:
        route = Route(pool="main", receiver=f"~{name}.example")
        await submitted(rig.queue, 1, campaign=f"to-{name}", domains=[f"{name}.example"], route=route)
    engine = rig.engine(lanes_most=4)
    async with running(rig, engine):
        await trio.sleep(1)
        large = engine.lanes[LaneId(source="s1", receiver="big")]
        with trio.fail_after(25):
            while any(status.queued for status in await rig.queue.status([f"to-{name}" for name in names])):
                assert len(engine.lanes) <= 4
                assert engine.lanes[large.id] is large
                await trio.sleep(0.05)
        assert await rig.finished("large") == {State.DELIVERED: 2_000}
    assert set(rig.office.copies.values()) == {1}


async def test_the_claims_of_lanes_that_end_together_are_let_go_in_one_call(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"idle_s": "1s"})
    names = [f"r{number}" for number in range(40)]
    for name in names:
        route = Route(pool="main", receiver=f"~{name}.example")
        await submitted(rig.queue, 2, campaign=f"to-{name}", domains=[f"{name}.example"], route=route)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(60)
        assert not engine.lanes
        assert 1 <= rig.queue.calls["unclaim"] <= 10
        for number in range(40):
            wish = LeaseRequest(
                lane=LaneId(source="s1", receiver=f"~r{number}.example"), route=ROUTE, owner="host/2", envelopes=1
            )
            await submitted(rig.queue, 1, campaign=f"again-{number}")
            assert await rig.queue.lease([wish], clock()), "another may have them all"


async def test_the_store_may_be_away_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 20})
    await submitted(rig.queue, 300)
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(3)
        rig.queue.away = True
        calls = rig.queue.calls.total()
        await trio.sleep(60)
        assert rig.queue.calls.total() - calls < 60 * 10  # no hot loop
        assert set(rig.troubles) == {"the store is away"}
        rig.queue.away = False
        assert await rig.finished() == {State.DELIVERED: 300}
    assert set(rig.office.copies.values()) == {1}


async def test_a_campaign_that_can_t_be_read_just_then_is_not_stuck(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store answers the lease and is gone when the campaign is asked for."""
    rig = Rig()
    await submitted(rig.queue, 40)
    engine = rig.engine()

    async def spec(campaign: str) -> bytes | None:
        monkeypatch.undo()  # once only: the door falls shut behind the lease
        rig.queue.away = True
        return await rig.queue.spec(campaign)

    monkeypatch.setattr(rig.queue, "spec", spec)
    async with running(rig, engine):
        await trio.sleep(5)
        rig.queue.away = False
        assert await rig.finished() == {State.DELIVERED: 40}


async def test_lanes_move_to_a_new_owner_and_back(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 50, "connections": 2})
    receivers = [f"~r{number}.example" for number in range(12)]
    for receiver in receivers:
        route = Route(pool="main", receiver=receiver)
        await submitted(rig.queue, 1_000, campaign=f"to-{receiver[1:3]}{receiver[3:-8]}", domains=[receiver[1:]], route=route)
    first, second = rig.engine("host/1"), rig.engine("host/2")
    async with running(rig, first):
        await trio.sleep(3)
        assert len(first.lanes) == 12
        async with running(rig, second):
            await trio.sleep(6)
            theirs, ours = set(second.lanes), set(first.lanes)
            assert not theirs & ours
            assert len(theirs | ours) == 12
            assert min(len(theirs), len(ours)) >= 2
            await drained(second)
        await trio.sleep(6)
        assert len(first.lanes) == 12
    assert set(rig.office.copies.values()) == {1}


async def test_only_owners_of_a_source_s_host_share_its_lanes(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig()
    mine = Source(name="s1", address="", ehlo="x", pool="main", host="here")
    await submitted(rig.queue, 50)
    here, there = rig.engine("here/1", [mine]), rig.engine("there/1", [mine])
    async with running(rig, there):
        await trio.sleep(5)
        assert not there.lanes
        async with running(rig, here):
            await rig.finished()
            assert not there.lanes


async def test_a_receiver_that_is_never_there_costs_no_more_than_its_pace(autojump_clock: trio.testing.MockClock) -> None:
    """Connections always fail: no hot loop, every envelope follows its curve and expires."""
    failure = Failure(step=Step.CONNECT, error="refused")
    curve = RetryCurve(steps_s=(300.0, 600.0), jitter=0.0, give_up_s=3_700.0)
    rig = Rig(office=Office(turns_away=lambda destination: failure), curve=curve)
    await submitted(rig.queue, 50)
    async with running(rig, rig.engine()):
        await trio.sleep(3_600)
        assert len(rig.office.connects) < 60
        assert rig.queue.calls["lease"] < 60
        assert await rig.finished() == {State.EXPIRED: 50}
    await rig.conserved(50)


@pytest.mark.parametrize("step", [Step.GREETING, Step.EHLO])
async def test_turned_away_at_the_door_nobody_pays(autojump_clock: trio.testing.MockClock, step: Step) -> None:
    """The lane pauses, longer each time, and no envelope loses an attempt; once the door opens all go through."""
    closed = Failure(step=step, reply=Reply(code=554, lines=("no service",)))
    rig = Rig()
    rig.office.turns_away = lambda destination: closed if trio.current_time() < 1_000 else None
    await submitted(rig.queue, 50)
    async with running(rig, rig.engine()):
        await trio.sleep(1_000)
        assert 3 <= len(rig.office.connects) <= 30
        assert rig.queue.calls["lease"] < 40
        assert await rig.finished() == {State.DELIVERED: 50}
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}


async def test_while_nothing_can_be_signed_nothing_spins(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig()
    rig.pen.fails = True
    await submitted(rig.queue, 300)
    async with running(rig, rig.engine()):
        await trio.sleep(60)
        assert len(rig.troubles) <= 300 * 60 / 5 + 300
        assert rig.office.contents == []
        rig.pen.fails = False
        assert await rig.finished() == {State.DELIVERED: 300}


async def test_doubts_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(office=Office(answer=lambda transaction: Lost(in_doubt=True)))
    await submitted(rig.queue, 8)
    async with running(rig, rig.engine()):
        assert await rig.finished() == {State.UNKNOWN: 8}
    assert set(rig.office.copies.values()) == {2}  # once, and once again
    await rig.conserved(8)


async def test_the_engine_says_in_a_line_what_it_does(autojump_clock: trio.testing.MockClock) -> None:
    assert repr(Rig().engine()) == "<Engine host/1-1: 0 lanes of 1 sources>"


def test_the_route_of_these_tests_has_a_profile() -> None:
    assert ROUTE.receiver == "big"
