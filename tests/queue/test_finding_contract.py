"""Looking for one envelope, on every backend: wherever it is, and whatever stands before it there."""

import math
from dataclasses import replace

import pytest

from sender.events import Event
from sender.model import LaneId, Route, State
from sender.queue.base import Again, Lease, Queue, RowBatch, Settlement
from sender.queue.control import Hold
from sender.queue.finding import LaneReport, RouteWork, Waits, Whereabouts
from tests.queue.feeding import (
    LANE,
    OTHER,
    QUEUED_AT,
    ROUTE,
    chunk_of,
    envelopes,
    filled,
    leased,
    opened,
    parking,
    settlement,
    wish,
)


def ended(lease: Lease, position: int, state: State) -> Settlement:
    """One position in a final state, with the ordinal it is found by."""
    ordinals = (lease.envelopes[position].ordinal,)
    return replace(settlement(lease, final=[(position, state)]), ordinals=ordinals)


async def test_in_the_inbox(queue: Queue) -> None:
    await queue.announce("spring", b'{"v":1}')
    await queue.add_rows("spring", [RowBatch(number=3, rows=b'{"to":"a@example.org"}')])
    assert (await queue.find("spring", 3_000)).where is Whereabouts.INBOX
    assert (await queue.find("spring", 4_000)).where is Whereabouts.UNKNOWN


async def test_where_there_is_nothing(queue: Queue) -> None:
    assert (await queue.find("spring", 0)).where is Whereabouts.UNKNOWN
    await filled(queue, 5)
    for ordinal in (5, 999, 1_000, -1, 10**9 + 5):
        assert (await queue.find("spring", ordinal)).where is Whereabouts.UNKNOWN, ordinal
    with pytest.raises(ValueError, match="no campaign id"):
        await queue.find("a b", 0)


@pytest.mark.parametrize("ordinal", [0, 99, 100, 101, 450, 1_999])
async def test_ready_with_what_stands_before_it(queue: Queue, ordinal: int) -> None:
    some = await filled(queue, 2_000, pack_size=100)
    found = await queue.find("spring", ordinal)
    assert (found.where, found.envelope, found.route) == (Whereabouts.READY, some[ordinal], ROUTE)
    assert (found.ahead, found.aside, found.hold, found.budget) == (ordinal, False, None, None)


async def test_ready_among_routes_campaigns_and_other_ages(queue: Queue) -> None:
    """Each recipient of a list that is spread over receivers, chunk after chunk, is found where it is."""
    await opened(queue, "spring", batches=3)
    routes = [Route(pool="main", receiver=f"r{number}") for number in range(7)]
    for chunk in range(3):
        some = envelopes("spring", 210, start=chunk * 1_000, queued_at=QUEUED_AT + chunk)
        packs = [(route, some[place::7][start : start + 12]) for place, route in enumerate(routes) for start in (0, 12, 24)]
        assert await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    await filled(queue, 300, campaign="summer", route=routes[0], pack_size=10)
    for ordinal in (0, 6, 100, 209, 1_000, 1_005, 1_209, 2_000, 2_123, 2_209):
        found = await queue.find("spring", ordinal)
        assert (found.where, found.route) == (Whereabouts.READY, routes[ordinal % 1_000 % 7]), ordinal
        assert found.envelope is not None
        assert (found.envelope.campaign, found.envelope.ordinal) == ("spring", ordinal)
    assert (await queue.find("spring", 210)).where is Whereabouts.UNKNOWN


async def test_ready_again_between_packs_that_were_never_leased(queue: Queue) -> None:
    some = await filled(queue, 1_000, pack_size=200)
    (lease,) = await leased(queue, 120)
    returned = [Again(position=place, envelope=lease.envelopes[place], due=0.0) for place in (119, 3, 77)]
    await queue.settle([replace(settlement(lease), again=tuple(returned))], QUEUED_AT)
    for ordinal in (3, 77, 119, 120, 130, 149, 150, 999):
        found = await queue.find("spring", ordinal)
        assert (found.where, found.envelope) == (Whereabouts.READY, some[ordinal]), ordinal
    assert (await queue.find("spring", 4)).where is Whereabouts.LEASED


