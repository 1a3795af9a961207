"""The consumer process: started from the configuration, killed at any moment, ended in order."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
import trio

from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.groups import Wish
from sender.settings import load
from tests.consumers.world import ids
from tests.ports import free_ports
from tests.queue.feeding import told
from tests.scenarios.stage import eventually
from workers.embedded import embedded_valkey
from workers.fleet import consumer_port

_PARTITIONS = 4


def configured(directory: Path, url: str) -> Path:
    directory.mkdir()
    text = f'[redis]\nurl = "{url}"\npartitions = {_PARTITIONS}\n[fleet]\ndelivery = 1\n[metrics]\nport = {free_ports(4)}\n'
    consumer = f'[[consumer]]\nname = "log"\nkind = "file"\ndirectory = "{directory.parent}/events"\n'
    (directory / "penstock.toml").write_text(text + consumer)
    (directory / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    return directory


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[trio.Process]:
    """`penstock run consumer`, gone when the block ends."""
    command = [sys.executable, "-m", "workers.cli", "run", "consumer", "--config", str(config)]
    process = await trio.lowlevel.open_process(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


def told_in(path: Path) -> list[str]:
    """The ids of a file's whole lines."""
    return ids(path.read_bytes().rpartition(b"\n")[0].splitlines()) if path.exists() else []


def scraped(config: Path) -> str:
    settings = load(config)
    with urlopen(f"http://127.0.0.1:{settings.metrics.port + consumer_port(settings)}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


async def written(path: Path, *names: str) -> None:
    """As soon as all of these events are in the file."""

    async def are_there() -> bool:
        return set(names) <= set(told_in(path))

    await eventually(f"{names} in {path}", are_there)


async def acknowledged(config: Path, events: int) -> None:
    """As soon as the process has counted so many events as done."""

    async def are_counted() -> bool:
        text = await trio.to_thread.run_sync(scraped, config)
        return f'penstock_consumer_events_total{{consumer="log",outcome="done"}} {events}.0' in text

    await eventually(f"{events} events done", are_counted)


async def bury(queue: Queue) -> None:
    """Take the streams from a reader that was killed: nobody need wait until its beat has stood still for long enough."""
    for stream in range(_PARTITIONS):
        (seen,) = await queue.read_group("log", "heir", [Wish(stream=stream, entries=0)])
        await queue.read_group("log", "heir", [Wish(stream=stream, entries=0, stands_still=seen.beat)])
    await queue.let_go("log", "heir")


@pytest.mark.integration
async def test_a_consumer_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path / "valkey") as url:
        queue, config, path = (
            await open_queue(url, partitions=_PARTITIONS),
            configured(tmp_path / "conf", url),
            tmp_path / "events/log.jsonl",
        )
        async with running(config) as process:
            await told(queue, "a", "b")
            await written(path, "a", "b")
            await acknowledged(config, 2)  # later than they are in the file
            process.kill()
            await process.wait()
        with path.open("ab") as file:
            file.write(b'{"v":1,"id":"to')
        await told(queue, "c")
        await bury(queue)
        async with running(config) as process:
            await written(path, "a", "b", "c")
            process.terminate()
            assert await process.wait() == 0
        readings = await queue.read_group("log", "next", [Wish(stream=stream, entries=1) for stream in range(_PARTITIONS)])
        assert not any(reading.beat or reading.entries for reading in readings), "it let go, and all was acknowledged"
        assert set(told_in(path)) == {"a", "b", "c"}
        await queue.aclose()


async def test_without_consumers_there_is_nothing_to_run(tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    command = [sys.executable, "-m", "workers.cli", "run", "consumer", "--config", str(tmp_path)]
    ended = await trio.run_process(command, capture_stderr=True, check=False)
    assert ended.returncode == 1
    assert b"penstock.toml: consumer: none" in ended.stderr
