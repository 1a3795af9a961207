"""What the Redis backend forgets, and in which order: what an owner held, a campaign, and what is due at once."""

from collections.abc import AsyncIterator

import pytest

from sender.errors import BackendError
from sender.queue.client import Client
from sender.queue.keys import CampaignKeys, Layout
from sender.queue.redis import RedisQueue
from sender.queue.redis_upkeep import KEPT_S
from tests.queue.feeding import (
    LANE,
    MANY,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    conserved,
    filled,
    flat,
    leased,
    opened,
    settlement,
    wish,
)
from tests.queue.unreliable import Unreliable

pytestmark = pytest.mark.integration


@pytest.fixture
async def unreliable(client: Client, valkey_url: str) -> AsyncIterator[Unreliable]:
    """Takes the place of a queue's client."""
    unreliable = Unreliable(valkey_url)
    yield unreliable
    await unreliable.aclose()


@pytest.fixture
async def queue(unreliable: Unreliable) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue(unreliable, Layout(16))
    yield queue
    await conserved(queue)


async def test_a_finished_campaign_is_forgotten_after_a_while_and_not_before(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 1)
    await filled(queue, 1, campaign="summer")
    (lease, _) = await leased(queue, 2)
    for name in ("spring", "summer"):
        await queue.finish_rows(name)
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    await queue.join("worker-1")  # it still holds the other lease
    await queue.reclaim(QUEUED_AT)
    own = [CampaignKeys(name) for name in ("spring", "summer")]
    assert await client.run([("EXISTS", key) for keys in own for key in (keys.spec, keys.rows)]) == [0, 0, 1, 1]
    await queue.reclaim(QUEUED_AT + KEPT_S - 1)
    assert sorted(await queue.campaigns()) == ["spring", "summer"]
    await queue.reclaim(QUEUED_AT + KEPT_S)
    assert await queue.campaigns() == ["summer"]
    assert (await queue.spec("spring"), await queue.spec("summer")) == (None, b'{"v":1}')
    (keys,) = await client.run([("KEYS", "*spring*")])
    assert keys == []


async def test_one_script_makes_only_so_many_small_packs_ready_and_the_next_one_the_rest(queue: RedisQueue) -> None:
    await filled(queue, 2500, pack_size=1)
    while leases := await leased(queue, 1000):
        places = [(lease, range(len(lease.envelopes))) for lease in leases]
        later = [settlement(lease, again=[(place, 2000.0 + 20 * place) for place in some]) for lease, some in places]
        await queue.settle(later, QUEUED_AT)
    assert await queue.promote(1e6, MANY) == 2000
    assert await queue.promote(1e6, MANY) == 500


async def finished(queue: RedisQueue, *, until: float) -> None:
    """A campaign of one recipient, whose last one ended so long ago that it may be forgotten."""
    await filled(queue, 1)
    await queue.finish_rows("spring")
    await queue.settle([all_delivered(lease) for lease in await leased(queue, 1)], QUEUED_AT)
    await queue.reclaim(until - KEPT_S)


async def test_what_is_forgotten_in_part_is_forgotten_before_its_id_is_new(
    queue: RedisQueue, unreliable: Unreliable, client: Client
) -> None:
    """Counters that stay would take the chunks of the next campaign of that id for old ones."""
    now = QUEUED_AT + KEPT_S
    await finished(queue, until=now)
    unreliable.lose_only = "forget"
    with pytest.raises(BackendError):
        await queue.reclaim(now)
    await opened(queue)  # a repeat still
    await queue.reclaim(now + 60)
    (keys,) = await client.run([("KEYS", "*spring*")])
    assert (keys, await queue.campaigns()) == ([], [])
    await filled(queue, 5)
    assert len(flat(await leased(queue, 5))) == 5


async def test_only_one_scheduler_at_a_time_forgets(queue: RedisQueue, unreliable: Unreliable, client: Client) -> None:
    """One that is late would forget the next campaign of that id."""
    now = QUEUED_AT + KEPT_S
    await finished(queue, until=now)
    other = RedisQueue(client, Layout(16))

    async def faster() -> None:
        await other.reclaim(now)
        await opened(other)

    unreliable.meanwhile, unreliable.before = faster, "forget"
    await queue.reclaim(now)
    assert (await queue.campaigns(), await queue.open_campaigns()) == ([], []), "it came before the old one was forgotten"
    await filled(queue, 5)
    assert len(flat(await leased(queue, 5))) == 5


async def test_a_fenced_owner_leaves_nothing_behind(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 10)
    await queue.join("worker-1")
    await leased(queue, 5)
    assert await queue.fence({"worker-1": None}) == ["worker-1"]
    await queue.reclaim(QUEUED_AT + 100)
    (keys,) = await client.run([("KEYS", "penstock:{fleet}:*")])
    assert (keys, await client.run([("HLEN", queue._layout.of(ROUTE).key("claims"))])) == ([], [0])


async def test_what_a_fenced_owner_still_leases_comes_back_and_its_claims_too(queue: RedisQueue, client: Client) -> None:
    """It woke up after all was cleared away, and does not know yet: nobody knows its name any more."""
    await filled(queue, 10, pack_size=5)
    await queue.join("worker-1")
    await queue.fence({"worker-1": None})
    await queue.reclaim(QUEUED_AT)
    assert len(flat(await leased(queue, 5))) == 5
    assert await queue.reclaim(QUEUED_AT) == 5
    for _ in range(16):  # a partition's turn comes by then
        await queue.reclaim(QUEUED_AT)
    assert await client.run([("HLEN", queue._layout.of(ROUTE).key("claims"))]) == [0]


async def test_claims_as_an_older_program_wrote_them_lock_no_lane(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 10)
    await client.run([("HSET", queue._layout.of(ROUTE).key("claims"), str(LANE), "7 1000.123 host/old-1")])
    for _ in range(16):
        await queue.reclaim(QUEUED_AT)
    assert len(flat(await leased(queue, 10))) == 10


@pytest.mark.row("F48")
async def test_what_waits_without_scores_lies_where_it_always_lay(queue: RedisQueue, client: Client) -> None:
    """So what an earlier program has queued is found, and what this one queues an earlier one would find."""
    await filled(queue, 20)
    (lease,) = await queue.lease([wish(10)], QUEUED_AT)
    await queue.settle([settlement(lease, again=[(place, QUEUED_AT + 60) for place in range(10)])], QUEUED_AT)
    (keys,) = await client.run([("KEYS", "penstock:{p*")])
    names = {key.decode().partition("}:")[2] for key in keys}
    waiting = {"packs:spring:main/google", "where:spring", "later:spring", "due", "routes", "turns:main/google"}
    assert waiting | {"ages:main/google", "waiting", "count:spring"} <= names
    assert not [name for name in names if name.startswith(("packs0", "packs1", "packs3", "owned", "places"))]
