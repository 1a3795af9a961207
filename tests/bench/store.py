"""What safety costs: submitting and settling under each way a server may keep its log, in one run on one disk.

The figures of deploy/README.md are the ratios printed here.
"""

import itertools
import tempfile
import time
from pathlib import Path
from statistics import median

import trio

from sender.model import State
from sender.queue import open_queue
from sender.queue.base import Queue, RowBatch, Settlement
from sender.queue.client import Client
from tests.queue.feeding import QUEUED_AT, ROUTE, chunk_of, envelopes, wish
from tests.redis.servers import one_server

_MODES = {
    "appendonly no": ("appendonly no",),
    "appendfsync no": ("appendfsync no",),
    "appendfsync everysec": ("appendfsync everysec",),
    "appendfsync always": ("appendfsync always",),
}
_ROUNDS = 7  # in turn, so that no mode has the quiet minute to itself
_SETTLED_AT_ONCE = 50


async def main(total: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in _MODES}
    for _ in range(_ROUNDS):
        for name, lines in _MODES.items():
            with tempfile.TemporaryDirectory() as folder:
                async with one_server(Path(folder) / "server", *lines) as server:
                    queue = await open_queue(server.url)
                    rates[name].append(await _rate(queue, total))
                    await queue.aclose()
    base = rates[next(iter(_MODES))]
    for name, found in rates.items():
        share = median(rate / first for rate, first in zip(found, base, strict=True))
        print(f"  {name}: {median(found):,.0f} recipients/s submitted, leased and settled; {share:.0%} of {next(iter(_MODES))}")
    await _durable()


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


async def _durable() -> None:
    """How long one call waits for its confirmation."""
    for mode in ("everysec", "always"):
        with tempfile.TemporaryDirectory() as folder:
            async with one_server(Path(folder) / "server", f"appendfsync {mode}") as server:
                client = Client(server.url, durable=True)
                began = time.perf_counter()
                for number in range(5):
                    await client.submit([("SET", "penstock:{spring}:x", number)])
                print(f"  durable under {mode}: {(time.perf_counter() - began) / 5 * 1000:,.0f} ms a call")
                await client.aclose()


def run(total: int = 20_000) -> None:
    """Measure and print."""
    print(f"a store's log, {total} recipients")
    trio.run(main, total)
