"""A fleet at work on a load that can be anything: what a message costs it once its connections stand.

1. Two campaigns stand in the queue, held (`preloading`). The fleet starts over that store.
2. The first, small one is let go: lanes begin, connections open, hosts earn to be chained to.
3. The second is let go, and everything is accounted for from there to a number of its messages: CPU by the kernel's account,
   lateness of the event loops and time from lease to reply by the fleet's own metrics.
"""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from sender.queue import open_queue
from sender.queue.base import Queue
from sender.settings import Settings
from sender.settings import load as read_settings
from tests.bench import work
from tests.bench.account import cpu_by_role, peak_by_process
from tests.bench.delivery import OURS, ROLES
from tests.bench.figures import Figures
from tests.bench.place import loopback
from tests.bench.preloading import preload, release
from tests.bench.probing import quantiles_ms, started, told
from tests.bench.receiving import compile_sink, receiving_side
from tests.bench.rig import Case, configured
from tests.scenarios.stage import eventually
from workers.demo.scene import fleet
from workers.embedded import embedded_valkey
from workers.store import open_configured_queue

_WARM = 20  # messages a connection, before anything is measured
_WARM_LEAST = 2_000
_PATIENCE_S = 300.0

_EVERYBODY = """\
tls = "required"
pipelining = "chain"
{match}
[limits]
connections = {connections}
messages_per_connection = 1000000
messages_per_second = {pace}
connections_per_minute = 1000000
idle_s = "1h"
"""
_HOST = '[match]\nmx = [".mx0.example"]'  # who hosts the domains that share one


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a fleet has to do. One source: a lane for each receiver."""

    name: str
    lanes: int = 20
    connections: int = 2  # of each lane
    domains: int = 0  # of one receiver that hosts them all; 0: each receiver has one of its own
    octets: int = 10_000
    messages: int = 20_000  # that are measured
    queued: int = 0  # when that begins; 0: those and no more
    delivery: int = 2
    signers: int = 1
    pace: float = 1_000_000.0  # messages a second of each lane
    warm: int = 0  # messages before anything is measured; 0: some for each connection

    def __str__(self) -> str:
        return self.name

    @property
    def case(self) -> Case:
        place = loopback()
        return Case(
            name=self.name,
            tls=True,
            sign="rsa-sha256",
            octets=self.octets,
            messages=self.messages,
            delivery=self.delivery,
            signers=self.signers,
            domains=1,
            place=replace(place, sources=place.sources[:1]),
        )

    def reader(self, number: int) -> tuple[str, str]:
        """Domain and receiver of a recipient."""
        if self.domains:
            return f"hosted{number % self.domains}.example", "bench0"
        return f"org{number % self.lanes}.example", f"~org{number % self.lanes}.example"


async def measure(load: Load) -> Figures:
    """Let the fleet do it, and say in figures what a message cost."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        with receiving_side(load.case, directory, compile_sink(directory)) as sink:
            async with at_work(load, directory) as (settings, queue, process):
                spent = partial(cpu_by_role, process.pid, sink.pid)
                seen, before, since = await told(settings), spent(), time.monotonic()
                await release(queue, "bench")
                done = await _delivered(queue, "bench", load.messages)
                seconds, after = time.monotonic() - since, spent()
                found = quantiles_ms(seen, await told(settings))
                peaks = peak_by_process(process.pid)
    cpu_us = {role: (after[role] - before[role]) / done * 1e6 for role in ROLES}
    return (
        {f"{role}_us": cost for role, cost in cpu_us.items()}
        | found
        | {
            "cpu_us": sum(cpu_us[role] for role in OURS),
            "settled_per_s": done / seconds,
            "delivery_peak_mb": max(peak for name, peak in peaks.items() if name.startswith("delivery")),
        }
    )


@asynccontextmanager
async def at_work(load: Load, directory: Path) -> AsyncIterator[tuple[Settings, Queue, trio.Process]]:
    """The fleet with its connections open, and the work still held."""
    async with _configured(load, directory) as config:
        await _fill(load, config, directory)
        async with (
            fleet(config, directory / "fleet.log") as process,
            open_configured_queue(config, patience_s=_PATIENCE_S) as (settings, queue),
        ):
            await started(settings)
            await release(queue, "warm")
            await _delivered(queue, "warm", _warm(load))
            yield settings, queue, process


@asynccontextmanager
async def _configured(load: Load, directory: Path) -> AsyncIterator[Path]:
    hosted = [f"hosted{number}.example" for number in range(load.domains)]
    organisations = [] if hosted else [f"org{number}.example" for number in range(load.lanes)]
    async with configured(load.case, directory, tail=hosted, organisations=organisations) as config:
        for name, match in (("_default", ""), ("bench0", _HOST)):
            text = _EVERYBODY.format(connections=load.connections, pace=load.pace, match=match)
            (config / "receivers" / f"{name}.toml").write_text(text)
        yield config


async def _fill(load: Load, config: Path, directory: Path) -> None:
    """Both campaigns, into the store that the fleet will find."""
    spec = {"from": work.SENDER, "subject": work.SUBJECT, "text": work.text(load.case)}
    async with embedded_valkey(directory / "state" / "valkey") as url:
        queue = await open_queue(url, partitions=_settings(config).redis.partitions)
        await preload(queue, "warm", spec, _warm(load), load.reader)
        await preload(queue, "bench", spec, max(load.queued, load.messages), load.reader)
        await queue.aclose()


def _settings(config: Path) -> Settings:
    return read_settings(config)


def _warm(load: Load) -> int:
    return load.warm or max(_WARM_LEAST, _WARM * load.lanes * load.connections)


async def _delivered(queue: Queue, campaign: str, messages: int) -> int:
    """Wait until so many have their final state; how many have by then."""
    finished = 0

    async def enough() -> bool:
        nonlocal finished
        (status,) = await queue.status([campaign])
        finished = status.finished
        return finished >= messages

    await eventually(f"{messages:,} messages of {campaign}", enough, _PATIENCE_S)
    return finished
