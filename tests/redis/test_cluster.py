"""A Redis Cluster: who has which keys, what happens when that changes, and a master that dies."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sender.errors import BackendError, ConfigError
from sender.queue import open_queue
from sender.queue.client import Client
from sender.queue.keys import Layout
from sender.queue.slots import SLOTS, key_of, slot, tag
from tests.queue.feeding import ROUTE
from tests.redis.servers import HOST, Server, one_server, until
from tests.redis.stores import ClusterStore, cluster_store
from tests.redis.submitting import CAMPAIGN, drained, ready

KEYS = [f"{{tag-{number}}}:x" for number in range(40)]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ClusterStore]:
    async with cluster_store(tmp_path) as store:
        yield store


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (b"foo{bar}baz", b"bar"),
        (b"{a}{b}", b"a"),
        (b"plain", b"plain"),
        (b"x{}y", b"x{}y"),
        (b"x{y", b"x{y"),
        (b"{{a}}", b"{a"),
    ],
)
def test_a_keys_tag_is_what_stands_between_the_first_braces(key: bytes, found: bytes) -> None:
    assert tag(key) == found


@given(st.binary(max_size=40))
def test_a_tag_is_in_the_slot_of_its_keys(text: bytes) -> None:
    assert 0 <= slot(text) < SLOTS
    if text and b"}" not in text:
        assert slot(b"penstock:{" + text + b"}:rows") == slot(b"penstock:{" + text + b"}:spec")


def test_the_key_of_a_command_is_found_where_it_stands() -> None:
    assert key_of(("GET", "a")) == b"a"
    assert key_of(("EVALSHA", "d", 2, "a", "b", "argument")) == b"a"
    assert key_of(("xinfo", "STREAM", b"a")) == b"a"
    assert key_of(("INFO", "memory")) is None


@pytest.mark.integration
async def test_the_servers_put_keys_into_the_same_slots(store: ClusterStore) -> None:
    for key in (*KEYS, "plain", "x{}y", "{a}{b}", "ü{ü}"):
        assert await store.servers[0].ask("CLUSTER", "KEYSLOT", key) == slot(key.encode())


@pytest.mark.integration
async def test_a_batch_for_all_nodes_is_answered_in_its_order(store: ClusterStore) -> None:
    client = Client(store.url)
    await client.run([("SET", key, number) for number, key in enumerate(KEYS)])
    pairs = [command for key in KEYS for command in (("INCRBY", key, 1000), ("GET", key))]
    replies = await client.run(pairs)
    assert [int(reply) for reply in replies] == [1000 + number for number in range(40) for _ in range(2)]
    assert sum(count for (count,) in (await client.everywhere([("DBSIZE",)])).values()) == 40
    assert len(await client.everywhere([("PING",)])) == 3
    await client.aclose()


async def move(store: ClusterStore, key: str) -> tuple[Server, Server]:
    """Move a key's slot to another node, at one stroke; gives who had it and who has it."""
    old = await store.owner(key)
    new = next(server for server in store.servers if server is not old)
    number = slot(key.encode())
    name = (await new.ask("CLUSTER", "MYID")).decode()
    await old.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", number, number, "NODE", name)

    async def there() -> bool:
        return await store.owner(key) is new

    await until(there, f"slot {number} to move")
    return old, new


@pytest.mark.integration
async def test_slots_that_move_under_a_queue_are_found_again(store: ClusterStore) -> None:
    queue = await open_queue(store.url)
    await ready(queue, 40)
    for key in (Layout(16).of(ROUTE).key("x"), f"{{{CAMPAIGN}}}", "{inbox}", "{fleet}"):
        await move(store, key)
    assert await drained(queue) == 40
    await queue.aclose()


@pytest.mark.integration
async def test_a_key_that_is_only_on_its_way_is_asked_for_where_it_goes(store: ClusterStore) -> None:
    client = Client(store.url)
    key = KEYS[0]
    await client.run([("GET", key)])
    old = await store.owner(key)
    new = next(server for server in store.servers if server is not old)
    number = slot(key.encode())
    names = [(await server.ask("CLUSTER", "MYID")).decode() for server in (old, new)]
    await new.ask("CLUSTER", "SETSLOT", number, "IMPORTING", names[0])
    await old.ask("CLUSTER", "SETSLOT", number, "MIGRATING", names[1])
    assert await client.run([("SET", key, 5), ("INCR", key)]) == [b"OK", 6]
    assert await new.ask("CLUSTER", "COUNTKEYSINSLOT", number) == 1
    await client.aclose()


@pytest.mark.integration
async def test_a_script_that_a_node_does_not_know_is_told_to_it_alone(store: ClusterStore) -> None:
    queue = await open_queue(store.url)
    await ready(queue, 40)
    for server in store.servers:
        await server.ask("SCRIPT", "FLUSH")
    assert await drained(queue) == 40
    await queue.aclose()


@pytest.mark.integration
async def test_one_node_that_is_down_is_named_and_the_rest_goes_on(store: ClusterStore) -> None:
    for server in store.servers:
        await server.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    client = Client(store.url)
    await client.run([("SET", key, 1) for key in KEYS])
    victim = store.servers[1]
    theirs = [key for key in KEYS if await store.owner(key) is victim]
    victim.kill()
    with pytest.raises(BackendError, match=rf"{HOST}:{victim.port}: "):
        await client.run([("GET", key) for key in KEYS])
    others = [key for key in KEYS if key not in theirs]
    assert await client.run([("GET", key) for key in others]) == [b"1"] * len(others)
    await victim.stop()
    await victim.start()
    await store.well()
    assert await client.run([("GET", key) for key in KEYS]) == [b"1"] * 40
    await client.aclose()


@pytest.mark.integration
@pytest.mark.row("F18")
@pytest.mark.parametrize("victim", ["inbox", "route"])
async def test_a_master_that_is_killed_is_followed_by_its_replica_and_the_queue_goes_on(tmp_path: Path, victim: str) -> None:
    async with cluster_store(tmp_path, replicas=1) as store:
        queue = await open_queue(store.url, durable=True)
        await ready(queue, 40)
        old = await store.owner("{inbox}" if victim == "inbox" else Layout(16).of(ROUTE).key("x"))
        old.kill()
        with pytest.raises(BackendError):
            await queue.depth(0.0)
        await store.failed_over(old)
        assert await drained(queue) == 40
        (status,) = await queue.status([CAMPAIGN])
        assert (status.accepted, status.finished) == (40, 40)
        await queue.aclose()


@pytest.mark.integration
async def test_a_cluster_is_named_as_one_and_nothing_else_is(store: ClusterStore, tmp_path: Path) -> None:
    owner = await store.owner("{inbox}")  # the first that is asked for something
    with pytest.raises(ConfigError, match=r"it is a node of a cluster: write redis\+cluster://"):
        await open_queue(next(each.url for each in store.servers if each is not owner))
    async with one_server(tmp_path / "single") as server:
        with pytest.raises(ConfigError, match="cluster support disabled"):
            await open_queue(server.url.replace("redis://", "redis+cluster://"))


@pytest.mark.integration
async def test_a_cluster_whose_first_nodes_are_down_is_entered_by_the_others(store: ClusterStore) -> None:
    for server in store.servers:
        await server.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    key = next(key for key in KEYS if slot(key.encode()) > SLOTS * 2 // 3)
    store.servers[0].kill()
    store.servers[1].freeze()
    client = Client(store.url, timeout_s=0.5)
    with trio.fail_after(10):
        assert await client.run([("SET", key, 1)]) == [b"OK"]
    store.servers[1].thaw()
    await client.aclose()
