"""What the queue costs: octets of Redis a queued envelope, and microseconds a message of client and server.

Run: python -m tests.bench queue. It starts a Valkey of its own. Client time is this process's CPU time,
server time is what INFO says of Valkey's; wall time is shown because submitting and expanding have to keep up.
"""

import itertools
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import trio

from sender.model import Envelope, LaneId, Route, State
from sender.queue import open_queue
from sender.queue.base import Chunk, LeaseRequest, Queue, RoutedPack, RowBatch, Settlement
from sender.queue.client import Client
from sender.queue.pack import encode
from workers.embedded import embedded_valkey

_DOMAINS = {"gmail.com": "google", "outlook.com": "microsoft", "yahoo.com": "yahoo", "orange.fr": "orange"}
_ROUTES = {domain: Route(pool="main", receiver=receiver) for domain, receiver in _DOMAINS.items()}


async def main(total: int) -> None:
    for pack_size in (200, 1000):
        with tempfile.TemporaryDirectory() as folder:
            async with embedded_valkey(Path(folder)) as url:
                queue, client = await open_queue(url), Client(url)
                print(f"packs of {pack_size}, {total} envelopes with three merge fields")
                await _measure(queue, client, total, pack_size)
                await queue.aclose()
                await client.aclose()


async def _measure(queue: Queue, client: Client, total: int, pack_size: int) -> None:
    gauge = _Gauge(client, total)
    numbered = list(enumerate(_batches(total)))
    empty = await gauge.memory()
    async with gauge.measured("submit"):
        await queue.announce("spring", b"{}")
        for start in range(0, len(numbered), 50):
            batches = [RowBatch(number=number, rows=rows) for number, rows in numbered[start : start + 50]]
            await queue.add_rows("spring", batches)
        await queue.close_rows("spring", len(numbered))
    print(f"  inbox {(await gauge.memory() - empty) / total:.1f} octets a recipient")
    (announcement,) = await queue.announcements(1)
    await queue.accept(announcement, b"{}", 1.0)
    async with gauge.measured("expand"):
        await _expand(queue, pack_size)
    print(f"  queued {(await gauge.memory() - empty) / total:.1f} octets an envelope")
    async with gauge.measured("lease and settle, 200 a lease, settled by 50"):
        await _drain(queue)
    print(f"  left {(await gauge.memory() - empty) / 1000:.0f} kB")


async def _expand(queue: Queue, pack_size: int) -> None:
    decoder = msgspec.json.Decoder(dict[str, str])
    while not (inflow := await queue.rows("spring", 20)).exhausted:
        rows = [row for batch in inflow.batches for row in decoder.decode_lines(batch.rows)]
        first = inflow.batches[0].number * 1000
        routed: dict[Route, list[Envelope]] = {route: [] for route in _ROUTES.values()}
        for place, row in enumerate(rows):
            address = row.pop("to")
            envelope = Envelope(campaign="spring", ordinal=first + place, address=address, fields=row, queued_at=1.7e9)
            routed[_ROUTES[envelope.domain]].append(envelope)
        packs = tuple(
            RoutedPack(route=route, pack=encode(some[at : at + pack_size]), count=len(some[at : at + pack_size]))
            for route, some in routed.items()
            for at in range(0, len(some), pack_size)
        )
        await queue.expand(
            Chunk(campaign="spring", number=inflow.chunk, priority=5, batches=inflow.batches, packs=packs), 1.7e9
        )


async def _drain(queue: Queue) -> None:
    wishes = [
        LeaseRequest(lane=LaneId(source="s1", receiver=route.receiver), route=route, owner="bench", envelopes=200)
        for route in _ROUTES.values()
    ]
    for turn in itertools.count():
        leases = await queue.lease(wishes, 1.7e9 + turn / 1000)
        if not leases:
            return
        for at in range(0, 200, 50):
            settlements = [
                Settlement(
                    lease=lease.id,
                    route=lease.route,
                    campaign="spring",
                    final=tuple((place, State.DELIVERED) for place in range(at, min(at + 50, len(lease.envelopes)))),
                )
                for lease in leases
            ]
            await queue.settle(settlements, 1.7e9)


class _Gauge:
    def __init__(self, client: Client, total: int) -> None:
        self._client, self._total = client, total

    async def memory(self) -> int:
        (info,) = await self._client.run([("INFO", "memory")])
        return int(_field(info, b"used_memory"))

    async def server_seconds(self) -> float:
        (info,) = await self._client.run([("INFO", "cpu")])
        return float(_field(info, b"used_cpu_user_main_thread")) + float(_field(info, b"used_cpu_sys_main_thread"))

    def measured(self, what: str) -> "_Measured":
        return _Measured(self, what, self._total)


class _Measured:
    """Prints what its block cost."""

    def __init__(self, gauge: _Gauge, what: str, total: int) -> None:
        self._gauge, self._what, self._total = gauge, what, total

    async def __aenter__(self) -> None:
        self._server = await self._gauge.server_seconds()
        self._wall, self._client = time.perf_counter(), time.process_time()

    async def __aexit__(self, *_: object) -> None:
        wall, client = time.perf_counter() - self._wall, time.process_time() - self._client
        server = await self._gauge.server_seconds() - self._server
        each = 1e6 / self._total
        rate = self._total / wall
        print(f"  {self._what}: {rate:,.0f}/s; client {client * each:.1f} µs, server {server * each:.1f} µs each")


def _batches(total: int) -> Iterator[bytes]:
    """Recipients as JSON lines: 300 first names, 1,000 places, codes that are all different."""
    rng, encoder = random.Random(1), msgspec.json.Encoder()
    names, places = _words(rng, 300), _words(rng, 1000)
    for start in range(0, total, 1000):
        yield encoder.encode_lines([_recipient(rng, names, places) for _ in range(min(1000, total - start))])


def _words(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices("aeioubcdlmnrst", k=rng.randint(3, 9))).title() for _ in range(count)]


def _recipient(rng: random.Random, names: list[str], places: list[str]) -> dict[str, str]:
    name = rng.choice(names)
    address = f"{name.lower()}.{rng.choice(names).lower()}{rng.randint(1, 999)}@{rng.choice(list(_ROUTES))}"
    return {"to": address, "first": name, "city": rng.choice(places), "code": f"{rng.randint(0, 99_999_999):08}"}


def _field(info: bytes, name: bytes) -> bytes:
    return next(line.partition(b":")[2] for line in info.splitlines() if line.startswith(name + b":"))


def run(total: int = 1_000_000) -> None:
    """Measure and print."""
    trio.run(main, total)
