"""Ending campaigns, on every backend: what waits ends, what is leased does not, and nothing is left over."""

import random

import pytest

from sender.model import LaneId, State
from sender.queue.base import Lease, Queue
from sender.queue.control import FOR_EVER, Hold
from tests.queue.backends import on_one_server
from tests.queue.feeding import (
    LANE,
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
    leased,
    lifted,
    opened,
    paused,
    settlement,
    wish,
)


@pytest.mark.parametrize("state", [State.CANCELLED, State.EXPIRED])
async def test_discarding_ends_what_waits_and_leaves_what_is_leased(queue: Queue, state: State) -> None:
    await opened(queue)
    some = [(ROUTE, envelopes("spring", 50)), (OTHER, envelopes("spring", 30, start=50))]
    await queue.expand(await chunk_of(queue, "spring", some, states={State.INVALID: 1}), QUEUED_AT)
    await filled(queue, 7, campaign="summer")
    await queue.hold([paused("summer")])
    (lease,) = await leased(queue, 20)
    await queue.settle([settlement(lease, again=[(0, 5000.0), (1, 6000.0)])], QUEUED_AT)
    assert await queue.discard("spring", state, MANY, QUEUED_AT) == 62
    assert await queue.discard("spring", state, MANY, QUEUED_AT) == 0
    (status,) = await queue.status(["spring"])
    assert status.final == {("google", state): 32, ("orange", state): 30, ("-", State.INVALID): 1}
    assert status.queued == 18
    depth = await queue.depth(QUEUED_AT)
    assert (depth.ready, depth.leased, depth.later) == ({ROUTE: 7}, 18, 0)
    await conserved(queue, all_in_line=False)
    assert (await queue.depth(9999.0)).oldest_due_s == 0.0
    assert await queue.promote(9999.0, MANY) == 0
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert (status.queued, status.final["google", State.DELIVERED]) == (0, 18)
    await queue.hold([lifted("summer")])
    await queue.wake(QUEUED_AT, MANY)


async def test_discarding_is_bounded_and_comes_to_an_end(queue: Queue) -> None:
    await filled(queue, 100, pack_size=10)
    leases = await leased(queue, 50)
    await queue.settle([settlement(leases[0], again=[(place, 5000.0 + 60 * place) for place in range(10)])], QUEUED_AT)
    rounds = []
    while count := await queue.discard("spring", State.CANCELLED, 25, QUEUED_AT):
        rounds.append(count)
        await conserved(queue)
    assert sum(rounds) == 60
    assert all(25 <= count < 35 for count in rounds[:-1]), rounds
    for lease in leases:
        await queue.settle([all_delivered(lease)], QUEUED_AT)


async def test_a_held_campaign_is_discarded_like_any_other(queue: Queue) -> None:
    await filled(queue, 40, campaign="spring", pack_size=10)
    await filled(queue, 10, campaign="summer")
    await queue.hold([paused()])
    assert await campaigns_leased(queue, 1) == ["summer"]
    assert await queue.discard("spring", State.CANCELLED, 15, QUEUED_AT) == 20
    await conserved(queue, all_in_line=False)
    assert (await queue.depth(QUEUED_AT)).ready == {ROUTE: 29}
    assert [ready.envelopes for ready in await queue.ready(10)] == [9]
    await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT)
    await conserved(queue)
    assert await queue.wake(QUEUED_AT, MANY) == 0


async def test_a_discarded_campaign_is_finished_and_may_be_forgotten(queue: Queue) -> None:
    await filled(queue, 40)
    await queue.finish_rows("spring")
    await queue.hold([paused()])
    await leased(queue, 10)
    await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT)
    await queue.reclaim(QUEUED_AT)
    assert await queue.spec("spring") is None


async def test_recipients_that_come_after_an_end_are_discarded_with_the_next_call(queue: Queue) -> None:
    await opened(queue, batches=2)
    await queue.hold([paused()])
    for number in range(3):
        pack = [(ROUTE, envelopes("spring", 5, start=5 * number))]
        await queue.expand(await chunk_of(queue, "spring", pack), QUEUED_AT)
        assert await leased(queue, 10) == []
        assert await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT) == 5
    await conserved(queue)


async def test_an_unknown_campaign_can_be_told_anything(queue: Queue) -> None:
    await queue.hold([lifted("nobody"), paused("nobody")])
    await queue.limit_rate("nobody", False)
    assert await queue.grant("nobody", 1.0, 10, QUEUED_AT) == 0
    assert await queue.discard("nobody", State.CANCELLED, 10, QUEUED_AT) == 0
    assert await queue.wake(QUEUED_AT, 10) == 0
    assert await queue.lease([wish(5, lane=LANE)], QUEUED_AT) == []


@on_one_server
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_each_envelope_ends_once(queue: Queue, seed: int) -> None:
    """Holds, rates, leases, returns and discards at random; then all is let go and drained."""
    rng, now, leases = random.Random(seed), QUEUED_AT, list[Lease]()
    names = ("spring", "summer", "autumn")
    for name in names:
        await opened(queue, name)
        some = envelopes(name, 120)
        packs = [((ROUTE, OTHER)[rng.randrange(2)], some[at : at + 12]) for at in range(0, 120, 12)]
        assert await queue.expand(await chunk_of(queue, name, packs, priority=rng.randrange(3)), now)

    async def lease() -> None:
        route = rng.choice((ROUTE, OTHER))
        lane = LaneId(source="s1", receiver=route.receiver)
        leases.extend(await queue.lease([wish(rng.randint(1, 30), lane=lane, route=route)], now))

    async def settle() -> None:
        if leases:
            lease = leases.pop(rng.randrange(len(leases)))
            cut = rng.randint(0, len(lease.envelopes))
            again = [(place, rng.choice((0.0, now + rng.uniform(1, 60)))) for place in range(cut, len(lease.envelopes))]
            final = [(place, State.DELIVERED) for place in range(cut)]
            await queue.settle([settlement(lease, final=final, again=again)], now)

    async def control() -> None:
        name = rng.choice(names)
        match rng.randrange(6):
            case 0:
                await queue.hold([Hold(campaign=name, start=now - 1, end=rng.choice((now + 20, FOR_EVER)))])
            case 1:
                await queue.hold([lifted(name)])
            case 2:
                await queue.limit_rate(name, rng.random() < 0.5)
            case 3:
                await queue.grant(name, 3.0, 20, now)
            case 4:
                await queue.wake(now, rng.choice((1, MANY)))
            case 5:
                await queue.discard(rng.choice(names[:2]), State.CANCELLED, rng.choice((1, 30)), now)

    for _ in range(120):
        now += rng.uniform(0, 5)
        await rng.choice((lease, lease, settle, control))()
        await queue.promote(now, MANY)
        await conserved(queue, all_in_line=False)
    await queue.settle([all_delivered(one) for one in leases], now)
    await queue.hold([lifted(name) for name in names])
    for name in names:
        await queue.limit_rate(name, False)
    await queue.promote(now + 1000, MANY)
    await queue.wake(now, MANY)
    await conserved(queue)
    for route in (ROUTE, OTHER):
        rest = await queue.lease([wish(MANY, lane=LaneId(source="s1", receiver=route.receiver), route=route)], now)
        await queue.settle([all_delivered(one) for one in rest], now)
    assert [(status.finished, status.queued) for status in await queue.status(names)] == [(120, 0)] * 3
