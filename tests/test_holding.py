"""Lanes that an operator holds: nothing more is leased for them, and what no session has begun goes back."""

import pytest
import trio
from trio import sleep
from trio.testing import MockClock

from sender.errors import BackendError
from sender.holding import Holding
from sender.model import LaneId, Route, State
from sender.queue.lane_holds import LaneHold
from tests.office import Office
from tests.rig import SOURCE, Rig, clock, submitted
from tests.test_engine import SECOND, running

LANE = LaneId(source="s1", receiver="big")


async def test_a_held_lane_gives_back_what_no_session_has_begun_and_leases_nothing(autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(rtt_s=5.0), limits={"connections": 4, "messages_per_second": 50})
    await submitted(rig.queue, 400)
    engine = rig.engine()
    async with running(rig, engine):
        await sleep(30)
        open_ones, taken = rig.office.open, len(rig.office.copies)
        assert (await rig.queue.depth(clock())).leased > open_ones > 0
        await rig.queue.hold_lanes([LaneHold(receiver="big", at=clock())])
        await sleep(1.5)
        assert (await rig.queue.depth(clock())).leased <= 4, "only what sessions have begun"
        leases = rig.queue.calls["lease"]
        await sleep(120)
        assert (await rig.queue.depth(clock())).leased == 0
        assert rig.office.open == 0
        assert len(rig.office.copies) <= taken + 2 * 4
        assert rig.queue.calls["lease"] == leases
        assert not engine.lanes
        await rig.queue.free_lanes(["*/big"])
        resumed = len(rig.office.connects)
        await sleep(2)
        assert len(rig.office.connects) == resumed + 1
        await sleep(50)
        assert rig.office.open == 1, "it returns as after a pause"
        assert await rig.finished() == {State.DELIVERED: 400}
    assert set(rig.office.copies.values()) == {1}


async def test_a_lane_that_returns_leases_little_and_is_back_after_four_minutes(autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(rtt_s=0.5), limits={"connections": 4, "messages_per_second": 10})
    await submitted(rig.queue, 1_000)
    engine = rig.engine()
    async with running(rig, engine):
        await sleep(2)
        assert (await rig.queue.depth(clock())).leased > 150
        await rig.queue.hold_lanes([LaneHold(receiver="big", at=clock())])
        await sleep(30)
        await rig.queue.free_lanes(["*/big"])
        await sleep(3)
        assert 0 < (await rig.queue.depth(clock())).leased < 100, "a sixteenth of its rate, and its lookahead at least"
        await sleep(240)
        assert engine.lanes[LANE].throttle.share(trio.current_time()) == 1.0, "and after four minutes all of it"


async def test_a_held_source_leaves_its_work_to_the_others(autojump_clock: MockClock) -> None:
    """Also a small route's, whose turn it would be."""
    rig = Rig(limits={"messages_per_second": 50})
    await rig.queue.hold_lanes([LaneHold(source="s1")])
    names = [f"r{number}" for number in range(12)]
    await submitted(rig.queue, 200)
    for name in names:
        route = Route(pool="main", receiver=f"~{name}.example")
        await submitted(rig.queue, 2, campaign=f"to-{name}", domains=[f"{name}.example"], route=route)
    async with running(rig, rig.engine(sources=[SOURCE, SECOND])):
        await sleep(3)
        assert {attempt.lane.source for attempt in rig.attempts} == {"s2"}
        assert sum(attempt.lane.receiver != "big" for attempt in rig.attempts) == 24, "no route has waited for its turn"
        assert await rig.finished() == {State.DELIVERED: 200}


async def test_a_hold_with_an_end_ends_by_itself_though_the_store_is_away(autojump_clock: MockClock) -> None:
    rig = Rig()
    await rig.queue.hold_lanes([LaneHold(source="s1", until=clock() + 60)])
    holding = Holding(rig.queue, clock, on_trouble=rig.troubles.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(holding.run, lambda: None)
        await sleep(2)
        assert (holding.of(LANE) is not None, holding.any) == (True, True)
        nursery.cancel_scope.cancel()
    await sleep(60)
    assert holding.of(LANE) is None
    assert repr(holding) == "<Holding <Words on s1/*>>"


async def test_while_the_store_is_away_what_is_held_stays_held(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig()
    await rig.queue.hold_lanes([LaneHold(receiver="big")])
    await submitted(rig.queue, 10)
    engine = rig.engine()

    async def away() -> None:
        raise BackendError("the store is away")

    async with running(rig, engine):
        await sleep(3)
        monkeypatch.setattr(rig.queue, "lane_holds", away)
        await sleep(60)
        assert (not engine.lanes, not rig.attempts) == (True, True)
        assert "the store is away" in rig.troubles
        monkeypatch.undo()
        await rig.queue.free_lanes(["*/big"])
        assert await rig.finished() == {State.DELIVERED: 10}
