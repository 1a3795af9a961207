"""What safety costs: submitting and settling under each way a server may keep its log, in one run on one disk.

The figures of deploy/README.md are the ratios printed here.
"""

import itertools
import tempfile
import time
from pathlib import Path

import trio

from sender.model import State
from sender.queue import open_queue
from sender.queue.base import Queue, RowBatch, Settlement
from sender.queue.client import Client
from tests.bench.figures import Columns, Figures, Row, show
from tests.queue.feeding import QUEUED_AT, ROUTE, chunk_of, envelopes, wish
from tests.redis.servers import one_server

_MODES = {
    "appendonly no": ("appendonly no",),
    "appendfsync no": ("appendfsync no",),
    "appendfsync everysec": ("appendfsync everysec",),
    "appendfsync always": ("appendfsync always",),
}
_CONFIRMED = ("appendfsync everysec", "appendfsync always")  # the modes that can confirm a call to be on disk
_CALLS = 5
_SETTLED_AT_ONCE = 50
_COLUMNS: Columns = (
    ("recipients a second, submitted, leased and settled", "recipients_per_s", ",.0f"),
    ("of the first", "share", ".0%"),
    ("a durable call, ms", "durable_ms", ",.0f"),
)


async def main(rounds: int, total: int) -> list[Row]:
    found: dict[str, list[Figures]] = {name: [] for name in _MODES}
    for _ in range(rounds):
        for name, lines in _MODES.items():  # in turn, so that no mode has the quiet minute to itself
            with tempfile.TemporaryDirectory() as folder:
                async with one_server(Path(folder) / "server", *lines) as server:
                    found[name].append(await _figures(server.url, total, durable=name in _CONFIRMED))
    base = [figures["recipients_per_s"] for figures in found[next(iter(_MODES))]]
    for some in found.values():
        for figures, first in zip(some, base, strict=True):
            figures["share"] = figures["recipients_per_s"] / first
    return [Row(who="Penstock", case=name, rounds=tuple(some)) for name, some in found.items()]


async def _figures(url: str, total: int, *, durable: bool) -> Figures:
    queue = await open_queue(url)
    found = {"recipients_per_s": await _rate(queue, total)}
    await queue.aclose()
    return found | ({"durable_ms": await _durable_ms(url)} if durable else {})


async def _rate(queue: Queue, total: int) -> float:
    """Recipients a second through all that writes: submission, expansion, leases and settlements of 50."""
    began = time.perf_counter()
    await queue.announce("spring", b'{"v":1}')
    rows = b"\n".join(b'{"to":"recipient-%06d@example.org","name":"Ann"}' % number for number in range(1000))
    for number in range(total // 1000):
        await queue.add_rows("spring", [RowBatch(number=number, rows=rows)])
    await queue.close_rows("spring", total // 1000)
    for announcement in await queue.announcements(1):
        await queue.accept(announcement, announcement.spec, QUEUED_AT)
    some = envelopes("spring", total)
    packs = [(ROUTE, some[at : at + 200]) for at in range(0, total, 200)]
    assert await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    await _drain(queue)
    return total / (time.perf_counter() - began)


async def _drain(queue: Queue) -> None:
    await queue.join("worker-1")
    for _ in itertools.count():
        leases = await queue.lease([wish(200)], QUEUED_AT)
        if not leases:
            return
        for lease in leases:
            for at in range(0, len(lease.envelopes), _SETTLED_AT_ONCE):
                places = range(at, min(at + _SETTLED_AT_ONCE, len(lease.envelopes)))
                final = tuple((place, State.DELIVERED) for place in places)
                await queue.settle([Settlement(lease=lease.id, route=lease.route, campaign="spring", final=final)], QUEUED_AT)


async def _durable_ms(url: str) -> float:
    """How long one call waits for its confirmation."""
    client = Client(url, durable=True)
    began = time.perf_counter()
    for number in range(_CALLS):
        await client.submit([("SET", "penstock:{spring}:x", number)])
    seconds = time.perf_counter() - began
    await client.aclose()
    return seconds / _CALLS * 1000


def run(rounds: int, total: int = 20_000) -> list[Row]:
    """Measure and print."""
    rows = trio.run(main, rounds, total)
    show(f"a store's log, {total:,} recipients", rows, _COLUMNS, heads=("", "mode"))
    return rows