async def test_leased_and_by_whom(queue: Queue) -> None:
    some = await filled(queue, 300, pack_size=100)
    await leased(queue, 250)
    for ordinal in (0, 99, 100, 249):
        found = await queue.find("spring", ordinal)
        assert (found.where, found.envelope, found.route) == (Whereabouts.LEASED, some[ordinal], ROUTE)
        assert (found.lane, found.owner) == (LANE, "worker-1")
    assert (await queue.find("spring", 250)).where is Whereabouts.READY


async def test_for_later_and_until_when(queue: Queue) -> None:
    await filled(queue, 10)
    (lease,) = await leased(queue, 10)
    again = Again(position=4, envelope=replace(lease.envelopes[4], attempts=3), due=2_000.0)
    await queue.settle([replace(settlement(lease), again=(again,))], QUEUED_AT)
    found = await queue.find("spring", 4)
    assert (found.where, found.due, found.route) == (Whereabouts.LATER, 2_000.0, ROUTE)
    assert found.envelope is not None
    assert found.envelope.attempts == 3
    await queue.promote(2_000.0, 10)
    assert (await queue.find("spring", 4)).where is Whereabouts.READY


@pytest.mark.parametrize("state", list(State))
async def test_final(queue: Queue, state: State) -> None:
    await filled(queue, 10)
    (lease,) = await leased(queue, 10)
    await queue.settle([ended(lease, 4, state)], QUEUED_AT)
    found = await queue.find("spring", 4)
    assert (found.where, found.state, found.envelope) == (Whereabouts.FINAL, state, None)
    assert (await queue.find("spring", 3)).where is Whereabouts.LEASED


async def test_final_since_it_was_expanded(queue: Queue) -> None:
    await opened(queue)
    chunk = await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 3))], states={State.INVALID: 2})
    assert await queue.expand(replace(chunk, ended=((3, State.INVALID), (4, State.SUPPRESSED))), QUEUED_AT)
    assert (await queue.find("spring", 3)).state is State.INVALID
    assert (await queue.find("spring", 4)).state is State.SUPPRESSED
    assert (await queue.find("spring", 2)).where is Whereabouts.READY


async def test_a_place_counts_before_a_fate_that_was_noted_too_late(queue: Queue) -> None:
    await queue.join("worker-1")
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.fence({"worker-1": None})
    assert await queue.reclaim(QUEUED_AT) == 3
    assert await queue.settle([ended(lease, 1, State.DELIVERED)], QUEUED_AT) == 1
    assert (await queue.find("spring", 1)).where is Whereabouts.READY


async def test_parked_it_is_final_and_sent_again_it_is_ready(queue: Queue) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.settle([parking(lease, [2])], QUEUED_AT)
    assert (await queue.find("spring", 2)).state is State.UNKNOWN
    await queue.resend(["spring:2"], QUEUED_AT)
    assert (await queue.find("spring", 2)).where is Whereabouts.READY


async def test_what_holds_a_ready_one_back(queue: Queue) -> None:
    await filled(queue, 10)
    await queue.hold([Hold(campaign="spring", start=0.0, end=math.inf)])
    assert await leased(queue, 5) == []
    found = await queue.find("spring", 7)
    assert (found.where, found.aside) == (Whereabouts.READY, True)
    assert found.hold == Hold(campaign="spring", start=0.0, end=math.inf)
    await queue.hold([Hold(campaign="spring", start=0.0, end=0.0)])
    await queue.limit_rate("spring", True)
    await queue.wake(QUEUED_AT, 10)
    assert await leased(queue, 5) == []
    found = await queue.find("spring", 7)
    assert (found.hold, found.budget, found.aside) == (None, 0, True)
    waits = await queue.waits("spring", 1)
    assert (waits.aside, waits.budget, waits.oldest) == (1, 0, {}), "nobody may take it"
    assert await queue.work_on([ROUTE, OTHER]) == {ROUTE: RouteWork(ready=10, aside=10), OTHER: RouteWork(ready=0, aside=0)}
    depth = await queue.depth(QUEUED_AT)
    assert (depth.ready, depth.aside) == ({ROUTE: 10}, {ROUTE: 10})
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, 10)


