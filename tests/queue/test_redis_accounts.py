"""Shared accounts in Redis where answers get lost: no unit is made up, and none is lost for longer than a call."""

from collections.abc import AsyncIterator

import pytest

from sender.errors import BackendError
from sender.model import Route
from sender.queue.base import Granted
from sender.queue.client import Client
from sender.queue.keys import Layout, account
from sender.queue.redis import RedisQueue
from tests.queue.feeding import flat
from tests.queue.test_accounts_contract import NOON, ROUTES, ready, wishes
from tests.queue.unreliable import Unreliable
from tests.queue.warming import TAIL, cap, counts, marked, released

pytestmark = pytest.mark.integration


@pytest.fixture
async def door(client: Client, valkey_url: str) -> AsyncIterator[Unreliable]:
    door = Unreliable(valkey_url)
    yield door
    await door.aclose()


@pytest.fixture
async def queue(door: Unreliable) -> RedisQueue:
    queue = RedisQueue(door, Layout(4))
    await ready(queue, 60)
    await queue.set_caps({TAIL: cap(per_day=50)}, NOON)
    return queue


async def leased(queue: RedisQueue, count: int) -> Granted:
    return await queue.lease(wishes(count, routes=ROUTES[:1]), NOON)


@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
async def test_what_was_reserved_and_never_arrived_goes_back_with_the_next_call(
    door: Unreliable, queue: RedisQueue, lost: str
) -> None:
    setattr(door, lost, "account")
    with pytest.raises(BackendError):
        await leased(queue, 30)
    assert len(flat(await leased(queue, 50))) == 50
    assert await counts(queue, NOON, TAIL) == (50, 50, 50, 50)


@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
async def test_where_the_lease_gets_lost_its_units_go_back(door: Unreliable, queue: RedisQueue, lost: str) -> None:
    setattr(door, lost, "lease")
    with pytest.raises(BackendError):
        await leased(queue, 30)
    assert len(flat(await leased(queue, 50))) == 50
    assert await counts(queue, NOON, TAIL) == (50, 50, 50, 50)


async def test_what_can_t_be_told_now_is_told_with_the_next_call(door: Unreliable, queue: RedisQueue) -> None:
    (lease,) = await leased(queue, 20)
    for lost in ("lose_before", "lose_after"):
        setattr(door, lost, "account")
        await queue.settle([marked(lease, [0]), released(lease, range(1, 10))], NOON)
    await queue.settle([marked(lease, [10])], NOON)
    assert await counts(queue, NOON, TAIL) == (11, 11, 11, 9)


async def test_a_settlement_whose_answer_was_lost_is_told_once(door: Unreliable, queue: RedisQueue) -> None:
    (lease,) = await leased(queue, 20)
    door.lose_after = "settle"
    told = [marked(lease, range(5)), released(lease, range(5, 20))]
    with pytest.raises(BackendError):
        await queue.settle(told, NOON)
    for _ in range(2):
        await queue.settle(told, NOON)
    assert await counts(queue, NOON, TAIL) == (5, 5, 5, 0)


async def test_a_call_that_comes_after_a_later_one_changes_nothing(door: Unreliable, queue: RedisQueue) -> None:
    """The server was frozen: what was given up on runs all the same, when it wakes up."""
    await leased(queue, 20)
    late = door.scripts["account"]((account(TAIL.name),), NOON, 30, "worker-1", 1, 0, 0, 0)
    (answer,) = await door.run([late])
    assert (answer[0], answer[3]) == (0, b"late")
    assert await counts(queue, NOON, TAIL) == (20, 20, 20, 20)


async def test_whoever_is_no_member_holds_nothing_for_long(door: Unreliable, queue: RedisQueue) -> None:
    """Reserved, and dead before anything was leased: there is no lease to find it by."""
    await door.run([door.scripts["account"]((account(TAIL.name),), NOON, 30, "host/gone-1", 1, 0, 0, 0)])
    await queue.join("worker-1")
    await leased(queue, 10)
    assert await counts(queue, NOON, TAIL) == (40, 40, 40, 40)
    await queue.reclaim(NOON)
    assert await counts(queue, NOON, TAIL) == (40, 40, 40, 10)


async def test_units_of_leases_that_reached_nobody_come_back_once_also_where_their_owner_dies(
    door: Unreliable, queue: RedisQueue
) -> None:
    """It may have told the account of them when the leases are found and given back."""
    await queue.join("worker-1")
    (known,) = await leased(queue, 20)
    door.lose_after = "lease"
    with pytest.raises(BackendError):
        await leased(queue, 20)
    await queue.settle([marked(known, [0])], NOON)
    successor = RedisQueue(door, Layout(4))
    await successor.settle([marked(known)], NOON)  # as its journal says
    await successor.fence({"worker-1": None}, told=True)
    await successor.reclaim(NOON)
    assert await counts(successor, NOON, TAIL) == (20, 20, 20, 0)


async def test_an_owner_that_is_found_lost_while_it_leases_gives_nothing_back_twice(
    door: Unreliable, queue: RedisQueue
) -> None:
    for owner in ("worker-1", "worker-2"):
        await queue.join(owner)
    await queue.lease(wishes(10, owner="worker-2", routes=ROUTES[1:2]), NOON)

    async def meanwhile() -> None:
        await queue.fence({"worker-1": None})
        await queue.reclaim(NOON)
        await queue.heartbeat("worker-1")

    door.meanwhile, door.before = meanwhile, "lease"
    nothing_there = Route(pool="main", receiver="~empty.example")
    assert await queue.lease(wishes(30, routes=(nothing_there,)), NOON) == []
    assert await counts(queue, NOON, TAIL) == (40, 40, 40, 10)
