"""Limited rates, on every backend: never more than the rate and its burst, and as much as that."""

from sender.model import LaneId, Route, State
from sender.queue.base import Queue
from sender.queue.control import Hold
from tests.queue.backends import on_one_server
from tests.queue.feeding import (
    MANY,
    OTHER,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    campaigns_leased,
    chunk_of,
    conserved,
    envelopes,
    filled,
    flat,
    leased,
    opened,
    settlement,
    wish,
)


async def test_a_limited_campaign_is_leased_as_far_as_it_is_granted(queue: Queue) -> None:
    await filled(queue, 100, pack_size=20)
    await queue.limit_rate("spring", True)
    assert await leased(queue, 10) == []
    assert await queue.grant("spring", 1.0, 15, QUEUED_AT) == 15
    await queue.limit_rate("spring", True)  # told again
    assert [len(await campaigns_leased(queue, 10)) for _ in range(3)] == [10, 5, 0]
    await conserved(queue, all_in_line=False)
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)
    assert len(await campaigns_leased(queue, 1000)) == 85


async def test_tokens_come_with_time_and_never_above_the_burst(queue: Queue) -> None:
    await filled(queue, 1000, pack_size=20)
    await queue.limit_rate("spring", True)
    granted = [await queue.grant("spring", 2.0, 10, QUEUED_AT)]
    for now in (QUEUED_AT, QUEUED_AT + 1, QUEUED_AT + 2.5, QUEUED_AT + 1, QUEUED_AT + 3, QUEUED_AT + 1000):
        await leased(queue, 1000, now=now)
        granted.append(await queue.grant("spring", 2.0, 10, now))
    assert granted == [10, 0, 2, 3, 0, 1, 10], "a clock that is behind counts no moment twice"
    assert await queue.grant("spring", 2.0, 10, QUEUED_AT + 2000) == 0, "what was granted and not used counts, too"
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)


@on_one_server
async def test_over_a_long_time_the_rate_is_met_and_never_exceeded(queue: Queue) -> None:
    await filled(queue, 700, campaign="spring", pack_size=50)
    await queue.limit_rate("spring", True)
    rate, burst, sent = 2.7, 8.0, 0
    for step in range(1, 400):
        now = QUEUED_AT + step / 2
        await queue.grant("spring", rate, burst, now)
        await queue.wake(now, MANY)
        leases = await leased(queue, 3, now=now)
        sent += len(flat(leases))
        await queue.settle([all_delivered(lease) for lease in leases], now)
        assert sent <= rate * (step / 2) + burst
    assert sent >= rate * 199 - 1
    await queue.limit_rate("spring", False)
    await queue.wake(now, MANY)


async def test_what_no_work_can_use_is_not_handed_out(queue: Queue) -> None:
    await filled(queue, 4)
    await queue.limit_rate("spring", True)
    assert await queue.grant("spring", 1.0, 100, QUEUED_AT) == 4
    assert await queue.grant("spring", 1.0, 100, QUEUED_AT) == 0
    assert len(await campaigns_leased(queue, 10)) == 4


async def test_a_limited_campaign_shares_its_rate_among_its_routes(queue: Queue) -> None:
    await opened(queue)
    some = [(ROUTE, envelopes("spring", 300)), (OTHER, envelopes("spring", 100, start=300))]
    await queue.expand(await chunk_of(queue, "spring", some), QUEUED_AT)
    await queue.limit_rate("spring", True)
    other = wish(100, lane=LaneId(source="s1", receiver="orange"), route=OTHER)
    assert await queue.lease([wish(100), other], QUEUED_AT) == []
    assert await queue.grant("spring", 1.0, 40, QUEUED_AT) == 40
    assert len(flat(await queue.lease([wish(100), other], QUEUED_AT))) <= 40
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)
    await conserved(queue)


async def test_a_route_that_can_not_be_served_does_not_eat_the_rate_of_the_others(queue: Queue) -> None:
    await opened(queue)
    some = [(ROUTE, envelopes("spring", 900)), (OTHER, envelopes("spring", 100, start=900))]
    await queue.expand(await chunk_of(queue, "spring", some), QUEUED_AT)
    await queue.limit_rate("spring", True)
    lane, sent = LaneId(source="s1", receiver="orange"), 0
    for second in range(30):
        now = QUEUED_AT + second
        await queue.grant("spring", 2.0, 20, now)
        await queue.wake(now, MANY)
        sent += len(flat(await queue.lease([wish(10, lane=lane, route=OTHER)], now)))
    assert sent >= 45, "of 60 that the rate permits: nobody asks for the other route"
    await queue.limit_rate("spring", False)
    await queue.wake(now, MANY)


async def test_no_more_routes_line_up_than_a_limited_rate_has_envelopes_for(queue: Queue) -> None:
    routes = [Route(pool="main", receiver=f"~d{number}.example") for number in range(20)]
    await opened(queue)
    packs = [(route, envelopes("spring", 2, start=2 * number)) for number, route in enumerate(routes)]
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    await queue.limit_rate("spring", True)
    wishes = [wish(5, route=route, lane=LaneId(source="s1", receiver=route.receiver)) for route in routes]
    assert await queue.lease(wishes, QUEUED_AT) == []
    assert await queue.grant("spring", 1.0, 3, QUEUED_AT) == 3
    assert len(await queue.ready(100)) == 3
    await conserved(queue, all_in_line=False)
    await queue.limit_rate("spring", False)
    assert await queue.wake(QUEUED_AT, MANY) == 17


async def test_envelopes_that_come_back_untried_have_used_up_nothing(queue: Queue) -> None:
    await filled(queue, 30, pack_size=10)
    await queue.limit_rate("spring", True)
    await queue.grant("spring", 1.0, 10, QUEUED_AT)
    (lease,) = await leased(queue, 10)
    assert await leased(queue, 10) == []
    back = settlement(lease, final=[(0, State.DELIVERED)], again=[(place, 0.0) for place in range(1, 10)])
    for _ in range(2):
        await queue.settle([back], QUEUED_AT)
    await queue.wake(QUEUED_AT, MANY)
    assert len(await campaigns_leased(queue, 100)) == 9
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)


async def test_a_rate_that_is_lifted_begins_anew(queue: Queue) -> None:
    await filled(queue, 100, pack_size=10)
    await queue.limit_rate("spring", True)
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 10
    assert await leased(queue, 0) == []
    await queue.limit_rate("spring", False)
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 0, "nothing to grant"
    await queue.limit_rate("spring", True)
    await queue.limit_rate("spring", True)
    assert await leased(queue, 10) == []
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 10
    assert len(await campaigns_leased(queue, 100)) == 10
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)


async def test_a_held_campaign_with_budget_stays_held(queue: Queue) -> None:
    await filled(queue, 30, pack_size=10)
    await queue.limit_rate("spring", True)
    await queue.hold([Hold(campaign="spring", start=0.0, end=2000.0)])
    assert await leased(queue, 10) == []
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 10
    assert await leased(queue, 10) == []
    assert await queue.wake(2000.0, MANY) == 1
    assert len(await campaigns_leased(queue, 30, now=2000.0)) == 10
    await queue.limit_rate("spring", False)
    await queue.wake(2000.0, MANY)
