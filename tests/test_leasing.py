"""Lanes' wishes in one call: each gets its own leases, none hangs, and the store is asked once for all."""

import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import trio
from trio.testing import MockClock

from sender.leasing import Leaser
from sender.model import Cap, Choice, LaneId, Route
from sender.queue.base import Granted, Lease, LeaseRequest
from sender.queue.warmups import Account, Window
from tests.holding import envelope
from tests.rig import Store, clock, submitted


@asynccontextmanager
async def running(leaser: Leaser) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaser.run)
        yield
        nursery.cancel_scope.cancel()


def request(number: int, envelopes: int = 10) -> LeaseRequest:
    route = Route(pool="main", receiver=f"~r{number}.example")
    return LeaseRequest(lane=LaneId(source="s1", receiver=route.receiver), route=route, owner="host/1", envelopes=envelopes)


async def test_wishes_that_come_together_are_one_call(autojump_clock: MockClock) -> None:
    queue = Store()
    for number in range(3):
        await submitted(queue, 20, campaign=f"c{number}", route=request(number).route)
    leaser = Leaser(queue, clock)
    got: dict[int, Sequence[Lease]] = {}

    async def ask(number: int) -> None:
        got[number] = await leaser.lease(request(number))

    async with running(leaser):
        async with trio.open_nursery() as lanes:
            for number in range(4):
                lanes.start_soon(ask, number)
        assert queue.calls["lease"] == 1
    assert {number: sum(len(lease.envelopes) for lease in leases) for number, leases in got.items()} == {
        0: 10,
        1: 10,
        2: 10,
        3: 0,
    }
    assert all(lease.lane == request(number).lane for number, leases in got.items() for lease in leases)


async def test_what_was_granted_is_the_lanes_alone(autojump_clock: MockClock) -> None:
    class Giver(Store):
        async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Granted:
            (asked,) = requests
            return Granted([Lease(id="l1", lane=asked.lane, route=asked.route, owner=asked.owner, envelopes=(envelope(),))])

    def leases() -> int:
        gc.collect()
        return sum(isinstance(one, Lease) for one in gc.get_objects())

    leaser, before = Leaser(Giver(), clock), leases()
    async with running(leaser):
        granted = await leaser.lease(request(0))
        assert (len(granted), leases()) == (1, before + 1)
        del granted
        assert leases() == before


async def test_of_little_work_those_that_warm_up_get_theirs_first(autojump_clock: MockClock) -> None:
    queue = Store()
    await submitted(queue, 20, route=request(0).route)
    leaser = Leaser(queue, clock)
    got: dict[str, int] = {}

    async def ask(source: str, choice: Choice) -> None:
        asked = replace(request(0), lane=LaneId(source=source, receiver=request(0).route.receiver), choice=choice)
        got[source] = sum(len(lease.envelopes) for lease in await leaser.lease(replace(asked, envelopes=15)))

    async with running(leaser), trio.open_nursery() as lanes:
        for source in ("s1", "s2", "s3"):
            lanes.start_soon(ask, source, Choice.ENGAGED if source == "s2" else Choice.REST)
    assert got["s2"] == 15
    assert sorted(got.values()) == [0, 5, 15]


async def test_while_the_store_is_away_there_are_no_leases_and_nobody_hangs(autojump_clock: MockClock) -> None:
    queue = Store()
    await submitted(queue, 20, route=request(0).route)
    troubles: list[str] = []
    leaser = Leaser(queue, clock, on_trouble=lambda error: troubles.append(str(error)))
    async with running(leaser):
        queue.away = True
        assert await leaser.lease(request(0)) == []
        assert troubles == ["the store is away"]
        queue.away = False
        assert len(await leaser.lease(request(0))) == 1


async def test_a_lane_that_another_owner_holds_gets_none(autojump_clock: MockClock) -> None:
    queue = Store()
    await submitted(queue, 40, route=request(0).route)
    leaser = Leaser(queue, clock)
    theirs = LeaseRequest(lane=request(0).lane, route=request(0).route, owner="host/2", envelopes=1)
    assert await queue.lease([theirs], clock())
    async with running(leaser):
        assert await leaser.lease(request(0)) == []


async def test_a_lane_that_was_cancelled_claims_nothing(autojump_clock: MockClock) -> None:
    queue = Store()
    await submitted(queue, 40, route=request(0).route)
    leaser = Leaser(queue, clock, gather_s=1.0)
    async with running(leaser):
        with trio.move_on_after(0.5):
            await leaser.lease(request(0))
        assert len(await leaser.lease(request(1))) == 0  # the round that the first one had begun
    theirs = LeaseRequest(lane=request(0).lane, route=request(0).route, owner="host/2", envelopes=1)
    assert await queue.lease([theirs], clock()), "the lane is anybody's"


async def test_who_is_known_to_wait_for_a_cap_does_not_ask_the_store(autojump_clock: MockClock) -> None:
    queue = Store()
    await submitted(queue, 40, route=request(0).route)
    leaser = Leaser(queue, clock)
    now = clock()
    capped = replace(request(0), capped=True)
    cap = Cap(day=1, starts=now, ends=now + 86_400, per_day=50, per_hour=10, per_minute=10)
    async with running(leaser):
        assert (await leaser.lease(capped)).waits[0].window is Window.UNPLANNED
        await queue.set_caps({Account.of(capped.lane, capped.route): cap}, now)
        assert await leaser.lease(capped) == []
        assert queue.calls["lease"] == 1
        await trio.sleep(3)
        assert len((await leaser.lease(capped))[0].envelopes) == 10
        for _ in range(5):
            assert (await leaser.lease(capped)).waits[0].window is Window.HOUR
        assert queue.calls["lease"] == 3
