"""What stays with one source, on every backend: no other gets it, it obeys what all obey, and there is a way out."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sender.model import Envelope, LaneId, Route, State
from sender.queue.base import Again, Lease, Queue
from sender.queue.finding import RouteWork, Whereabouts
from tests.queue.feeding import (
    LANE,
    MANY,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    filled,
    flat,
    leased,
    lifted,
    paused,
    settlement,
    wish,
)
from tests.queue.warming import capped

OWN = ROUTE.own("s1")
OTHER_LANE = LaneId(source="s2", receiver="google")
DUE = QUEUED_AT + 600
POOLS = {"s1": "main", "s2": "main"}
PATIENCE_S = 86_400.0


async def deferred(queue: Queue, lease: Lease, *, due: float = DUE, source: str = "s1") -> None:
    """The receiver deferred all of a lease because of its source."""
    again = tuple(
        Again(position=place, envelope=replace(envelope, attempts=envelope.attempts + 1), due=due, source=source)
        for place, envelope in enumerate(lease.envelopes)
    )
    await queue.settle([replace(settlement(lease), again=again)], QUEUED_AT)


async def staying(queue: Queue, count: int = 4) -> list[Envelope]:
    """A campaign whose envelopes are ready, and stay with the first source."""
    some = await filled(queue, count)
    (lease,) = await leased(queue, count)
    await deferred(queue, lease)
    assert await queue.promote(DUE, MANY) == count
    return some


async def taken_by(queue: Queue, lane: LaneId, now: float = DUE) -> Sequence[Lease]:
    return await queue.lease([wish(MANY, lane=lane)], now)


def ordinals(leases: Sequence[Lease]) -> list[int]:
    return [envelope.ordinal for envelope in flat(leases)]


async def test_only_its_source_tries_it_again(queue: Queue) -> None:
    await staying(queue)
    assert await taken_by(queue, OTHER_LANE) == []
    (lease,) = await taken_by(queue, LANE)
    assert (lease.route, lease.lane, ordinals([lease])) == (OWN, LANE, [0, 1, 2, 3])
    assert {envelope.attempts for envelope in lease.envelopes} == {1}
    await queue.settle([all_delivered(lease)], DUE)
    (status,) = await queue.status(["spring"])
    assert (status.final, status.deferrals) == ({("google", State.DELIVERED): 4}, {"google": 4})


async def test_it_stays_whatever_becomes_of_it_next(queue: Queue) -> None:
    """Let go untried, deferred for another reason, orphaned by a crash: none of it makes it anybody's."""
    await staying(queue)
    (lease,) = await taken_by(queue, LANE)
    await queue.settle([settlement(lease, again=[(0, 0.0), (1, DUE + 60), (2, DUE + 60)])], DUE)
    assert await taken_by(queue, OTHER_LANE) == []
    await queue.promote(DUE + 60, MANY)
    await queue.resign("worker-1")
    assert await queue.reclaim(DUE + 60) == 1
    assert await queue.lease([wish(MANY, lane=OTHER_LANE, owner="worker-2")], DUE + 60) == []
    again = await queue.lease([wish(MANY, owner="worker-3")], DUE + 60)
    assert sorted(ordinals(again)) == [0, 1, 2, 3]


async def test_what_is_told_twice_stays_once(queue: Queue) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 4)
    for _ in range(2):
        await deferred(queue, lease)
        await deferred(queue, lease, due=0.0, source="s2")
    await queue.promote(DUE, MANY)
    assert len(flat(await taken_by(queue, OTHER_LANE))) == 0
    assert len(flat(await taken_by(queue, LANE))) == 4


async def test_it_may_be_ready_at_once(queue: Queue) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 2)
    await deferred(queue, lease, due=0.0)
    assert ordinals(await taken_by(queue, OTHER_LANE)) == [2, 3]
    assert ordinals(await taken_by(queue, LANE)) == [0, 1]


