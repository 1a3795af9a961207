"""Accounts that several lanes share, on every backend: reserved before anything is leased, and exact all the same."""

import pytest

from sender.model import LaneId, Mark, Route
from sender.queue.base import LeaseRequest, Queue
from sender.queue.warmups import Account, Window
from tests.queue.feeding import filled, flat
from tests.queue.warming import DAY, HOUR, MIDNIGHT, TAIL, cap, capped, counts, marked, released, used

NOON = MIDNIGHT + 12 * HOUR
ROUTES = tuple(Route(pool="main", receiver=f"~{name}.example") for name in "abc")


def wishes(count: int, *, owner: str = "worker-1", routes: tuple[Route, ...] = ROUTES) -> list[LeaseRequest]:
    return [
        capped(
            count,
            lane=LaneId(source="s1", receiver=route.receiver),
            route=route,
            owner=owner,
            needed=False,
            account=TAIL.name,
        )
        for route in routes
    ]


async def ready(queue: Queue, count: int) -> None:
    for number, route in enumerate(ROUTES):
        await filled(queue, count, campaign=f"c{number}", route=route)


async def test_lanes_of_several_partitions_share_one_cap(queue: Queue) -> None:
    await ready(queue, 50)
    await queue.set_caps({TAIL: cap(per_day=40)}, NOON)
    leases = await queue.lease(wishes(20), NOON)
    assert len(flat(leases)) == 40
    refused = await queue.lease(wishes(20), NOON)
    assert refused == []
    assert {(wait.lane.receiver, wait.account, wait.window, wait.outstanding) for wait in refused.waits} == {
        (route.receiver, "s1/other", Window.DAY, 40) for route in ROUTES
    }
    assert {lease.day_ends for lease in leases} == {MIDNIGHT + 86_400}


async def test_without_a_cap_it_gives_nothing(queue: Queue) -> None:
    await ready(queue, 5)
    refused = await queue.lease(wishes(5), NOON)
    assert (refused, {wait.window for wait in refused.waits}) == ([], {Window.UNPLANNED})


async def test_what_a_route_does_not_have_is_left_to_the_others(queue: Queue) -> None:
    await ready(queue, 3)
    await queue.set_caps({TAIL: cap(per_day=100)}, NOON)
    assert len(flat(await queue.lease(wishes(50), NOON))) == 9
    assert await counts(queue, NOON, TAIL) == (9, 9, 9, 9)


async def test_what_is_not_used_comes_back(queue: Queue) -> None:
    await ready(queue, 30)
    await queue.set_caps({TAIL: cap(per_day=60)}, NOON)
    leases = list(await queue.lease(wishes(20), NOON))
    await queue.settle([marked(lease, range(2)) for lease in leases], NOON)
    await queue.settle([released(lease, range(2, 7)) for lease in leases], NOON)
    await queue.settle([marked(lease, range(7, 10), Mark.LIMITED) for lease in leases], NOON)
    left = sum(max(0, len(lease.envelopes) - 10) for lease in leases)
    assert await counts(queue, NOON, TAIL) == (6 + left, 6 + left, 6 + left, left)
    assert (await used(queue, NOON, TAIL)).marks == {DAY: {Mark.DELIVERED: 6, Mark.LIMITED: 9}}


async def test_a_window_begins_with_what_is_outstanding(queue: Queue) -> None:
    await ready(queue, 30)
    await queue.set_caps({TAIL: cap(per_minute=30)}, NOON)
    leases = list(await queue.lease(wishes(10), NOON + 59))
    await queue.settle([marked(leases[0])], NOON + 59)
    assert len(flat(await queue.lease(wishes(30), NOON + 60))) == 30 - 20
    assert await counts(queue, NOON + 60, TAIL) == (40, 40, 30, 30)


@pytest.mark.parametrize(("told", "day"), [(False, 20), (True, 5)])
async def test_what_the_dead_held_counts_as_used_unless_their_journal_has_told_all(queue: Queue, told: bool, day: int) -> None:
    await ready(queue, 20)
    await queue.set_caps({TAIL: cap(per_day=30)}, NOON)
    await queue.join("host/a")
    (lease,) = await queue.lease(wishes(20, owner="host/a", routes=ROUTES[:1]), NOON)
    await queue.settle([marked(lease, range(5))], NOON)
    await queue.fence({"host/a": None}, told=told)
    for _ in range(2):
        await queue.reclaim(NOON)
    assert await counts(queue, NOON, TAIL) == (day, day, day, 0)


async def test_a_lane_may_have_a_cap_of_its_own_besides(queue: Queue) -> None:
    await ready(queue, 30)
    own = Account("s1/~a.example", ROUTES[0])
    await queue.set_caps({TAIL: cap(per_day=50), own: cap(per_day=4)}, NOON)
    assert len(flat(await queue.lease(wishes(20), NOON))) <= 44
    assert (await used(queue, NOON, own)).outstanding == 4
    assert (await used(queue, NOON, TAIL)).outstanding <= 44


async def test_units_can_be_taken_without_a_lease(queue: Queue) -> None:
    account = Account("@shop.example")
    assert await queue.reserve(account, 10, NOON) == 0
    await queue.set_caps({account: cap(per_day=25, per_hour=15)}, NOON)
    assert [await queue.reserve(account, 10, NOON) for _ in range(3)] == [10, 5, 0]
    assert await counts(queue, NOON, account) == (15, 15, 15, 0)
    assert [await queue.reserve(account, 10, NOON + HOUR) for _ in range(2)] == [10, 0]


async def test_an_owner_that_resigns_leaves_nothing_behind(queue: Queue) -> None:
    await ready(queue, 20)
    await queue.set_caps({TAIL: cap(per_day=30)}, NOON)
    await queue.join("host/a")
    (lease,) = await queue.lease(wishes(20, owner="host/a", routes=ROUTES[:1]), NOON)
    await queue.settle([marked(lease, range(5)), released(lease, range(5, 20))], NOON)
    await queue.resign("host/a")
    assert await counts(queue, NOON, TAIL) == (5, 5, 5, 0)
