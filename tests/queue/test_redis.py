"""What only the Redis backend can get wrong: steps between keys, replies that get lost, and the layout of a store."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sender.errors import BackendError, ConfigError
from sender.model import Route, State
from sender.queue import open_queue
from sender.queue.base import Refusal, RowBatch
from sender.queue.client import Client
from sender.queue.keys import Layout
from sender.queue.redis import RedisQueue, open_redis
from tests.queue.feeding import (
    LANE,
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


@pytest.mark.parametrize("script", ["stage", "append", "commit"])
@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_chunk_that_was_begun_is_finished_by_whoever_comes_next(
    queue: RedisQueue, unreliable: Unreliable, script: str, when: str
) -> None:
    await opened(queue)
    packs = [(ROUTE, envelopes("spring", 5)), (OTHER, envelopes("spring", 3, start=5))]
    chunk = await chunk_of(queue, "spring", packs, states={State.INVALID: 2}, events=(b"{}",))
    setattr(unreliable, when, script)
    with pytest.raises(BackendError):
        await queue.expand(chunk, QUEUED_AT)
    if (when, script) != ("lose_before", "stage"):
        assert (await queue.rows("spring", 10)).chunk == 1
    assert await queue.expand(chunk, QUEUED_AT + 9)
    (status,) = await queue.status(["spring"])
    assert (status.accepted, status.queued, status.waiting_batches) == (10, 8, 0)
    assert len((await queue.events("", 10))[1]) == 1


async def test_a_staged_chunk_wins_over_another_of_its_number(queue: RedisQueue, unreliable: Unreliable) -> None:
    await opened(queue)
    staged = await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))])
    late = await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 4))], states={State.INVALID: 1})
    unreliable.lose_before = "append"
    with pytest.raises(BackendError):
        await queue.expand(staged, QUEUED_AT)
    assert not await queue.expand(late, QUEUED_AT)
    assert (await queue.rows("spring", 10)).chunk == 1
    (status,) = await queue.status(["spring"])
    assert (status.queued, status.finished) == (5, 0)


async def test_every_script_may_run_twice(queue: RedisQueue, unreliable: Unreliable) -> None:
    unreliable.twice = True
    some = await filled(queue, 50)
    (lease,) = await leased(queue, 20)
    assert list(lease.envelopes) == some[:20]
    await conserved(queue)
    told = settlement(lease, final=[(0, State.DELIVERED)], again=[(1, 2000.0), (2, 0.0)], events=(b"{}",))
    await queue.settle([told], QUEUED_AT)
    assert await queue.promote(2000.0, 10) == 1
    await queue.resign("worker-1")
    assert await queue.reclaim(QUEUED_AT) == 17
    await queue.announce("broken", b"{}")
    (announcement,) = await queue.announcements(10)
    refusal = Refusal(entry=announcement.entry, campaign="broken", why="no JSON", payload=b"")
    await queue.refuse([refusal], QUEUED_AT)
    depth = await queue.depth(QUEUED_AT)
    assert (depth.ready, depth.leased, depth.later, depth.refused) == ({ROUTE: 49}, 0, 0, 1)
    assert len((await queue.events("", 10))[1]) == 1


async def test_what_a_dead_owner_settles_at_the_last_moment_stays_settled(queue: RedisQueue, unreliable: Unreliable) -> None:
    await filled(queue, 5)
    (lease,) = await leased(queue, 5)

    async def last_words() -> None:
        await queue.settle([settlement(lease, final=[(3, State.DELIVERED)])], QUEUED_AT)

    unreliable.meanwhile = last_words
    assert await queue.reclaim(QUEUED_AT + 100) == 0  # made by an older bitmap: nothing is done
    assert await queue.reclaim(QUEUED_AT + 100) == 4


@pytest.mark.parametrize("script", ["lease", "split"])
@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_leases_whose_grant_got_lost_are_ready_again(
    queue: RedisQueue, unreliable: Unreliable, script: str, when: str
) -> None:
    some = await filled(queue, 50)
    setattr(unreliable, when, script)
    with pytest.raises(BackendError):
        await leased(queue, 20)
    await conserved(queue)
    assert flat(await leased(queue, 20)) == some[:20]
    assert (await queue.depth(QUEUED_AT)).leased == 20


async def test_a_settlement_whose_reply_got_lost_counts_once(queue: RedisQueue, unreliable: Unreliable) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    unreliable.lose_after = "settle"
    told = settlement(lease, final=[(0, State.DELIVERED)], again=[(1, 2000.0), (2, 0.0)], events=(b"{}",))
    with pytest.raises(BackendError):
        await queue.settle([told], QUEUED_AT)
    await queue.settle([told], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert (status.finished, status.queued, status.deferrals) == (1, 2, {"google": 1})
    assert len((await queue.events("", 10))[1]) == 1


async def test_a_server_that_forgot_the_scripts_is_told_again(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 5)
    await client.run([("SCRIPT", "FLUSH")])
    (lease,) = await leased(queue, 5)
    await client.run([("SCRIPT", "FLUSH")])
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    assert (await queue.status(["spring"]))[0].queued == 0


async def test_a_store_keeps_the_layout_it_began_with(client: Client, valkey_url: str) -> None:
    await (await open_redis(valkey_url, 16)).aclose()
    await (await open_redis(valkey_url, 16)).aclose()
    with pytest.raises(ConfigError, match=r"version 1 with 16 partitions; configured is version 1, 4 partitions"):
        await open_redis(valkey_url, 4)


async def test_a_store_that_can_not_be_reached_is_a_backend_error(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"nobody\.sock"):
        await open_queue(f"unix://{tmp_path}/nobody.sock")


@pytest.mark.parametrize("url", ["http://localhost", "", "redis"])
async def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no queue backend"):
        await open_queue(url)


async def test_a_password_is_never_shown() -> None:
    client = Client("valkey://ann:secret@redis.example:6380/2")
    assert repr(client) == "<Client valkey://redis.example:6380/2>"
    await client.aclose()


async def test_every_call_is_told_with_how_it_ended(valkey_url: str) -> None:
    told: list[bool] = []
    client = Client(valkey_url, on_call=lambda done, seconds: told.append(done and seconds > 0))
    await client.run([("PING",), ("ECHO", "two commands are one call")])
    await client.everywhere([("PING",)])
    await client.submit([("PING",)])
    await client.run([])  # asks nobody
    with pytest.raises(BackendError):
        await client.run([("NO-SUCH-COMMAND",)])
    await client.aclose()
    assert told == [True, True, True, False]


async def test_a_full_server_refuses_submissions_and_still_drains(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 40)
    (info,) = await client.run([("INFO", "memory")])
    match = re.search(rb"used_memory:(\d+)", info)
    assert match is not None
    await client.run([("CONFIG", "SET", "maxmemory", int(match[1]) // 2)])
    try:
        with pytest.raises(BackendError, match=r"the store is \d+% full .* nothing was taken; delivery drains it"):
            await queue.announce("summer", b"{}")
        with pytest.raises(BackendError, match="nothing was taken"):
            await queue.add_rows("summer", [RowBatch(number=0, rows=b"{}")])
        (lease,) = await leased(queue, 20)
        await queue.settle([settlement(lease, final=[(0, State.DELIVERED)], again=[(1, 2000.0), (2, 0.0)])], QUEUED_AT)
        assert await queue.promote(2000.0, 10) == 1
        await queue.join("worker-1")
        assert await queue.heartbeat("worker-1") == ["worker-1"]
        assert await queue.fence({"worker-1": 1}) == ["worker-1"]
        assert await queue.reclaim(QUEUED_AT + 100) == 17
    finally:
        await client.run([("CONFIG", "SET", "maxmemory", 0)])
    assert (await queue.depth(QUEUED_AT)).ready == {ROUTE: 39}


@pytest.fixture
async def full(client: Client) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """From the moment it is called, the server is over its limit and knows no script."""

    async def fill() -> None:
        await client.run([("CONFIG", "SET", "maxmemory", 1), ("SCRIPT", "FLUSH")])

    yield fill
    await client.run([("CONFIG", "SET", "maxmemory", 0)])


async def test_a_full_server_can_be_opened_and_drained_by_a_process_that_starts_then(
    queue: RedisQueue, client: Client, valkey_url: str, full: Callable[[], Awaitable[None]]
) -> None:
    await (await open_redis(valkey_url, 16)).aclose()
    some = await filled(queue, 10)
    await client.run([("XADD", "penstock:{spring}:rows", "*", "v", 1, "end", 1)])
    await full()
    late = await open_redis(valkey_url, 16)
    assert [status.queued for status in await late.status(await late.campaigns())] == [10]
    assert [each.envelopes for each in await late.ready(10)] == [10]
    await late.join("late")
    assert await late.heartbeat("late") == ["late"]
    (lease,) = await late.lease([wish(10, owner="late")], QUEUED_AT)
    assert list(lease.envelopes) == some
    await late.settle([all_delivered(lease)], QUEUED_AT)
    assert (await late.rows("spring", 10)).exhausted
    await late.finish_rows("spring")
    assert await late.open_campaigns() == []
    await late.reclaim(QUEUED_AT)
    assert await late.spec("spring") is None, "finished: its content is memory given back"
    await late.resign("late")
    await late.aclose()


async def test_on_a_full_server_nothing_damaged_holds_up_the_rest(
    queue: RedisQueue, client: Client, full: Callable[[], Awaitable[None]]
) -> None:
    some = await filled(queue, 10, pack_size=5)
    key = f"{queue._layout.of(ROUTE).prefix}packs:spring:{ROUTE}"
    (packs,) = await client.run([("ZRANGE", key, 0, -1)])
    await client.run([("ZREM", key, packs[0]), ("ZADD", key, QUEUED_AT, packs[0][:-3] + b"\0\0\0")])
    await client.run([("XADD", "penstock:{spring}:rows", "*", "v", 1, "batch", 7, "rows", "{}")])
    await full()
    assert await leased(queue, 5) == []
    assert flat(await leased(queue, 5)) == some[5:]
    await queue.refuse((await queue.rows("spring", 10)).malformed, QUEUED_AT)
    assert (await queue.depth(QUEUED_AT)).refused == 2


@pytest.mark.row("S30")
async def test_a_pack_that_can_not_be_read_is_parked_and_holds_nothing_up(queue: RedisQueue, client: Client) -> None:
    some = await filled(queue, 10, pack_size=5)
    key = f"{queue._layout.of(ROUTE).prefix}packs:spring:{ROUTE}"
    (packs,) = await client.run([("ZRANGE", key, 0, -1)])
    damaged = packs[0][:-3] + b"\0\0\0"
    await client.run([("ZREM", key, packs[0]), ("ZADD", key, QUEUED_AT, damaged)])
    assert await leased(queue, 5) == []
    assert flat(await leased(queue, 5)) == some[5:]
    (status,) = await queue.status(["spring"])
    assert status.final == {("google", State.UNKNOWN): 5}
    assert (await queue.depth(QUEUED_AT)).refused == 1


async def test_a_pack_that_can_not_be_read_is_kept_as_a_letter_before_it_ends(
    queue: RedisQueue, unreliable: Unreliable, client: Client
) -> None:
    await filled(queue, 5)
    key = f"{queue._layout.of(ROUTE).prefix}packs:spring:{ROUTE}"
    (packs,) = await client.run([("ZRANGE", key, 0, -1)])
    await client.run([("ZREM", key, packs[0]), ("ZADD", key, QUEUED_AT, packs[0][:-3] + b"\0\0\0")])
    unreliable.lose_only = "letter"
    with pytest.raises(BackendError):
        await leased(queue, 5)
    assert await leased(queue, 5) == []
    assert (await queue.depth(QUEUED_AT)).refused == 1


async def test_a_clock_is_the_servers(queue: RedisQueue, client: Client) -> None:
    before, after = (await client.run([("TIME",)]))[0], await queue.time()
    assert 0 <= after - int(before[0]) - int(before[1]) / 1e6 < 60


async def test_a_lease_with_a_pack_that_can_not_be_read_was_nobodys(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 5)
    (lease,) = await leased(queue, 5)
    key = queue._layout.of(ROUTE).key(f"lease:{lease.id}")
    (pack,) = await client.run([("HGET", key, "1")])
    await client.run([("HSET", key, "1", pack[:-3] + bytes(3))])
    assert await queue.held("worker-1") == []
    assert await queue.reclaim(QUEUED_AT) == 0
    assert (await queue.status(["spring"]))[0].final == {("google", State.UNKNOWN): 5}


async def test_each_change_of_owner_gets_a_later_epoch(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 30, pack_size=10)
    epochs = []
    for owner in ("one", "one", "two", "one"):
        await queue.lease([wish(1, owner=owner)], QUEUED_AT)
        (claim,) = await client.run([("HGET", queue._layout.of(ROUTE).key("claims"), str(LANE))])
        epochs.append(int(claim.split()[0]))
        if owner != "one" or len(epochs) > 1:
            await queue.resign(owner)
    assert epochs == [1, 1, 2, 3]


async def test_every_key_has_one_hash_tag_and_a_drained_store_is_nearly_empty(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 10, route=Route(pool="main", receiver="~example.org"))
    (lease,) = await queue.lease([wish(10, route=Route(pool="main", receiver="~example.org"))], QUEUED_AT)
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    (names,) = await client.run([("KEYS", "*")])
    keys = sorted(name.decode() for name in names)
    assert all(re.fullmatch(r"penstock:\{(inbox|fleet|spring|p\d\d)\}:[^{}]+", key) for key in keys), keys
    partition = queue._layout.of(Route(pool="main", receiver="~example.org")).prefix
    assert {key.removeprefix(partition) for key in keys if key.startswith(partition)} == {
        "claims",
        "count:spring",
        "epoch",
        "waiting",
    }
