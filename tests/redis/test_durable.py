"""`redis.durable`: what was confirmed stays, whatever disk, power and replicas do. Without it, what is lost can be told."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio

from sender.errors import BackendError, ConfigError
from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.node import Node
from sender.settings.store_url import StoreUrl
from tests.redis.disks import SlowDisk, lose_power
from tests.redis.servers import HOST, Server, debian_redis, one_server, running, until
from tests.redis.submitting import CAMPAIGN, batch, missing, stored

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(tmp_path: Path, slow_disk: SlowDisk) -> AsyncIterator[Server]:
    async with one_server(tmp_path / "server", environment=slow_disk.environment) as server:
        yield server


async def power_cut(server: Server) -> None:
    """It is gone at once, and with it all that was not fsynced; then it starts again."""
    server.kill()
    await server.stop()
    lose_power(server)
    await server.start()


async def confirmed(queue: Queue, numbers: range) -> list[int]:
    """Submit each batch by itself; gives those that were confirmed."""
    done = []
    for number in numbers:
        try:
            await queue.add_rows(CAMPAIGN, [batch(number)])
        except BackendError:
            continue
        done.append(number)
    return done


@pytest.mark.row("F11")
async def test_a_power_cut_takes_nothing_that_was_confirmed(server: Server) -> None:
    queue = await open_queue(server.url, durable=True)
    numbers = await confirmed(queue, range(3))
    await power_cut(server)
    assert numbers == [0, 1, 2]
    assert await missing(queue, numbers) == []
    await queue.aclose()


@pytest.mark.row("F11")
async def test_without_it_what_a_power_cut_took_is_found_by_submitting_again(server: Server, slow_disk: SlowDisk) -> None:
    queue = await open_queue(server.url)
    durable = await open_queue(server.url, durable=True)
    await durable.add_rows(CAMPAIGN, [batch(0)])
    with slow_disk.stalled():
        assert await confirmed(queue, range(1, 50)) == list(range(1, 50))
        server.kill()
    await server.stop()
    assert lose_power(server) > 0
    await server.start()
    lost = await missing(queue, range(50))
    assert 0 < len(lost) < 50
    assert lost == list(range(lost[0], 50)), "the last ones"
    assert await stored(server.url) == list(range(50)), "each of them once"
    await durable.aclose()
    await queue.aclose()


@pytest.mark.row("F10")
async def test_while_the_disk_stalls_nothing_is_confirmed_and_then_nothing_confirmed_is_lost(
    server: Server, slow_disk: SlowDisk
) -> None:
    queue = await open_queue(server.url, durable=True)
    before = await confirmed(queue, range(2))
    with slow_disk.stalled():
        with pytest.raises(BackendError, match="its disk has not confirmed this within 4 s: submit it again"):
            await queue.add_rows(CAMPAIGN, [batch(2)])
        server.kill()
    await server.stop()
    lose_power(server)
    await server.start()
    assert await missing(queue, before) == []
    await queue.aclose()


@pytest.mark.row("F10")
async def test_a_repeat_is_not_confirmed_before_the_first_is_on_the_disk(server: Server, slow_disk: SlowDisk) -> None:
    """The repeat writes no row: confirmed without a look at the disk, it would vouch for what the first one left in memory."""
    queue = await open_queue(server.url, durable=True)
    with slow_disk.stalled():
        for _ in range(2):
            with pytest.raises(BackendError, match="its disk has not confirmed"):
                await queue.add_rows(CAMPAIGN, [batch(0)])
    assert await queue.add_rows(CAMPAIGN, [batch(0)]) == 0
    await power_cut(server)
    assert await missing(queue, [0]) == []
    await queue.aclose()


async def test_a_server_that_fsyncs_always_is_asked_nothing_more(tmp_path: Path, slow_disk: SlowDisk) -> None:
    async with one_server(tmp_path / "server", "appendfsync always", environment=slow_disk.environment) as server:
        queue = await open_queue(server.url, durable=True)
        numbers = await confirmed(queue, range(50))
        await power_cut(server)
        assert await missing(queue, numbers) == []
        assert b"cmdstat_waitaof" not in await server.ask("INFO", "commandstats")
        await queue.aclose()


@pytest.mark.parametrize("lines", [("appendonly no",), ("appendfsync no",), ("no-appendfsync-on-rewrite yes",)])
async def test_a_server_that_can_promise_nothing_is_refused_with_what_to_change(tmp_path: Path, lines: tuple[str, ...]) -> None:
    async with one_server(tmp_path / "server", *lines) as server:
        with pytest.raises(ConfigError, match=r"redis: durable: true, but .* it needs appendonly yes, .* or a replica"):
            await open_queue(server.url, durable=True)
        await (await open_queue(server.url)).aclose()


async def test_a_server_without_a_log_confirms_by_a_replica(tmp_path: Path) -> None:
    async with one_server(tmp_path / "master", "appendonly no") as master:
        replica = Server(tmp_path / "replica", f"replicaof {HOST} {master.port}")
        async with running(replica):
            await until(lambda: _followed(master), "the replica to follow")
            queue = await open_queue(master.url, durable=True)
            assert await confirmed(queue, range(3)) == [0, 1, 2]
            replica.freeze()
            for _ in range(2):  # the repeat writes no row, on a connection that has written nothing
                with pytest.raises(BackendError, match="no replica has confirmed this within 4 s"):
                    await queue.add_rows(CAMPAIGN, [batch(3)])
                await queue.aclose()
                queue = await open_queue(master.url, durable=True)
            master.kill()
            replica.thaw()
            await replica.ask("REPLICAOF", "NO", "ONE")
            assert {0, 1, 2} <= set(await stored(replica.url))
            await queue.aclose()


async def _followed(master: Server) -> bool:
    return b"connected_slaves:1" in await master.ask("INFO", "replication")


@pytest.mark.row("F11")
async def test_a_redis_that_knows_no_waitaof_confirms_by_its_disk(tmp_path: Path, slow_disk: SlowDisk) -> None:
    how = {"program": debian_redis(), "environment": slow_disk.environment}
    async with one_server(tmp_path / "server", **how) as server:
        queue = await open_queue(server.url, durable=True)
        numbers = await confirmed(queue, range(2))
        await power_cut(server)
        assert await missing(queue, numbers) == []
        await queue.aclose()


async def test_waitaof_would_confirm_what_a_power_cut_takes(server: Server, slow_disk: SlowDisk) -> None:
    """Why it is not asked. Should this fail one day, the server has been mended."""
    url = StoreUrl.parse(server.url)
    node = Node(url.hosts[0], url, {}, 5.0)
    await server.ask("SET", "before", 1)
    await until(lambda: _written_out(server), "the first fsync")
    answers = [await trio.to_thread.run_sync(node.ask, ("SET", "a", number), ("WAITAOF", 1, 0, 9_000)) for number in range(5)]
    node.close()
    assert [local for _, (local, _) in answers] == [1] * 5
    server.kill()
    await server.stop()
    assert lose_power(server) > 0
    await server.start()
    assert await server.ask("GET", "a") != b"4"


async def _written_out(server: Server) -> bool:
    return await trio.Path(f"{server.aof}.synced").exists()


async def test_a_rewrite_of_the_log_in_between_does_not_confirm_too_early(server: Server) -> None:
    queue = await open_queue(server.url, durable=True)

    async def rewrite() -> None:
        for _ in range(3):
            await server.ask("BGREWRITEAOF")
            await trio.sleep(0.3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rewrite)
        assert await confirmed(queue, range(1)) == [0]
    await power_cut(server)
    assert await missing(queue, [0]) == []
    await queue.aclose()


async def test_announcing_and_closing_are_confirmed_too(server: Server, slow_disk: SlowDisk) -> None:
    queue = await open_queue(server.url, durable=True)
    with slow_disk.stalled():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_refused, queue.announce, CAMPAIGN, b"{}")
            nursery.start_soon(_refused, queue.close_rows, CAMPAIGN, 1)
    await queue.announce(CAMPAIGN, b"{}")
    await queue.close_rows(CAMPAIGN, 1)
    await power_cut(server)
    assert {found.campaign for found in await queue.announcements(10)} == {CAMPAIGN}
    await queue.aclose()


async def _refused(call: Callable[..., Awaitable[None]], *arguments: object) -> None:
    with pytest.raises(BackendError, match="its disk has not confirmed"):
        await call(*arguments)
