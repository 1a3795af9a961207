"""The whole path, measured: submitted through the wire format, expanded, leased, composed, signed, sent, settled.

Nothing is off while this is measured: the store keeps its append-only file, the journal, metrics and the log are on. CPU is
the kernel's own account, taken before the campaign is submitted and after its last settlement, so that starting Python is
not counted and nothing else is left out.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import trio

from sender.queue.base import Queue
from sender.settings import Settings
from tests.bench import work
from tests.bench.account import cpu_by_role, cpu_s, peak_by_process, peak_mb
from tests.bench.figures import Columns, Figures, Row, in_rounds, show
from tests.bench.probing import quantiles_ms, started, told
from tests.bench.receiving import compile_sink, receiving_side, sink_report
from tests.bench.rig import DOMAINS, Case, Spent, running
from tests.redis.servers import ask
from workers.commands.submit import submit
from workers.store import open_configured_queue

OURS = ("delivery", "signer", "expander", "scheduler", "supervisor", "store")
ROLES = (*OURS, "sink")
_OTHERS = ("expander", "scheduler", "supervisor")
_PATIENCE_S = 120.0

_SIGNED = Case(name="STARTTLS + RSA-2048", tls=True, sign="rsa-sha256")
CASES = (
    Case(name="plain", messages=60_000),
    Case(name="plain, smtp-sink", sink="smtp-sink", messages=60_000),
    Case(name="STARTTLS", tls=True, messages=40_000),
    Case(name="STARTTLS + Ed25519", tls=True, sign="ed25519-sha256", messages=40_000),
    _SIGNED,
    replace(_SIGNED, name="the same, one delivery process", delivery=1),
    replace(_SIGNED, name="the same, group", pipelining="group"),
    replace(_SIGNED, name="the same, lockstep", pipelining="lockstep", messages=10_000),
    replace(_SIGNED, name="the same, BDAT", bdat=True),
    replace(_SIGNED, name="the same, appendfsync always", appendfsync="always"),
    replace(_SIGNED, name="the same, 100 kB", octets=100_000, messages=10_000),
)

_COLUMNS: Columns = (
    ("msg/s", "settled_per_s", ",.0f"),
    ("ours", "cpu_us", ".0f"),
    ("/ S", "cpu_in_s", ".2f"),
    *((role, f"{role}_us", ".0f") for role in ("delivery", "signer", "store", "others", "sink")),
    ("trips", "round_trips", ".2f"),
    ("p50 ms", "reply_p50_ms", ".0f"),
    ("p99 ms", "reply_p99_ms", ".0f"),
    ("lag ms", "lag_p99_ms", ".1f"),
    ("MB each", "delivery_peak_mb", ".0f"),
    ("MB all", "all_peak_mb", ".0f"),
)


async def measure(case: Case) -> Spent:
    """Send the case's messages and account for every processor second."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        campaign, rows = work.write_campaign(directory, case), "".join(work.rows(case)).encode()
        with receiving_side(case, directory, compile_sink(directory)) as sink:
            async with (
                running(case, directory) as (config, fleet),
                open_configured_queue(config, patience_s=30) as (settings, queue),
            ):
                store = await _own_store(settings)
                await started(settings)
                before, seen = _cpu_by_role(fleet.pid, sink.pid, store), await told(settings)
                began, began_at = time.monotonic(), time.time()
                await submit(campaign, BytesIO(rows), "bench", settings, queue)
                await _finished(queue, case.messages)
                seconds = time.monotonic() - began
                after = _cpu_by_role(fleet.pid, sink.pid, store)
                found = quantiles_ms(seen, await told(settings))
                peaks = peak_by_process(fleet.pid) | ({"store": peak_mb(store)} if store else {})
            report = sink_report(sink)
        return Spent(
            messages=case.messages,
            seconds=seconds,
            cpu_us={role: (after[role] - before[role]) / case.messages * 1e6 for role in ROLES},
            sink=report,
            last_s=report["last"] - began_at if report else 0.0,
            peak_mb=peaks,
            told_ms=found,
        )


async def _own_store(settings: Settings) -> int:
    """The process number of a store that is not the fleet's; 0 where it is."""
    if not settings.redis.url:
        return 0
    facts = await ask(settings.redis.url, ("INFO", "server"))
    return next(int(line.partition(b":")[2]) for line in facts.splitlines() if line.startswith(b"process_id:"))


def _cpu_by_role(fleet_pid: int, sink_pid: int, store: int) -> dict[str, float]:
    spent = cpu_by_role(fleet_pid, sink_pid)
    return spent | {"store": spent["store"] + (cpu_s(store) if store else 0.0)}


async def _finished(queue: Queue, messages: int) -> None:
    with trio.fail_after(_PATIENCE_S):
        while True:
            status = await queue.status(["bench"])
            if status and status[0].complete and status[0].finished >= messages:
                return
            await trio.sleep(0.1)


def figures(spent: Spent, signature: float) -> Figures:
    """A run in figures; `signature` is S, in µs."""
    ours = sum(spent.cpu_us[role] for role in OURS)
    found = {
        "settled_per_s": spent.messages / spent.seconds,
        "cpu_us": ours,
        "signature_us": signature,
        "cpu_in_s": ours / signature,
        "delivery_peak_mb": max(peak for name, peak in spent.peak_mb.items() if name.startswith("delivery")),
        "all_peak_mb": sum(spent.peak_mb.values()),
    } | spent.told_ms
    found |= {f"{role}_us": spent.cpu_us[role] for role in ROLES}
    found["others_us"] = sum(spent.cpu_us[role] for role in _OTHERS)
    if spent.sink:
        found["messages_per_s"] = spent.messages / spent.last_s
        found["round_trips"] = spent.sink["turns"] / spent.messages
    return found


def run(rounds: int, cases: Sequence[Case] = CASES) -> list[Row]:
    """Measure every case in every round and print the table."""
    found = in_rounds(cases, lambda case, s: figures(trio.run(measure, case), s), rounds)
    rows = [Row(who="Penstock", case=case.name, rounds=some) for case, some in zip(cases, found, strict=True)]
    title = f"10 kB messages to {DOMAINS} receivers; CPU in µs a message; S, one RSA-2048 signature: "
    show(title + f"{rows[0].cell('signature_us', '.0f')} µs", rows, _COLUMNS, heads=("", "case"))
    return rows
