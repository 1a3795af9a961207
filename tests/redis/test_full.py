"""Stores without room: memory at its limit, a full disk. Nothing is taken that can't be kept, and what is there gets out."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import trio
from click.testing import CliRunner

from sender.errors import BackendError
from sender.queue import open_queue
from sender.queue.base import Chunk, Queue, RowBatch
from sender.queue.standing import HIGH_WATER
from tests.queue.feeding import QUEUED_AT, ROUTE, chunk_of, envelopes
from tests.redis.disks import enlarge, small_disk
from tests.redis.servers import Server, one_server, until
from tests.redis.stores import cluster_store
from tests.redis.submitting import CAMPAIGN, batch, drained, missing, ready, stored
from workers.cli import main

pytestmark = pytest.mark.integration

BALLAST = "penstock:{ballast}"


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Server]:
    async with one_server(tmp_path / "server", "maxmemory 8mb") as server:
        yield server


async def share(queue: Queue) -> float:
    (standing,) = await queue.standing()
    return standing.share


async def fill(server: Server, queue: Queue, upto: float) -> None:
    """Others use the server too."""
    while await share(queue) < upto:
        await server.ask("APPEND", BALLAST, "x" * 50_000)


@pytest.mark.row("F14")
async def test_submissions_are_refused_early_delivery_goes_on_and_then_they_are_taken_again(small: Server) -> None:
    queue = await open_queue(small.url)
    await queue.announce(CAMPAIGN, b'{"v":1}')
    await queue.add_rows(CAMPAIGN, [batch(0)])
    await fill(small, queue, HIGH_WATER - 0.001)
    taken, why = await _submit_until_refused(queue)
    assert "% full (" in why
    assert "of maxmemory 8.4 MB): nothing was taken; delivery drains it" in why
    assert HIGH_WATER <= await share(queue) < 1.0, "the rest is for delivery"
    with pytest.raises(BackendError, match="nothing was taken"):
        await queue.announce("summer", b"{}")
    await queue.close_rows(CAMPAIGN, 1 + len(taken))
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, QUEUED_AT)
    while not (await queue.rows(CAMPAIGN, 100)).exhausted:
        await queue.expand(await chunk_of(queue, CAMPAIGN, [(ROUTE, envelopes(CAMPAIGN, 100))]), QUEUED_AT)
    assert await drained(queue) == 100
    await small.ask("DEL", BALLAST)
    await queue.announce("summer", b"{}")
    await queue.aclose()


@pytest.mark.row("F14")
async def test_a_store_that_others_have_filled_to_the_brim_still_empties(small: Server) -> None:
    """From the inbox on: rows that may not become packs could never leave."""
    queue = await open_queue(small.url)
    await queue.announce(CAMPAIGN, b'{"v":1}')
    await queue.add_rows(CAMPAIGN, [batch(number) for number in range(5)])
    await queue.close_rows(CAMPAIGN, 5)
    with pytest.raises(BackendError, match="OOM"):
        await fill(small, queue, 2.0)
    await small.ask("CONFIG", "SET", "maxmemory", "4mb")
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, QUEUED_AT)
    chunk = await chunk_of(queue, CAMPAIGN, [(ROUTE, envelopes(CAMPAIGN, 500))])
    assert await queue.expand(chunk, QUEUED_AT)
    assert await drained(queue) == 500
    assert await stored(small.url) == []
    await queue.aclose()


@pytest.mark.row("F14")
async def test_events_that_fill_the_store_make_room_for_mail(small: Server) -> None:
    """What was delivered is told, and kept for a while: nothing that waits drains it."""
    queue = await open_queue(small.url)
    await ready(queue, 40)
    await drained(queue)
    told = 0
    while await share(queue) < HIGH_WATER:
        for _ in range(100):
            event = b'{"n":%d,"why":"%s"}' % (told, bytes(2_500).hex().encode())
            chunk = Chunk(campaign=CAMPAIGN, number=1 + told, priority=5, batches=(), packs=(), events=(event,))
            assert await queue.expand(chunk, QUEUED_AT)
            told += 1
    with pytest.raises(BackendError, match="nothing was taken"):
        await queue.announce("summer", b"{}")
    for _ in range(10):
        await queue.reclaim(QUEUED_AT)
    await queue.announce("summer", b"{}")
    assert 0.5 < await share(queue) < HIGH_WATER
    _, kept = await queue.events("", 10_000)
    assert json.loads(kept[-1])["n"] == told - 1, "the newest stay"
    await queue.aclose()


@pytest.mark.row("F14")
async def test_a_full_cluster_that_confirms_what_it_writes_still_empties(tmp_path: Path) -> None:
    async with cluster_store(tmp_path, "appendfsync always") as store:
        queue = await open_queue(store.url, durable=True)
        await queue.announce(CAMPAIGN, b'{"v":1}')
        await queue.add_rows(CAMPAIGN, [batch(number) for number in range(5)])
        await queue.close_rows(CAMPAIGN, 5)
        for server in store.servers:
            await server.ask("CONFIG", "SET", "maxmemory", "1")
        for announcement in await queue.announcements(10):
            await queue.accept(announcement, announcement.spec, QUEUED_AT)
        chunk = await chunk_of(queue, CAMPAIGN, [(ROUTE, envelopes(CAMPAIGN, 500))])
        assert await queue.expand(chunk, QUEUED_AT)
        assert await drained(queue) == 500
        await queue.aclose()


@pytest.mark.row("F14")
async def test_submit_says_that_the_store_is_full_and_that_it_may_be_tried_again(small: Server, tmp_path: Path) -> None:
    queue = await open_queue(small.url)
    await fill(small, queue, HIGH_WATER)
    await queue.aclose()
    config = tmp_path / "config"
    config.mkdir()
    (config / "penstock.toml").write_text(
        f'[redis]\nurl = "{small.url}"\n[[identity]]\ndomain = "shop.example"\nsigned = false\n'
    )
    (config / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    (tmp_path / "spring.toml").write_text('from = "Shop <news@shop.example>"\nsubject = "Hello"\ntext = "Spring."\n')
    (tmp_path / "list.csv").write_text("email\nann@example.org\n")
    words = ["submit", str(tmp_path / "spring.toml"), str(tmp_path / "list.csv"), "--config", str(config)]
    result = await trio.to_thread.run_sync(CliRunner().invoke, main, words)
    assert result.exit_code == 75, result.output
    assert "the store is 9" in result.output
    assert "nothing was taken; delivery drains it, submit again then" in result.output


async def _takes(queue: Queue) -> bool:
    """Whether the store takes writes; a batch that is there already is one too."""
    try:
        await queue.add_rows(CAMPAIGN, [batch(0)])
    except BackendError:
        return False
    return True


async def _submit_until_refused(queue: Queue) -> tuple[list[int], str]:
    taken: list[int] = []
    rng = Random(1)
    for number in range(1, 1_000):
        rows = b'{"to":"ann@example.org","code":"%s"}' % rng.randbytes(10_000).hex().encode()
        try:
            await queue.add_rows(CAMPAIGN, [RowBatch(number=number, rows=rows)])
        except BackendError as error:
            return taken, str(error)
        taken.append(number)
    raise AssertionError("never refused")


@pytest.mark.row("F12")
async def test_while_the_disk_is_full_nothing_is_taken_reads_work_and_it_goes_on_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6) as disk:
        async with one_server(disk / "server", "auto-aof-rewrite-percentage 0") as server:
            queue = await open_queue(server.url)
            await ready(queue, 40)
            (disk / "ballast").write_bytes(bytes(5_500_000))
            taken, why = await _submit_until_refused(queue)
            assert "the store can't write to its disk and takes no change until it can: MISCONF" in why
            (status,) = await queue.status([CAMPAIGN])
            assert status.queued == 40
            assert [worry for each in await queue.standing() for worry in each.worries()] == [
                f"127.0.0.1:{server.port} can't write its append-only file: look for a full disk, and at its log"
            ]
            enlarge(disk, 40)
            await until(lambda: _takes(queue), "the store to take writes again")
            assert await missing(queue, taken) == []
            assert await drained(queue) == 40
            await queue.aclose()


@pytest.mark.row("F13")
async def test_a_server_that_ends_because_its_disk_is_full_has_lost_nothing_it_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6) as disk:
        async with one_server(disk / "server", "appendfsync always", "auto-aof-rewrite-percentage 0") as server:
            queue = await open_queue(server.url)
            await ready(queue, 40)
            (disk / "ballast").write_bytes(bytes(5_500_000))
            taken, _ = await _submit_until_refused(queue)
            assert await server.wait() == 1
            with pytest.raises(BackendError, match="refused"):
                await queue.status([CAMPAIGN])
            enlarge(disk, 40)
            await server.stop()
            await server.start()
            assert await missing(queue, taken) == []
            assert await drained(queue) == 40
            await queue.aclose()