async def test_where_a_campaign_waits(queue: Queue) -> None:
    assert await queue.waits("spring", 10) == Waits(routes={})
    await opened(queue)
    routes = [Route(pool="main", receiver=f"r{number}") for number in range(5)]
    packs = [(route, envelopes("spring", 10 + number, start=100 * number)) for number, route in enumerate(routes)]
    packs[2] = (routes[2], [replace(one, queued_at=QUEUED_AT - one.ordinal % 8) for one in packs[2][1]])
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    lane = LaneId(source="s1", receiver="r4")
    (lease,) = await queue.lease([wish(4, lane=lane, route=routes[4])], QUEUED_AT)
    await queue.settle([settlement(lease, again=[(0, 2_000.0), (1, 3_000.0)])], QUEUED_AT)
    waits = await queue.waits("spring", 2)
    assert (dict(waits.routes), waits.more, waits.ready) == ({routes[3]: 13, routes[2]: 12}, 3, 56)
    assert (waits.later, waits.due, waits.aside, waits.budget) == (2, 2_000.0, 0, None)
    assert list(waits.routes) == [routes[3], routes[2]]
    assert waits.oldest == {routes[3]: QUEUED_AT, routes[2]: QUEUED_AT - 7}


def told(ordinal: int, attempt: int, why: str = "") -> bytes:
    name = f"spring:{ordinal}:{attempt}:deferred"
    return Event(id=name, type="deferred", at=1.0, campaign="spring", ordinal=ordinal, to="a@b.example", why=why).encode()


async def test_the_newest_event_about_an_envelope(queue: Queue) -> None:
    await filled(queue, 30)
    (lease,) = await leased(queue, 30)
    assert await queue.last_event("spring", 3, ROUTE) is None
    lying = told(4, 1, why='{"v":1,"id":"spring:3:9:delivered"}')
    for number, events in enumerate([(told(3, 1), told(5, 1)), (told(33, 7), told(3, 2)), (lying, told(6, 1))]):
        await queue.settle([replace(settlement(lease, final=[(number, State.REJECTED)]), events=events)], QUEUED_AT)
    assert await queue.last_event("spring", 3, ROUTE) == told(3, 2)
    assert await queue.last_event("spring", 3, None) == told(3, 2)
    assert await queue.last_event("spring", 5, ROUTE) == told(5, 1)
    assert await queue.last_event("sprin", 3, ROUTE) is None


def report(source: str = "s1", receiver: str = "google", *, at: float = 10.0, limit: str = "window") -> LaneReport:
    return LaneReport(
        lane=LaneId(source=source, receiver=receiver),
        route=Route(pool="main", receiver=receiver),
        owner="host/1",
        at=at,
        sessions=3,
        connections=4,
        holding=70,
        messages_per_second=12.5,
        limit=limit,
        until=0.0,
        rule="",
        why="3 of 4 connections",
    )


async def test_what_lanes_said_last(queue: Queue) -> None:
    assert await queue.lanes() == {}
    for owner in ("host/1", "host/2"):
        await queue.join(owner)
    await queue.report_lanes("host/1", [report(), report("s2")])
    await queue.report_lanes("host/2", [report("s3"), report("s2", at=11.0, limit="pause")])
    lanes = await queue.lanes()
    assert {lane.source: found.limit for lane, found in lanes.items()} == {"s1": "window", "s2": "pause", "s3": "window"}
    assert lanes[LaneId(source="s1", receiver="google")] == report()
    await queue.report_lanes("host/1", [])
    assert {lane.source for lane in await queue.lanes()} == {"s2", "s3"}
