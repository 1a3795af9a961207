"""Holding back in Redis: deaths between the steps, partitions that share a rate, and what earlier programs left."""

import itertools
import struct
from collections.abc import AsyncIterator

import pytest

from sender.errors import BackendError
from sender.model import LaneId, Route, State
from sender.queue.base import RowBatch
from sender.queue.client import Client
from sender.queue.control import Control
from sender.queue.keys import Layout
from sender.queue.pack import encode
from sender.queue.redis import RedisQueue
from sender.queue.redis_upkeep import KEPT_S
from tests.queue.feeding import (
    MANY,
    OTHER,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    chunk_of,
    conserved,
    envelopes,
    filled,
    flat,
    leased,
    lifted,
    opened,
    paused,
    settlement,
    wish,
)
from tests.queue.unreliable import Unreliable

pytestmark = pytest.mark.integration

LANES = {route: LaneId(source="s1", receiver=route.receiver) for route in (ROUTE, OTHER)}


@pytest.fixture
async def unreliable(client: Client, valkey_url: str) -> AsyncIterator[Unreliable]:
    unreliable = Unreliable(valkey_url)
    yield unreliable
    await unreliable.aclose()


@pytest.fixture
async def queue(unreliable: Unreliable) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue(unreliable, Layout(16))
    yield queue
    await conserved(queue)


def home(queue: RedisQueue, name: str, route: Route = ROUTE) -> str:
    """A key of the route's partition."""
    return queue._layout.of(route).key(name)


async def two_routes(queue: RedisQueue, google: int, orange: int) -> None:
    """A rate-limited campaign with work in two partitions."""
    assert queue._layout.of(ROUTE) != queue._layout.of(OTHER)
    await opened(queue)
    some = [(ROUTE, envelopes("spring", google)), (OTHER, envelopes("spring", orange, start=google))]
    await queue.expand(await chunk_of(queue, "spring", some), QUEUED_AT)
    await queue.limit_rate("spring", True)


async def let_go(queue: RedisQueue, now: float = QUEUED_AT) -> None:
    await queue.limit_rate("spring", False)
    await queue.hold([lifted()])
    await queue.wake(now, MANY)


# --- what earlier programs left


async def test_what_an_earlier_program_put_off_is_promoted_when_it_is_due(queue: RedisQueue, client: Client) -> None:
    some = await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.settle([settlement(lease, final=[(2, State.DELIVERED)], again=[(0, 1500.0), (1, 2500.0)])], QUEUED_AT)
    await client.run([("DEL", home(queue, "later:spring"), home(queue, "due"))])
    for envelope, due in zip(some, (1500.0, 2500.0), strict=False):
        member = f"{ROUTE}\0spring\0".encode() + encode([envelope])
        await client.run([("ZADD", home(queue, "later"), due, member)])
    await client.run([("ZADD", home(queue, "later"), 1.0, b"nobody's mail")])
    assert await queue.promote(1500.0, MANY) == 1
    assert await client.run([("EXISTS", home(queue, "later")), ("ZCARD", home(queue, "later:spring"))]) == [0, 1]
    assert await queue.promote(2499.0, MANY) == 0
    assert await queue.promote(2500.0, MANY) == 1
    assert flat(await leased(queue, 10, now=2500.0)) == some[:2]


@pytest.mark.parametrize("more", [0, 5])
async def test_what_an_earlier_program_made_ready_is_held_leased_and_ended_like_the_rest(
    queue: RedisQueue, client: Client, more: int
) -> None:
    await filled(queue, 30, pack_size=10)
    await client.run([("DEL", home(queue, "where:spring"))])  # they kept no such key
    if more:
        (lease,) = await leased(queue, more)
        await queue.settle([settlement(lease, again=[(place, 0.0) for place in range(more)])], QUEUED_AT)
    await queue.hold([paused()])
    assert await leased(queue, 10) == []
    await conserved(queue, all_in_line=False)
    await queue.hold([lifted()])
    assert await queue.wake(QUEUED_AT, MANY) == 1
    await conserved(queue)
    (lease,) = await leased(queue, 10)
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    assert await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT) == 20
    assert (await queue.ready(10), (await queue.depth(QUEUED_AT)).ready) == ([], {})


# --- deaths and repeats


