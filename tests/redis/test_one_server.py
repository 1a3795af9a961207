"""One server: what it refuses, what breaks on the way to it, and that it comes back."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from sender.errors import BackendError, ConfigError
from sender.queue import open_queue
from sender.queue.client import Client
from tests.queue.feeding import QUEUED_AT, conserved
from tests.redis.relay import Cut, relay
from tests.redis.servers import HOST, Server, one_server, until
from tests.redis.submitting import CAMPAIGN, batch, drained, missing, ready, stored

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with one_server(tmp_path / "server") as server:
        yield server


@pytest.mark.row("F9")
@pytest.mark.parametrize("policy", ["always", "everysec"])
async def test_a_server_that_is_killed_under_load_has_lost_nothing_it_acknowledged(tmp_path: Path, policy: str) -> None:
    async with one_server(tmp_path / "server", f"appendfsync {policy}") as server:
        queue = await open_queue(server.url)
        acknowledged, enough = list[int](), trio.Event()
        numbers = iter(range(100_000))

        async def submit() -> None:
            for number in numbers:
                try:
                    await queue.add_rows(CAMPAIGN, [batch(number)])
                except BackendError:
                    return
                acknowledged.append(number)
                if len(acknowledged) == 200:
                    enough.set()

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(submit)
            await enough.wait()
            server.kill()
        await server.wait()
        with pytest.raises(BackendError):
            await queue.status([CAMPAIGN])
        await server.stop()
        await server.start()
        assert await missing(queue, acknowledged) == []
        added = await missing(queue, range(next(numbers)))  # a repeat of the whole list
        assert not set(added) & set(acknowledged)
        assert await stored(server.url) == list(range(max(acknowledged[-1], *acknowledged, *added) + 1)), "each of them once"
        await queue.aclose()


@pytest.mark.row("F17")
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_a_cable_that_breaks_within_a_call_doubles_nothing_and_the_connection_is_never_used_again(
    server: Server, cut: Cut
) -> None:
    async with relay(server) as cable:
        client = Client(cable.url)
        await client.run([("GET", "{a}count")])  # the first connection has said its greetings
        cable.cut = cut
        with pytest.raises(BackendError, match=rf"{HOST}:{cable.port}: "):
            await client.run([("INCR", "{a}count"), ("GET", "{a}count")])
        assert await client.run([("GET", "{a}count")]) == [b"1" if cut is Cut.AFTER else None]
        assert cable.connections == 2
        await client.aclose()


@pytest.mark.row("F17")
async def test_an_answer_that_comes_too_late_is_nobody_elses(server: Server) -> None:
    """Read by the next call, it would be taken for its answer, and every later one be off by one."""
    async with relay(server) as cable:
        client = Client(cable.url, timeout_s=0.3)
        await client.run([("SET", "{a}count", 10)])
        cable.cut = Cut.LATE
        with pytest.raises(BackendError, match="it does not answer in time"):
            await client.run([("INCR", "{a}count")])
        assert await client.run([("GET", "{a}other"), ("GET", "{a}count")]) == [None, b"11"]
        await client.aclose()


@pytest.mark.row("F17")
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_rows_that_are_submitted_again_after_a_cut_are_there_once(server: Server, cut: Cut) -> None:
    async with relay(server) as cable:
        queue = await open_queue(cable.url)
        for number in range(6):
            cable.cut = cut if number % 2 else Cut.NEVER
            for _ in range(2):
                with suppress(BackendError):
                    await queue.add_rows(CAMPAIGN, [batch(number)])
        assert cable.connections == 4
        assert await stored(server.url) == list(range(6))
        await queue.aclose()


@pytest.mark.row("F17")
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_delivery_over_a_cable_that_breaks_everywhere_delivers_each_once(server: Server, cut: Cut) -> None:
    async with relay(server) as cable:
        queue = await open_queue(cable.url)
        await ready(queue, 120)
        done, calls = 0, 0
        while (await queue.status([CAMPAIGN]))[0].queued:
            calls += 1
            cable.cut = cut if calls % 2 else Cut.NEVER
            try:
                done += await drained(queue)
            except BackendError:
                cable.cut = Cut.NEVER
                await queue.resign("worker-1")  # what it does not know it holds comes back
                await queue.fence({"worker-1": None})
                await queue.reclaim(QUEUED_AT)
            assert calls < 20
        (status,) = await queue.status([CAMPAIGN])
        assert status.finished == 120
        await conserved(queue)
        await queue.aclose()


@pytest.mark.row("F21")
async def test_a_server_that_has_forgotten_the_scripts_is_told_them_in_the_middle_of_everything(server: Server) -> None:
    queue = await open_queue(server.url)
    await ready(queue, 40)
    await server.ask("SCRIPT", "FLUSH")
    assert await drained(queue) == 40
    await queue.aclose()


@pytest.mark.row("F21")
async def test_a_master_that_became_a_replica_says_so_and_is_never_taken_for_an_empty_queue(server: Server) -> None:
    queue = await open_queue(server.url)
    await ready(queue, 10)
    await server.ask("REPLICAOF", HOST, 1)
    with pytest.raises(BackendError, match="is a replica now: the master is another: READONLY"):
        await queue.add_rows(CAMPAIGN, [batch(5)])
    await server.ask("REPLICAOF", "NO", "ONE")
    assert await drained(queue) == 10
    await queue.aclose()


@pytest.mark.row("F21")
async def test_a_server_that_reads_its_data_back_is_no_empty_queue(tmp_path: Path) -> None:
    async with one_server(tmp_path / "server") as server:
        queue = await open_queue(server.url)
        await ready(queue, 10)
        client = Client(server.url)
        await client.run([("INCR", "{a}count")] * 5_000)  # it looks up from its log every 1,024 commands
        await client.aclose()
        server.kill()
        await server.stop()
        with (server.directory / "server.conf").open("a") as file:
            file.write("\nkey-load-delay 300\n")
        await server.start(wait=False)
        said: list[str] = []

        async def there() -> bool:
            try:
                await queue.status([CAMPAIGN])
            except BackendError as error:
                said.append(str(error))
                return False
            return True

        await until(there, "the data to be there")
        assert any("is still reading its data back" in text for text in said), set(said)
        assert await drained(queue) == 10
        await queue.aclose()


@pytest.mark.row("F21")
async def test_a_frozen_server_is_given_up_in_time_and_used_again_when_it_goes_on(server: Server) -> None:
    client = Client(server.url, timeout_s=0.3)
    await client.run([("SET", "{a}x", 1)])
    server.freeze()
    with pytest.raises(BackendError, match="it does not answer in time"):
        await client.run([("INCR", "{a}x")])
    server.thaw()
    (found,) = await client.run([("GET", "{a}x")])
    assert found in (b"1", b"2"), "nobody knows whether it was done"
    await client.aclose()


@pytest.mark.parametrize(
    ("login", "why"),
    [("", "NOAUTH|Authentication required"), ("ann:wrong@", "invalid username-password|WRONGPASS"), ("eve:pw@", "eve|NOPERM")],
)
async def test_who_is_not_let_in_is_told_at_once(tmp_path: Path, login: str, why: str) -> None:
    lines = ("user default off", "user ann on >pw ~penstock:* +@all", "user eve on >pw ~other:* +@all")
    server = Server(tmp_path / "server", *lines)
    try:
        await server.start(wait=False)
        url = server.url.replace("redis://", "redis://ann:pw@")

        async def there() -> bool:
            try:
                return bool(await server.ask("ROLE", url=url))
            except BackendError:
                return False

        await until(there, "the server")
        with pytest.raises(ConfigError, match=why):
            await open_queue(server.url.replace("redis://", f"redis://{login}"))
        queue = await open_queue(url)
        await ready(queue, 4)
        assert await drained(queue) == 4
        await queue.aclose()
    finally:
        await server.stop()
