"""What the queue costs: octets of Redis a queued envelope, and microseconds a message of client and server.

Run: python -m tests.bench queue. It starts a Valkey of its own. Client time is this process's CPU time,
server time is what INFO says of Valkey's; rates are shown because submitting and expanding have to keep up.
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
from tests.bench.figures import Columns, Figures, Row, show
from workers.embedded import embedded_valkey

_DOMAINS = {"gmail.com": "google", "outlook.com": "microsoft", "yahoo.com": "yahoo", "orange.fr": "orange"}
_ROUTES = {domain: Route(pool="main", receiver=receiver) for domain, receiver in _DOMAINS.items()}


_PHASES = ("submit", "expand", "drain")
_COLUMNS: Columns = (
    ("inbox, octets", "inbox_octets", ".1f"),
    ("queued, octets", "queued_octets", ".1f"),
    *(
        column
        for phase in _PHASES
        for column in (
            (f"{phase} /s", f"{phase}_per_s", ",.0f"),
            ("client µs", f"{phase}_client_us", ".1f"),
            ("server µs", f"{phase}_server_us", ".1f"),
        )
    ),
    ("left, kB", "left_kb", ".0f"),
)


async def main(total: int, pack_size: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_valkey(Path(folder)) as url:
            queue, client = await open_queue(url), Client(url)
            found = await _measure(queue, Gauge(client, total), total, pack_size)
            await queue.aclose()
            await client.aclose()
            return found


async def _measure(queue: Queue, gauge: "Gauge", total: int, pack_size: int) -> Figures:
    numbered = list(enumerate(_batches(total)))
    empty = await gauge.memory()
    async with gauge.measured("submit"):
        await queue.announce("spring", b"{}")
        for start in range(0, len(numbered), 50):
            batches = [RowBatch(number=number, rows=rows) for number, rows in numbered[start : start + 50]]
            await queue.add_rows("spring", batches)
        await queue.close_rows("spring", len(numbered))
    inbox = await gauge.memory() - empty
    (announcement,) = await queue.announcements(1)
    await queue.accept(announcement, b"{}", 1.0)
    async with gauge.measured("expand"):
        await _expand(queue, pack_size)
    queued = await gauge.memory() - empty
    async with gauge.measured("drain"):
        await _drain(queue)
    left = await gauge.memory() - empty
    return gauge.found | {"inbox_octets": inbox / total, "queued_octets": queued / total, "left_kb": left / 1000}


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


class Gauge:
    """Asks the store; `found` is what has been measured so far."""

    def __init__(self, client: Client, total: int) -> None:
        self._client, self._total = client, total
        self.found: Figures = {}

    async def memory(self) -> int:
        (info,) = await self._client.run([("INFO", "memory")])
        return int(_field(info, b"used_memory"))

    async def server_seconds(self) -> float:
        (info,) = await self._client.run([("INFO", "cpu")])
        return float(_field(info, b"used_cpu_user_main_thread")) + float(_field(info, b"used_cpu_sys_main_thread"))

    def measured(self, what: str) -> "Measured":
        return Measured(self, what, self._total)


class Measured:
    """Notes what its block cost."""

    def __init__(self, gauge: Gauge, what: str, total: int) -> None:
        self._gauge, self._what, self._total = gauge, what, total

    async def __aenter__(self) -> None:
        self._server = await self._gauge.server_seconds()
        self._wall, self._client = time.perf_counter(), time.process_time()

    async def __aexit__(self, *_: object) -> None:
        wall, client = time.perf_counter() - self._wall, time.process_time() - self._client
        server = await self._gauge.server_seconds() - self._server
        self._gauge.found |= {
            f"{self._what}_per_s": self._total / wall,
            f"{self._what}_client_us": client / self._total * 1e6,
            f"{self._what}_server_us": server / self._total * 1e6,
        }


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


def run(total: int = 500_000) -> list[Row]:
    """Measure and print the table."""
    rows = [Row(who="Penstock", case=f"packs of {size}", rounds=(trio.run(main, total, size),)) for size in (200, 1000)]
    show(f"{total:,} envelopes with three merge fields, drained 200 a lease, settled by 50", rows, _COLUMNS, heads=("", "case"))
    return rows