@pytest.mark.parametrize("script", ["store_spec", "first_hold", "open"])
@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_scheduled_campaign_is_held_whoever_dies_while_it_is_accepted(
    queue: RedisQueue, unreliable: Unreliable, script: str, when: str
) -> None:
    await queue.announce("spring", b"{}")
    (announcement,) = await queue.announcements(1)
    setattr(unreliable, when, script)
    with pytest.raises(BackendError):
        await queue.accept(announcement, b"{}", QUEUED_AT, scheduled=True)
    if await queue.open_campaigns():
        await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))]), QUEUED_AT)
        assert await leased(queue, 5) == []
        assert await queue.schedules() == {"spring": b"{}"}
    await queue.accept(announcement, b"{}", QUEUED_AT, scheduled=True)
    assert await queue.schedules() == {"spring": b"{}"}
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5, start=5))]), QUEUED_AT)
    assert await leased(queue, 5) == []
    await let_go(queue)


async def test_an_expander_that_is_late_does_not_hold_what_was_let_go(queue: RedisQueue, client: Client) -> None:
    await queue.announce("spring", b"{}")
    (announcement,) = await queue.announcements(1)
    await queue.accept(announcement, b"{}", QUEUED_AT, scheduled=True)
    await queue.hold([lifted()])
    await queue.accept(announcement, b"{}", QUEUED_AT, scheduled=True)
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))]), QUEUED_AT)
    assert len(flat(await leased(queue, 5))) == 5


@pytest.mark.parametrize("script", ["weigh", "recall", "rate", "refill"])
@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_grant_that_gets_lost_never_makes_more_than_the_rate(
    queue: RedisQueue, unreliable: Unreliable, script: str, when: str
) -> None:
    await two_routes(queue, 300, 300)
    sent = 0
    for second in range(20):
        now = QUEUED_AT + second
        setattr(unreliable, when, script if second % 3 == 1 else "")
        try:
            await queue.grant("spring", 5.0, 20, now)
        except BackendError:
            await queue.grant("spring", 5.0, 20, now)
        setattr(unreliable, when, "")
        await queue.wake(now, MANY)
        route = (ROUTE, OTHER)[second // 2 % 2]
        sent += len(flat(await queue.lease([wish(20, lane=LANES[route], route=route)], now)))
        assert sent <= 20 + 5 * second
    assert sent >= 20
    await let_go(queue, now)


async def test_every_script_may_run_twice(queue: RedisQueue, unreliable: Unreliable) -> None:
    unreliable.twice = True
    await two_routes(queue, 100, 50)
    await queue.hold([paused()])
    await queue.set_control(Control(campaign="spring", paused=True))
    wishes = [wish(100, lane=LANES[route], route=route) for route in (ROUTE, OTHER)]
    assert await queue.lease(wishes, QUEUED_AT) == []
    assert await queue.grant("spring", 1.0, 30, QUEUED_AT) <= 30
    await queue.hold([lifted()])
    await queue.wake(QUEUED_AT, MANY)
    leases = await queue.lease(wishes, QUEUED_AT)
    assert len(flat(leases)) <= 30
    await conserved(queue, all_in_line=False)
    await queue.settle([all_delivered(lease) for lease in leases], QUEUED_AT)
    while await queue.discard("spring", State.CANCELLED, 20, QUEUED_AT):
        await conserved(queue, all_in_line=False)
    (status,) = await queue.status(["spring"])
    assert (status.finished, status.queued) == (150, 0)


async def test_budgets_that_wait_in_one_partition_come_back_to_the_others(queue: RedisQueue, client: Client) -> None:
    await two_routes(queue, 900, 100)
    assert await queue.grant("spring", 1.0, 100, QUEUED_AT) == 100
    budgets = [("HGET", home(queue, "budget", route), "spring") for route in (ROUTE, OTHER)]
    assert await client.run(budgets) == [b"90", b"10"]
    await queue.lease([wish(50, lane=LANES[OTHER], route=OTHER)], QUEUED_AT)
    assert await queue.grant("spring", 1.0, 100, QUEUED_AT) == 45, "half of what nobody uses goes where it is used"
    assert await client.run(budgets) == [b"45", b"45"]
    await let_go(queue)


async def test_where_those_that_lined_up_can_not_be_served_others_do_a_second_later(queue: RedisQueue) -> None:
    names = (Route(pool="main", receiver=f"~d{number}.example") for number in itertools.count())
    here = queue._layout.partitions[0]
    routes = list(itertools.islice((route for route in names if queue._layout.of(route) == here), 10))
    await opened(queue)
    packs = [(route, envelopes("spring", 5, start=5 * number)) for number, route in enumerate(routes)]
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    await queue.limit_rate("spring", True)
    wishes = [wish(5, route=route, lane=LaneId(source="s1", receiver=route.receiver)) for route in routes]
    assert await queue.lease(wishes, QUEUED_AT) == []
    assert await queue.grant("spring", 1.0, 4, QUEUED_AT) == 4
    assert [await queue.wake(QUEUED_AT + late, MANY) for late in (0.5, 1.0, 1.5, 2.0, 3.0)] == [0, 4, 0, 2, 0]
    await let_go(queue)


async def test_a_campaign_on_thousands_of_routes_is_weighed_by_some_of_them(queue: RedisQueue, client: Client) -> None:
    await queue.limit_rate("spring", True)
    key = home(queue, "where:spring")
    await client.run([("HSET", key, *(part for number in range(5000) for part in (f"main/~d{number}", 2)))])
    assert await queue.grant("spring", 1.0, 20_000, QUEUED_AT) == 10_000
    await client.run([("DEL", key)])


# --- at the edge


async def test_a_full_server_can_be_told_to_stop_and_to_end(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 40, pack_size=10)
    await client.run([("CONFIG", "SET", "maxmemory", 1), ("SCRIPT", "FLUSH")])
    try:
        await queue.set_control(Control(campaign="spring", paused=True))
        await queue.hold([paused()])
        assert await leased(queue, 10) == []
        await queue.hold([lifted()])
        assert await queue.wake(QUEUED_AT, MANY) == 1
        await queue.limit_rate("spring", True)
        assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 10
        (lease,) = await leased(queue, 20)
        await queue.settle([all_delivered(lease)], QUEUED_AT)
        assert await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT) == 30
    finally:
        await client.run([("CONFIG", "SET", "maxmemory", 0)])


