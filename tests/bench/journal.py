"""What the journal costs a message: its intent, its outcome, and that it is settled, in each mode of syncing."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from sender.model import Route, State
from sender.queue.base import Settlement
from sender.queue.journal import Fsync, Journal
from tests.bench.figures import Columns, Figures, Row, show

_LEASE = 200
_EVENT = (
    b'{"v":1,"id":"spring:12345:1:delivered","type":"delivered","at":1750000000.123,"campaign":"spring","ordinal":12345,'
    b'"to":"user12345@example.org","attempt":1,"receiver":"google","source":"s1","mx":"mx.google.example","step":"DOT",'
    b'"code":250,"enhanced":"2.0.0","reply":"OK 1750000000 abcdef","category":"accepted","scope":"recipient","rule":"accepted"}'
)


_COLUMNS: Columns = (
    ("CPU µs a message", "cpu_us", ".1f"),
    ("in all, µs", "wall_us", ",.1f"),
    ("the slowest, ms", "worst_ms", ".1f"),
)


def run() -> list[Row]:
    """Measure each mode and print the table."""
    modes: Sequence[tuple[Fsync, int]] = (("never", 100_000), ("second", 100_000), ("always", 1_000))
    rows = []
    for fsync, messages in modes:
        with TemporaryDirectory() as directory:
            found = trio.run(_measure, Journal(Path(directory), fsync), messages)
        rows.append(Row(who="Penstock", case=f"journal, fsync {fsync}", rounds=(found,)))
    show("the journal", rows, _COLUMNS, heads=("", "mode"))
    return rows


async def _measure(journal: Journal, messages: int) -> Figures:
    journal.begin("host/bench-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        cpu, wall, worst = time.process_time(), time.perf_counter(), 0.0
        for number in range(messages // _LEASE):
            worst = max(worst, _lease(journal, f"0123456789ab-{number}-1"))
            await trio.lowlevel.checkpoint()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        nursery.cancel_scope.cancel()
    journal.close()
    return {"cpu_us": cpu / messages * 1e6, "wall_us": wall / messages * 1e6, "worst_ms": worst * 1e3}


def _lease(journal: Journal, lease: str) -> float:
    """A lease's messages one by one, then their settlement; how long the slowest took, seconds."""
    worst = 0.0
    for position in range(_LEASE):
        began = time.perf_counter()
        journal.intent([(lease, position)])
        journal.ended((lease, position), State.DELIVERED, _EVENT, at=1_750_000_000.0)
        worst = max(worst, time.perf_counter() - began)
    final = tuple((position, State.DELIVERED) for position in range(_LEASE))
    route = Route(pool="main", receiver="google")
    journal.settled([Settlement(lease=lease, route=route, campaign="spring", final=final)])
    return worst