async def test_it_is_seen_where_it_waits(queue: Queue) -> None:
    some = await filled(queue, 4)
    (lease,) = await leased(queue, 2)
    await deferred(queue, lease)
    found = await queue.find("spring", 1)
    assert (found.where, found.route, found.due) == (Whereabouts.LATER, OWN, DUE)
    await queue.promote(DUE, MANY)
    found = await queue.find("spring", 1)
    assert (found.where, found.route) == (Whereabouts.READY, OWN)
    assert found.envelope == replace(some[1], attempts=1)
    assert {ready.route: (ready.envelopes, ready.oldest) for ready in await queue.ready(10)} == {
        OWN: (2, QUEUED_AT),
        ROUTE: (2, QUEUED_AT),
    }
    assert (await queue.depth(DUE)).ready == {OWN: 2, ROUTE: 2}
    assert await queue.work_on([OWN]) == {OWN: RouteWork(ready=2, aside=0)}
    assert (await queue.waits("spring", 10)).routes == {OWN: 2, ROUTE: 2}
    await taken_by(queue, LANE)
    (held,) = [held for held in await queue.held("worker-1") if held.lease.route == OWN]
    assert held.lease.route.source == "s1"


async def test_the_sources_of_a_pool_share_what_stays_with_none(queue: Queue) -> None:
    """Of one priority what is the source's own goes first, a better priority before it."""
    await staying(queue, 2)
    await filled(queue, 2, campaign="equal")
    await filled(queue, 2, campaign="urgent", priority=0)
    campaigns = [lease.envelopes[0].campaign for lease in await taken_by(queue, LANE)]
    assert campaigns == ["urgent", "spring", "equal"]


async def test_it_can_be_leased_in_parts(queue: Queue) -> None:
    await staying(queue, 4)
    assert ordinals(await queue.lease([wish(1)], DUE)) == [0]
    assert await taken_by(queue, OTHER_LANE) == []
    assert ordinals(await queue.lease([wish(3)], DUE)) == [1, 2, 3]


async def test_a_held_campaign_leaves_that_line_too_and_comes_back(queue: Queue) -> None:
    await staying(queue)
    await queue.hold([paused()])
    assert await taken_by(queue, LANE) == []
    assert await queue.ready(10) == []
    await queue.hold([lifted()])
    await queue.wake(DUE, MANY)
    assert await taken_by(queue, OTHER_LANE) == []
    assert len(flat(await taken_by(queue, LANE))) == 4


async def test_a_rate_counts_it(queue: Queue) -> None:
    await staying(queue, 10)
    await queue.limit_rate("spring", True)
    assert await taken_by(queue, LANE) == []
    assert await queue.grant("spring", 1.0, 3, DUE) == 3
    (lease,) = await taken_by(queue, LANE)
    assert (len(lease.envelopes), lease.route) == (3, OWN)
    await queue.limit_rate("spring", False)
    await queue.wake(DUE, MANY)
    assert len(flat(await taken_by(queue, LANE))) == 7


@pytest.mark.parametrize("when", ["later", "ready"])
async def test_it_ends_with_its_campaign(queue: Queue, when: str) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 4)
    await deferred(queue, lease)
    if when == "ready":
        await queue.promote(DUE, MANY)
    assert await queue.discard("spring", State.EXPIRED, MANY, DUE) == 4
    assert await taken_by(queue, LANE) == []
    (status,) = await queue.status(["spring"])
    assert status.final == {("google", State.EXPIRED): 4}
    assert await queue.unbind(POOLS, 0.0, DUE, MANY) == 0


async def test_what_stays_with_a_source_that_is_gone_is_anybodys(queue: Queue) -> None:
    await staying(queue)
    assert await queue.unbind(POOLS, PATIENCE_S, DUE, MANY) == 0
    assert await queue.unbind({"s2": "main"}, PATIENCE_S, DUE, MANY) == 4
    assert await queue.unbind({"s2": "main"}, PATIENCE_S, DUE, MANY) == 0
    assert [ready.route for ready in await queue.ready(10)] == [ROUTE]
    (lease,) = await taken_by(queue, OTHER_LANE)
    assert (lease.route, ordinals([lease])) == (ROUTE, [0, 1, 2, 3])


