"""Servers that are unfit to hold a queue, or a worry: told at the start, and while they run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sender.errors import ConfigError
from sender.metrics import Metrics
from sender.queue import open_queue
from sender.settings import load
from sender.store_watch import StoreWatch
from tests.redis.disks import SlowDisk
from tests.redis.servers import HOST, Server, one_server, until
from tests.redis.submitting import CAMPAIGN, batch
from workers.store import connected

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with one_server(tmp_path / "server") as server:
        yield server


async def begin(url: str, directory: Path) -> None:
    """As a role of the fleet does."""
    (directory / "penstock.toml").write_text(f'[redis]\nurl = "{url}"\n')
    async with connected(load(directory), 0.0, fit=True):
        pass


@pytest.mark.row("F15")
async def test_nothing_starts_on_a_server_that_would_delete_queued_mail(server: Server, tmp_path: Path) -> None:
    await begin(server.url, tmp_path)
    await server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(
        ConfigError, match=r"redis: url: .* has maxmemory-policy allkeys-lru: .*; set maxmemory-policy noeviction"
    ):
        await begin(server.url, tmp_path)


@pytest.mark.row("F15")
async def test_nothing_starts_on_a_replica(server: Server, tmp_path: Path) -> None:
    await begin(server.url, tmp_path)
    await server.ask("REPLICAOF", HOST, 1)
    with pytest.raises(ConfigError, match=r"is a replica: name its master, or its Sentinels"):
        await begin(server.url, tmp_path)


@pytest.mark.row("F15")
async def test_what_becomes_wrong_while_all_runs_is_told_and_shown(server: Server) -> None:
    queue = await open_queue(server.url)
    metrics, told = Metrics(), list[str]()
    watch = StoreWatch(queue, told.append, metrics.store)
    labels = {"server": f"{HOST}:{server.port}"}

    def shown(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"penstock_store_{name}", labels)

    await watch.run_once()
    assert (told, shown("well"), shown("memory_limit_bytes")) == ([], 1.0, 0.0)
    assert (shown("memory_bytes") or 0) > 100_000
    await server.ask("CONFIG", "SET", "appendonly", "no")
    await server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    await watch.run_once()
    assert shown("well") == 0.0
    assert "maxmemory-policy volatile-ttl" in told[0]
    assert told[1] == f"{HOST}:{server.port} has appendonly no: when it ends, it loses all that its last snapshot has not"
    await queue.aclose()


@pytest.mark.row("F10")
async def test_a_disk_that_stalls_is_told_as_long_as_it_does(tmp_path: Path, slow_disk: SlowDisk) -> None:
    async with one_server(tmp_path / "server", environment=slow_disk.environment) as server:
        queue = await open_queue(server.url)
        told: list[str] = []
        watch = StoreWatch(queue, told.append)
        await watch.run_once()
        with slow_disk.stalled():
            numbers = iter(range(100_000))

            async def noticed() -> bool:
                await queue.add_rows(CAMPAIGN, [batch(next(numbers))])
                await watch.run_once()
                return bool(told)

            await until(noticed, "the delay to be counted")
        assert told[0].startswith(f"{HOST}:{server.port} waits for its disk: what it writes is fsynced late")
        await queue.aclose()
