"""A million recipients from a CSV into the queue: rates of submitting and expanding, memory of both, octets a recipient.

Only an expander runs, so all that is expanded stays queued. The domains are the common ones and a tail of 200 small ones.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis
import trio
from rich.console import Console
from rich.table import Table

from sender.queue.base import CampaignStatus, Queue
from tests.bench.rig import Case, configured, running_alone
from workers.embedded import embedded_valkey
from workers.places import REDIS_URL
from workers.store import open_configured_queue

_RECIPIENTS = 1_000_000
_COMMON = ("gmail.com", "outlook.com", "yahoo.com", "orange.fr", "icloud.com", "free.fr", "laposte.net", "sfr.fr")
_TAIL = 200


def write_rows(path: Path, recipients: int) -> None:
    """Three short merge fields a recipient."""
    with path.open("w") as file:
        file.write("email,name,city,code\n")
        for n in range(recipients):
            domain = _COMMON[n % len(_COMMON)] if n % 10 else f"small{n // 10 % _TAIL}.example"
            file.write(f"reader{n:07}@{domain},Ann{n % 977},Lyon{n % 89},{n % 1_000_000:06}\n")


async def measure(recipients: int) -> list[tuple[str, str]]:
    """Submit and expand, one after the other; what is printed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        rows, campaign = directory / "rows.csv", directory / "intake.toml"
        write_rows(rows, recipients)
        campaign.write_text('from = "b@bench.example"\nsubject = "{{ name }}"\ntext = "{{ city }} {{ code }}"\n')
        async with (
            configured(Case(name="intake"), directory, tail=(*_COMMON, *(f"small{n}.example" for n in range(_TAIL)))) as config,
            embedded_valkey(directory / "state" / "valkey") as url,
        ):
            os.environ[REDIS_URL] = url
            async with open_configured_queue(config) as (_, queue):
                submit_s, submit_mb = _submit(config, campaign, rows)
                began = time.monotonic()
                async with running_alone("expander", config) as expander:
                    status = await _expanded(queue, recipients)
                    expand_s = time.monotonic() - began
                    expand_mb = _peak_mb(expander.pid)
                octets = _used_memory(url) / recipients
        assert status.accepted == recipients
        return [
            ("recipients submitted a second", f"{recipients / submit_s:,.0f}"),
            ("peak memory of submit", f"{submit_mb:.0f} MB"),
            ("recipients expanded a second, its start included", f"{recipients / expand_s:,.0f}"),
            ("peak memory of the expander", f"{expand_mb:.0f} MB"),
            ("octets of Redis a queued envelope, all included", f"{octets:.1f}"),
        ]


def _submit(config: Path, campaign: Path, rows: Path) -> tuple[float, float]:
    """Seconds, and the peak memory in MB of the command as a whole process."""
    command = [sys.executable, "-m", "workers.cli", "submit", str(campaign), str(rows), "--config", str(config)]
    began = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


async def _expanded(queue: Queue, recipients: int) -> CampaignStatus:
    with trio.fail_after(600):
        while True:
            status = await queue.status(["intake"])
            if status and status[0].complete and status[0].accepted >= recipients:
                return status[0]
            await trio.sleep(0.1)


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _used_memory(url: str) -> int:
    with redis.Redis(unix_socket_path=url.removeprefix("unix://")) as client:
        return int(client.info("memory")["used_memory"])


def run(recipients: int = _RECIPIENTS) -> None:
    """Measure and print the table."""
    table = Table(title=f"{recipients:,} recipients with three merge fields, from a CSV", show_header=False)
    for row in trio.run(measure, recipients):
        table.add_row(*row)
    Console(width=140).print(table)