async def test_a_source_of_another_pool_is_gone_from_this_one(queue: Queue) -> None:
    await staying(queue)
    assert await queue.unbind({"s1": "other", "s2": "main"}, PATIENCE_S, DUE, MANY) == 4


async def test_a_source_that_does_not_ask_for_too_long_loses_it(queue: Queue) -> None:
    await staying(queue)
    assert await queue.unbind(POOLS, PATIENCE_S, DUE, MANY) == 0
    assert await queue.unbind(POOLS, PATIENCE_S, DUE + PATIENCE_S - 1, MANY) == 0
    assert await queue.unbind(POOLS, PATIENCE_S, DUE + PATIENCE_S, MANY) == 4
    assert len(flat(await taken_by(queue, OTHER_LANE))) == 4


async def test_a_source_that_asks_keeps_it(queue: Queue) -> None:
    await staying(queue)
    await queue.unbind(POOLS, PATIENCE_S, DUE, MANY)
    assert len(flat(await queue.lease([wish(1)], DUE + PATIENCE_S))) == 1
    for seconds in (PATIENCE_S, 2 * PATIENCE_S - 1):
        assert await queue.unbind(POOLS, PATIENCE_S, DUE + seconds, MANY) == 0
    assert await queue.unbind(POOLS, PATIENCE_S, DUE + 2 * PATIENCE_S, MANY) == 3


async def test_a_source_that_asks_keeps_it_also_where_its_cap_is_used_up(queue: Queue) -> None:
    await staying(queue)
    await queue.unbind(POOLS, PATIENCE_S, DUE, MANY)
    assert await queue.lease([capped(1)], DUE + PATIENCE_S) == []
    assert await queue.unbind(POOLS, PATIENCE_S, DUE + PATIENCE_S, MANY) == 0


async def test_a_source_that_asks_keeps_it_also_while_it_is_held_back(queue: Queue) -> None:
    await staying(queue)
    await queue.hold([paused()])
    assert await taken_by(queue, LANE) == []
    await queue.unbind(POOLS, PATIENCE_S, DUE, MANY)
    assert await taken_by(queue, LANE, DUE + PATIENCE_S) == []
    await queue.hold([lifted()])
    await queue.wake(DUE + PATIENCE_S, MANY)
    assert await queue.unbind(POOLS, PATIENCE_S, DUE + PATIENCE_S, MANY) == 0
    assert len(flat(await taken_by(queue, LANE, DUE + PATIENCE_S))) == 4


async def test_what_is_held_back_moves_once_it_is_in_line_again(queue: Queue) -> None:
    await staying(queue)
    await queue.hold([paused()])
    await taken_by(queue, LANE)
    assert await queue.unbind({}, PATIENCE_S, DUE, MANY) == 0
    await queue.hold([lifted()])
    await queue.wake(DUE, MANY)
    assert await queue.unbind({}, PATIENCE_S, DUE, MANY) == 4
    assert len(flat(await taken_by(queue, OTHER_LANE))) == 4


async def test_it_moves_a_bounded_part_at_a_time(queue: Queue) -> None:
    await filled(queue, 300, pack_size=10)
    for _ in range(30):
        (lease,) = await leased(queue, 10)
        await deferred(queue, lease, due=0.0, source="s7")
    moved = [await queue.unbind(POOLS, PATIENCE_S, DUE, 100) for _ in range(4)]
    assert moved == [100, 100, 100, 0]
    assert len(flat(await taken_by(queue, OTHER_LANE))) == 300


def test_a_route_is_read_as_it_is_written() -> None:
    for route in (ROUTE, OWN, Route(pool="a-b_1", receiver="~x@y/z.example", source="mta-1.b_2")):
        assert Route.read(str(route)) == route
    assert (OWN.shared, ROUTE.shared, str(OWN)) == (ROUTE, ROUTE, "main@s1/google")
