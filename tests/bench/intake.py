"""A million recipients from a CSV into the queue: rates of submitting and expanding, memory of both, octets a recipient.

Only an expander runs, so all that is expanded stays queued. The domains are the common ones and a tail of 200 small ones.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import redis
import trio

from sender.queue.base import CampaignStatus, Queue
from tests.bench.account import peak_mb
from tests.bench.figures import Columns, Figures, Row, show
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
            random = n * 2_654_435_761 % 1_000_003  # without a pattern that compression could find
            file.write(f"reader{n:08}@{domain},Ann{random % 977},Lyon{random % 89},{random:07}\n")


_COLUMNS: Columns = (
    ("submitted a second", "submitted_per_s", ",.0f"),
    ("submit, MB", "submit_peak_mb", ".0f"),
    ("expanded a second, its start included", "expanded_per_s", ",.0f"),
    ("expander, MB", "expander_peak_mb", ".0f"),
    ("store, MB", "store_mb", ",.0f"),
    ("octets of the store a recipient", "store_octets_each", ".1f"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What submitting and expanding a list came to; memory in octets of the store, peaks in MB of a process."""

    recipients: int
    submit_s: float
    submit_mb: float
    expand_s: float
    expand_mb: float
    store: int

    def figures(self) -> Figures:
        return {
            "submitted_per_s": self.recipients / self.submit_s,
            "submit_peak_mb": self.submit_mb,
            "expanded_per_s": self.recipients / self.expand_s,
            "expander_peak_mb": self.expand_mb,
            "store_mb": self.store / 1e6,
            "store_octets_each": self.store / self.recipients,
        }


async def measure(recipients: int) -> Intake:
    """Submit and expand, one after the other."""
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
                    status = await _expanded(queue, recipients, expander)
                    expand_s = time.monotonic() - began
                    expand_mb = peak_mb(expander.pid)
                store = _used_memory(url)
        assert status.accepted == recipients
        return Intake(
            recipients=recipients,
            submit_s=submit_s,
            submit_mb=submit_mb,
            expand_s=expand_s,
            expand_mb=expand_mb,
            store=store,
        )


def _submit(config: Path, campaign: Path, rows: Path) -> tuple[float, float]:
    """Seconds, and the peak memory in MB of the command as a whole process."""
    command = [sys.executable, "-m", "workers.cli", "submit", str(campaign), str(rows), "--config", str(config)]
    began = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


async def _expanded(queue: Queue, recipients: int, expander: trio.Process) -> CampaignStatus:
    with trio.fail_after(900):
        while True:
            assert expander.poll() is None, "the expander has ended"
            status = await queue.status(["intake"])
            if status and status[0].complete and status[0].accepted >= recipients:
                return status[0]
            await trio.sleep(0.1)


def _used_memory(url: str) -> int:
    with redis.Redis(unix_socket_path=url.removeprefix("unix://")) as client:
        return int(client.info("memory")["used_memory"])


def run(recipients: int = _RECIPIENTS) -> list[Row]:
    """Measure and print the table."""
    rows = [Row(who="Penstock", case=f"{recipients:,} recipients", rounds=(trio.run(measure, recipients).figures(),))]
    show("from a CSV with three merge fields into the queue; memory at its peak", rows, _COLUMNS, heads=("", "list"))
    return rows
