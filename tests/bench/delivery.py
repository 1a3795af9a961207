"""The whole path, measured: submitted through the wire format, expanded, leased, composed, signed, sent, settled.

Nothing is off while this is measured: the store keeps its append-only file (everysec), metrics and the log are on.
"""

import tempfile
import time
from io import BytesIO
from pathlib import Path

import trio
from rich.console import Console
from rich.table import Table

from sender.queue.base import Queue
from tests.bench.rig import (
    DOMAINS,
    Case,
    Spent,
    compile_sink,
    cpu_by_role,
    receiving_side,
    running,
    signature_us,
    sink_report,
)
from workers.commands.submit import submit
from workers.store import open_configured_queue

ROLES = ("delivery", "signer", "expander", "scheduler", "supervisor", "store", "sink")
_OURS = ("delivery", "signer", "expander", "scheduler", "supervisor", "store")

CASES = (
    Case(name="plain"),
    Case(name="plain, smtp-sink", sink="smtp-sink"),
    Case(name="STARTTLS", tls=True),
    Case(name="STARTTLS + Ed25519", tls=True, sign="ed25519-sha256"),
    Case(name="STARTTLS + RSA-2048", tls=True, sign="rsa-sha256"),
    Case(name="the same, group", tls=True, sign="rsa-sha256", pipelining="group"),
    Case(name="the same, lockstep", tls=True, sign="rsa-sha256", pipelining="lockstep", messages=10_000),
    Case(name="the same, BDAT", tls=True, sign="rsa-sha256", bdat=True),
)


async def measure(case: Case) -> Spent:
    """Send the case's messages and account for every processor second."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        with receiving_side(case, directory, compile_sink(directory)) as sink:
            async with (
                running(case, directory) as (config, fleet),
                open_configured_queue(config, patience_s=30) as (settings, queue),
            ):
                await trio.sleep(6)  # every process has started: what follows is work
                before = cpu_by_role(fleet.pid, sink.pid)
                began = time.monotonic()
                await submit(_campaign(directory, case), BytesIO(_rows(case)), "bench", settings, queue)
                await _finished(queue, case.messages)
                seconds = time.monotonic() - began
                after = cpu_by_role(fleet.pid, sink.pid)
            cpu_us = {role: (after[role] - before[role]) / case.messages * 1e6 for role in ROLES}
            return Spent(seconds=seconds, cpu_us=cpu_us, sink=sink_report(sink))


def _campaign(directory: Path, case: Case) -> Path:
    """Three merge fields in a text of the case's size."""
    line = "The new season has come, and with it all that we have worked on through the winter.\n"
    text = "Hello {{ name }} in {{ city }}, your code is {{ code }}.\n" + line * (case.octets // len(line) - 8)
    (directory / "text.txt").write_text(text)
    path = directory / "bench.toml"
    path.write_text('from = "Bench <bench@bench.example>"\nsubject = "Hello {{ name }}"\ntext_file = "text.txt"\n')
    return path


def _rows(case: Case) -> bytes:
    rows = (f"reader{n}@domain{n % DOMAINS}.example,Ann{n},Lyon,{n:06}\n" for n in range(case.messages))
    return ("to,name,city,code\n" + "".join(rows)).encode()


async def _finished(queue: Queue, messages: int) -> None:
    with trio.fail_after(120):
        while True:
            status = await queue.status(["bench"])
            if status and status[0].complete and status[0].finished >= messages:
                return
            await trio.sleep(0.1)


def run(cases: tuple[Case, ...] = CASES) -> None:
    """Measure every case and print the table."""
    console = Console(width=140)
    s = signature_us()
    table = Table(
        title=f"S, one RSA-2048 signature: {s:.0f} µs of CPU; 10 kB messages to {DOMAINS} receivers; CPU in µs a message"
    )
    table.add_column("case")
    for title in ("msg/s", "ours", "/ S", *ROLES, "turns"):
        table.add_column(title, justify="right")
    for case in cases:
        spent = trio.run(measure, case)
        ours = sum(spent.cpu_us[role] for role in _OURS)
        turns = f"{spent.sink['turns'] / case.messages:.2f}" if "turns" in spent.sink else "-"
        cells = [f"{case.messages / spent.seconds:,.0f}", f"{ours:.0f}", f"{ours / s:.2f}"]
        cells += [f"{spent.cpu_us[role]:.0f}" for role in ROLES]
        table.add_row(case.name, *cells, turns)
    console.print(table)
