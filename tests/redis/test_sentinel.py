"""A store with Sentinels: the same queue object goes on with whichever server is the master."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from sender.errors import BackendError, ConfigError
from sender.queue import open_queue
from sender.queue.client import Client
from tests.redis.servers import Server, until
from tests.redis.stores import SERVICE, SentinelStore, sentinel_store
from tests.redis.submitting import CAMPAIGN, batch, drained, missing, ready, stored

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SentinelStore]:
    async with sentinel_store(tmp_path) as store:
        yield store


@pytest.mark.row("F18")
async def test_a_master_that_is_killed_is_followed_by_the_next_and_the_queue_goes_on(store: SentinelStore) -> None:
    queue = await open_queue(store.url)
    await ready(queue, 40)
    old = await store.master()
    await old.ask("WAIT", 1, 5_000)
    old.kill()
    with pytest.raises(BackendError):
        await queue.status([CAMPAIGN])
    new = await store.failed_over(old)
    await new.ask("SCRIPT", "FLUSH")  # a new master knows no scripts either way
    assert await drained(queue) == 40
    await old.stop()
    await old.start()  # it comes back, takes itself for the master until it is told, and is not listened to
    await queue.add_rows(CAMPAIGN, [batch(7)])
    assert 7 in await stored(new.url)
    await queue.aclose()


@pytest.mark.row("F18")
async def test_what_a_durable_queue_confirmed_survives_the_failover_to_a_replica_that_was_frozen(store: SentinelStore) -> None:
    queue = await open_queue(store.url, durable=True)
    old = await store.master()
    (replica,) = [server for server in store.servers if server is not old]
    confirmed = [number for number in range(3) if await queue.add_rows(CAMPAIGN, [batch(number)])]
    replica.freeze()
    with pytest.raises(BackendError, match="no replica has confirmed"):
        await queue.add_rows(CAMPAIGN, [batch(3)])
    old.kill()
    replica.thaw()
    await store.failed_over(old)
    found = await stored(replica.url)
    assert set(confirmed) <= set(found)
    fast = await open_queue(store.url)
    await missing(fast, range(4))  # the repeat: what the replica had is not doubled
    assert await stored(replica.url) == [0, 1, 2, 3]
    await fast.aclose()
    await queue.aclose()


def inside(server: Server) -> str:
    return server.url.replace("redis://", "redis://:secret@")


async def cut_off(master: Server) -> None:
    """From now on the Sentinels get no more answer from it, and it goes on serving those that are connected."""
    await master.ask("CONFIG", "SET", "requirepass", "secret")
    for line in (await master.ask("CLIENT", "LIST", url=inside(master))).splitlines():
        said = dict(word.partition(b"=")[::2] for word in line.split())
        if said[b"name"].startswith(b"sentinel-"):
            await master.ask("CLIENT", "KILL", "ID", int(said[b"id"]), url=inside(master))


@pytest.mark.row("F18")
async def test_a_master_that_was_cut_off_and_replaced_is_written_to_no_longer_than_it_takes_to_look_again(
    store: SentinelStore,
) -> None:
    """Its connections still stand: nothing but a look at the Sentinels tells that it is not the master any more."""
    client = Client(store.url)
    await client.run([("SET", "{a}x", 1)])
    old = await store.master()
    await cut_off(old)
    new = await store.failed_over(old)
    assert (await old.ask("ROLE", url=inside(old)))[0] == b"master", "it does not know yet"

    async def moved() -> bool:
        try:
            return list(await client.everywhere([("ROLE",)])) == [f"127.0.0.1:{new.port}"]
        except BackendError:
            return False

    await until(moved, "the new master to be used")
    assert await client.run([("GET", "{a}x")]) == [b"1"]
    await client.aclose()


async def test_a_sentinel_that_is_dead_and_one_that_is_frozen_hold_nobody_up(store: SentinelStore) -> None:
    dead, frozen, _ = store.sentinels
    dead.kill()
    frozen.freeze()
    with trio.fail_after(10):
        queue = await open_queue(store.url)
        await ready(queue, 4)
        assert await drained(queue) == 4
    frozen.thaw()
    await queue.aclose()


async def test_a_service_nobody_knows_is_a_mistake_in_the_url(store: SentinelStore) -> None:
    with pytest.raises(ConfigError, match=r"redis: url: .* names? no master of other .* knows no other"):
        await open_queue(store.url.replace(f"/{SERVICE}", "/other"))


async def test_while_no_sentinel_answers_the_master_that_is_known_is_used(store: SentinelStore) -> None:
    queue = await open_queue(store.url)
    await ready(queue, 4)
    for sentinel in store.sentinels:
        sentinel.kill()
    await trio.sleep(2.1)  # longer than a look holds: it is looked again, and in vain
    assert await drained(queue) == 4
    await queue.aclose()
    with pytest.raises(BackendError, match="the Sentinels name no master of main that can be used"):
        await open_queue(store.url)
