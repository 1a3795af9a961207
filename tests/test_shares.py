"""Who computes which lanes for itself: everybody's answers fit together, and small work is one lane's."""

from collections import Counter
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from sender.membership import Membership
from sender.model import LaneId, Route, Source, State
from sender.queue.base import ReadyRoute
from sender.shares import Shares
from tests.rig import EPOCH, Rig, Store, submitted
from tests.test_engine import running

SOURCES = tuple(Source(name=f"s{number}", address="", ehlo="mta.shop.example", pool="main") for number in range(4))
ELSEWHERE = Source(name="x1", address="", ehlo="mta.shop.example", pool="other")


def waiting(number: int, envelopes: int = 1) -> ReadyRoute:
    return ReadyRoute(route=Route(pool="main", receiver=f"~d{number}.example"), envelopes=envelopes, oldest=EPOCH)


def membership(owner: str, *members: str) -> Membership:
    found = Membership(Store(), owner)
    found.members = tuple(sorted(members))
    return found


def test_a_small_route_calls_for_one_source_and_they_are_called_evenly() -> None:
    shares = Shares([*SOURCES, ELSEWHERE], membership("host/1"), 64)
    called: Counter[str] = Counter()
    for number in range(4_000):
        sources = shares.called(waiting(number))
        if len(sources) == 1:
            called[sources[0].name] += 1
        else:
            assert tuple(sources) == SOURCES
    assert 0.8 < called.total() / 4_000 < 0.87
    assert min(called.values()) > 700
    assert set(called) == {source.name for source in SOURCES}


def looked(shares: Shares, number: int, *, every_s: float, looks: int, envelopes: int = 1) -> list[tuple[Source, ...]]:
    """What a route calls for in so many looks."""
    calls = []
    for look in range(looks):
        shares.look(look * every_s)
        calls.append(tuple(shares.called(waiting(number, envelopes))))
    return calls


@pytest.mark.parametrize("every_s", [1.0, 5.0, 6.0, 60.0, 61.0], ids="every {:.0f} s".format)
def test_now_and_then_it_calls_for_all_in_case_that_one_is_held_up(every_s: float) -> None:
    """Whatever the time between two looks: none is in step with the turns."""
    for number in range(50):
        calls = looked(Shares(SOURCES, membership("host/1"), 64), number, every_s=every_s, looks=12)
        assert calls.count(SOURCES) == 2
        assert len(set(calls)) == 2, "otherwise it is always the same"


def test_looks_of_one_second_are_of_one_turn() -> None:
    calls = looked(Shares(SOURCES, membership("host/1"), 64), 1, every_s=0.25, looks=24)
    assert [all(call == SOURCES for call in calls[start : start + 4]) for start in range(0, 24, 4)].count(True) == 1
    assert calls.count(SOURCES) == 4


def test_a_route_with_much_work_calls_for_all() -> None:
    shares = Shares(SOURCES, membership("host/1"), 64)
    assert tuple(shares.called(waiting(1, 65))) == SOURCES
    assert len(set(looked(shares, 1, every_s=1.0, looks=6, envelopes=64))) == 2
    nowhere = ReadyRoute(route=Route(pool="nobody", receiver="big"), envelopes=9, oldest=EPOCH)
    assert tuple(shares.called(nowhere)) == ()


def test_a_source_s_own_route_calls_for_that_source_alone() -> None:
    shares = Shares([*SOURCES, ELSEWHERE], membership("host/1"), 64)
    for envelopes in (1, 1_000):
        for second in range(12):
            own = replace(waiting(1, envelopes), route=waiting(1).route.own("s2"))
            shares.look(float(second))
            assert shares.called(own) == (SOURCES[2],)
    gone = replace(waiting(1), route=waiting(1).route.own("x1"))
    assert shares.called(gone) == (), "it is in another pool"


def test_each_lane_is_one_member_s_and_all_agree() -> None:
    names = ("host/1-1", "host/2-1", "host/3-1")
    views = [Shares(SOURCES, membership(name.removesuffix("-1"), *names), 64) for name in names]
    assert all(view.have_changed() for view in views)
    assert not any(view.have_changed() for view in views)
    owned: Counter[int] = Counter()
    for number in range(900):
        lane = LaneId(source="s1", receiver=f"~d{number}.example")
        mine = [place for place, view in enumerate(views) if view.is_mine(lane, SOURCES[1])]
        assert len(mine) == 1
        owned[mine[0]] += 1
    assert min(owned.values()) > 240


async def test_small_routes_get_a_lane_each_and_not_one_of_every_source(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"idle_s": "1s"})
    for number in range(60):
        route = waiting(number).route
        await submitted(rig.queue, 2, campaign=f"c{number}", domains=[f"d{number}.example"], route=route)
    engine, most = rig.engine(sources=SOURCES), 0
    async with running(rig, engine):
        while any(status.queued for status in await rig.queue.status([f"c{number}" for number in range(60)])):
            await trio.sleep(0.05)
            most = max(most, len(engine.lanes))
    assert most < 2 * 60


async def test_where_the_one_source_can_t_another_takes_the_work(autojump_clock: MockClock) -> None:
    rig = Rig()
    (first,) = min(looked(Shares(SOURCES, membership("host/1"), 64), 1, every_s=1.0, looks=6), key=len)
    await submitted(rig.queue, 1, campaign="c1", domains=["d1.example"], route=waiting(1).route)
    others = [source for source in SOURCES if source is not first]
    gone = Source(name=first.name, address="", ehlo="x", pool="main", host="another")
    async with running(rig, rig.engine(sources=[gone if source is first else source for source in SOURCES])):
        with trio.fail_after(10):
            assert await rig.finished("c1") == {State.DELIVERED: 1}
    (attempt,) = rig.attempts
    assert attempt.lane.source in {source.name for source in others}