async def test_nothing_is_left_of_a_campaign_that_is_forgotten(queue: RedisQueue, client: Client) -> None:
    await queue.announce("spring", b"{}")
    (announcement,) = await queue.announcements(1)
    await queue.accept(announcement, b"{}", QUEUED_AT, scheduled=True)
    await queue.add_rows("spring", [RowBatch(number=0, rows=b'{"to":"a@example.org"}')])
    await queue.close_rows("spring", 1)
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 40))]), QUEUED_AT)
    await queue.finish_rows("spring")
    await queue.set_control(Control(campaign="spring", ended=State.CANCELLED))
    await queue.limit_rate("spring", True)
    await queue.hold([lifted()])
    await queue.grant("spring", 1.0, 10, QUEUED_AT)
    (lease,) = await leased(queue, 10)
    await queue.settle([settlement(lease, again=[(place, 5000.0) for place in range(10)])], QUEUED_AT)
    assert await leased(queue, 10) == []
    await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT)
    await queue.reclaim(QUEUED_AT)
    assert list(await queue.controls()) == ["spring"], "an operator can still see what was said"
    await queue.reclaim(QUEUED_AT + KEPT_S)
    assert (await queue.controls(), await queue.schedules()) == ({}, {})
    (keys,) = await client.run([("KEYS", "*")])
    assert [key for key in keys if b"spring" in key] == []
    for name in ("holds", "budget", "asides", "due"):
        assert await client.run([("EXISTS", home(queue, name))]) == [0]


async def test_nothing_of_a_discarded_campaign_stands_anywhere(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 30, pack_size=10)
    (lease,) = await leased(queue, 10)
    await queue.settle([settlement(lease, again=[(place, 5000.0) for place in range(10)])], QUEUED_AT)
    await queue.hold([paused()])
    assert await leased(queue, 10) == []
    await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT)
    prefix = home(queue, "")
    (keys,) = await client.run([("KEYS", f"{prefix}*")])
    left = {key.decode().removeprefix(prefix) for key in keys}
    assert left == {"claims", "count:spring", "epoch", "holds", "waiting"}
    assert await client.run([("HMGET", home(queue, "waiting"), f"ready {ROUTE}", f"aside {ROUTE}")]) == [[None, None]]


async def test_a_damaged_pack_does_not_stop_a_campaign_from_being_ended(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 20, pack_size=10)
    key = home(queue, f"packs:spring:{ROUTE}")
    (packs,) = await client.run([("ZRANGE", key, 0, -1)])
    damaged = packs[0][:-3] + b"\0\0\0"
    await client.run([("ZREM", key, packs[0]), ("ZADD", key, struct.unpack_from(">d", damaged, 1)[0], damaged)])
    assert await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT) == 20
