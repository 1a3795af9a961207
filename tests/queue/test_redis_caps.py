"""Caps where a failover loses the store's last writes: what owners know is counted again."""

from collections.abc import AsyncIterator

import pytest

from sender.queue.client import Client
from sender.queue.keys import Layout
from sender.queue.redis import RedisQueue
from tests.queue.feeding import LANE, ROUTE, filled, flat, wish
from tests.queue.test_accounts_contract import ROUTES, ready, wishes
from tests.queue.warming import DAY, HOUR, MIDNIGHT, MINUTE, OURS, TAIL, cap, counts, granted, marked, released

pytestmark = pytest.mark.integration

NOON = MIDNIGHT + 12 * HOUR


@pytest.fixture
async def queue(client: Client, valkey_url: str) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue(Client(valkey_url), Layout(4))
    yield queue
    await queue.aclose()


class Replica:
    """What another server had when it took over."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: dict[bytes, bytes] = {}

    async def follows(self) -> None:
        """Up to now it has everything."""
        (names,) = await self._client.run([("KEYS", "*")])
        self._kept = dict(zip(names, await self._client.run([("DUMP", name) for name in names]), strict=True))

    async def takes_over(self) -> None:
        await self._client.run([("FLUSHALL",)])
        await self._client.run([("RESTORE", name, 0, octets) for name, octets in self._kept.items()])


async def test_what_was_granted_just_before_a_failover_is_counted_again(queue: RedisQueue, client: Client) -> None:
    replica = Replica(client)
    await filled(queue, 300, pack_size=10)
    await queue.set_caps({OURS: cap(per_day=60, per_minute=40)}, NOON)
    await granted(queue, 10, NOON)
    await replica.follows()
    lost = await granted(queue, 20, NOON + 1)
    await replica.takes_over()
    assert (await counts(queue, NOON + 1))[0] == 10, "the new master knows nothing of them"
    assert len(flat(await granted(queue, 50, NOON + 2))) == 10, "30 are gone of the minute's 40"
    assert await queue.settle([marked(lease) for lease in lost], NOON + 3) == 20
    assert (await granted(queue, 50, NOON + 59)) == []


async def test_what_a_failover_lost_may_be_sent_in_the_next_windows_too(queue: RedisQueue, client: Client) -> None:
    replica = Replica(client)
    await filled(queue, 300, pack_size=10)
    await queue.set_caps({OURS: cap(per_minute=40)}, NOON)
    await granted(queue, 5, NOON)
    await replica.follows()
    await granted(queue, 20, NOON + 1)
    await replica.takes_over()
    (first, *_) = await granted(queue, 5, NOON + 2)
    assert (await counts(queue, NOON + 2))[3] == 10
    assert len(flat(await granted(queue, 50, NOON + MINUTE))) == 40 - 20 - 10
    await queue.settle([released(first)], NOON + MINUTE)
    later = NOON + 20 * MINUTE
    open_ = (await counts(queue, later))[3]
    assert len(flat(await granted(queue, 50, later))) == 40 - open_, "nobody waits for a reply so long"


@pytest.mark.parametrize("later", [MINUTE, 5 * MINUTE])
async def test_a_cap_that_is_set_when_a_window_begins_keeps_in_mind_what_a_failover_lost(
    queue: RedisQueue, client: Client, later: float
) -> None:
    """Also where it is the next day's, set just after midnight."""
    evening, replica = MIDNIGHT + 24 * HOUR - 2 * MINUTE, Replica(client)
    await filled(queue, 300, pack_size=10)
    await queue.set_caps({OURS: cap(per_minute=40)}, evening)
    await granted(queue, 5, evening)
    await replica.follows()
    await granted(queue, 20, evening + 1)
    await replica.takes_over()
    await granted(queue, 5, evening + 2)
    day = DAY + (later > 2 * MINUTE)
    await queue.set_caps({OURS: cap(day=day, per_minute=40)}, evening + later)
    assert len(flat(await granted(queue, 50, evening + later))) == 40 - 20 - 10


async def test_a_lane_that_is_claimed_anew_or_gets_its_first_cap_has_nothing_to_make_good(queue: RedisQueue) -> None:
    await filled(queue, 300, pack_size=10)
    await queue.lease([wish(30)], NOON)
    await queue.set_caps({OURS: cap(per_day=100)}, NOON)
    assert await counts(queue, NOON) == (30, 30, 30, 30)
    await granted(queue, 10, NOON)
    assert await counts(queue, NOON) == (40, 40, 40, 40)
    await queue.unclaim("worker-1", [LANE], [ROUTE])
    await granted(queue, 10, NOON, owner="worker-2")
    await queue.unclaim("worker-2", [LANE], [ROUTE])
    await granted(queue, 10, NOON)
    await queue.set_caps({OURS: None}, NOON)
    await queue.lease([wish(10)], NOON)
    await queue.set_caps({OURS: cap(per_day=100)}, NOON)
    await granted(queue, 10, NOON)
    assert await counts(queue, NOON) == (80, 80, 80, 80)


async def test_a_shared_account_counts_again_what_its_owners_know_of(queue: RedisQueue, client: Client) -> None:
    replica = Replica(client)
    await ready(queue, 60)
    await queue.set_caps({TAIL: cap(per_day=50)}, NOON)
    await queue.lease(wishes(10, routes=ROUTES[:1]), NOON)
    await replica.follows()
    lost = await queue.lease(wishes(20, routes=ROUTES[:1]), NOON)
    await replica.takes_over()
    assert (await counts(queue, NOON, TAIL))[0] == 10
    assert len(flat(await queue.lease(wishes(50, routes=ROUTES[:1]), NOON))) == 20
    assert await counts(queue, NOON, TAIL) == (50, 50, 50, 50)
    await queue.settle([released(lease) for lease in lost], NOON)
    assert await counts(queue, NOON, TAIL) == (30, 30, 30, 30)


async def test_an_owner_that_is_found_lost_leaves_nothing_to_remember(queue: RedisQueue) -> None:
    await queue.join("worker-1")
    await granted(queue, 5, NOON)
    assert len(queue._claims) == 1
    await queue.fence({"worker-1": None})
    await queue.heartbeat("worker-1")
    assert len(queue._claims) == 0
