"""`penstock status`: where campaigns stand, by receiver and state, as a table or JSON."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sender.errors import ConfigError
from sender.model import State
from sender.queue.base import CampaignStatus
from workers.commands.campaigns import Line, as_condition, lines_of
from workers.commands.options import config_option
from workers.store import open_configured_queue


@click.command()
@click.argument("campaign", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@config_option
def command(campaign: str | None, as_json: bool, config: Path | None) -> None:
    """Show counts by state and receiver: of CAMPAIGN, or of all campaigns in a line each."""
    if campaign:
        line = trio.run(_one, campaign, config)
        if as_json:
            _print_json({**as_document(line.status), "doing": as_condition(line.condition)})
        else:
            Console().print(by_receiver(line.status), _summary(line.status), Text(line.condition.text()))
    else:
        statuses = trio.run(_all, config)
        if as_json:
            _print_json([as_document(status) for status in statuses])
        else:
            Console().print(overview(statuses))


async def _one(campaign: str, config: Path | None) -> Line:
    async with open_configured_queue(config) as (_, queue):
        lines = await lines_of(queue, [campaign], await queue.time())
    if not lines:
        raise ConfigError(f"campaign {campaign}", "", "the queue knows none of that id")
    return lines[0]


async def _all(config: Path | None) -> Sequence[CampaignStatus]:
    async with open_configured_queue(config) as (_, queue):
        return await queue.status(await queue.campaigns())


def _print_json(document: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


def as_document(status: CampaignStatus) -> dict[str, Any]:
    """The status for scripts: totals, and the same by receiver."""
    receivers: dict[str, dict[str, int]] = defaultdict(dict)
    for (receiver, state), count in status.final.items():
        receivers[receiver][str(state)] = count
    for receiver, count in status.deferrals.items():
        receivers[receiver]["deferrals"] = count
    return {
        "campaign": status.campaign,
        "accepted": status.accepted,
        "queued": status.queued,
        "waiting_batches": status.waiting_batches,
        "complete": status.complete,
        "states": {str(state): _total(status, state) for state in State},
        "receivers": dict(sorted(receivers.items())),
    }


def by_receiver(status: CampaignStatus) -> Table:
    """A row a receiver, a column a state that occurs."""
    states = [state for state in State if _total(status, state)]
    table = Table(title=f"campaign {status.campaign}")
    table.add_column("receiver")
    for title in (*map(str, states), "deferrals"):
        table.add_column(title, justify="right")
    receivers = sorted({receiver for receiver, _ in status.final} | set(status.deferrals), key=lambda name: (name == "-", name))
    for receiver in receivers:
        counts = [f"{status.final.get((receiver, state), 0):,}" for state in states]
        table.add_row(receiver, *counts, f"{status.deferrals.get(receiver, 0):,}")
    return table


def overview(statuses: Sequence[CampaignStatus]) -> Table:
    """A row a campaign."""
    table = Table()
    table.add_column("campaign")
    for title in ("recipients", "queued", "delivered", "rejected", "other final", "inbox batches"):
        table.add_column(title, justify="right")
    for status in statuses:
        delivered, rejected = _total(status, State.DELIVERED), _total(status, State.REJECTED)
        other = status.finished - delivered - rejected
        numbers = (status.accepted, status.queued, delivered, rejected, other, status.waiting_batches)
        table.add_row(status.campaign, *(f"{number:,}" for number in numbers))
    return table


def _summary(status: CampaignStatus) -> str:
    rest = "all recipients read" if status.complete else f"{status.waiting_batches} batches in the inbox, more may come"
    return f"{status.accepted:,} recipients = {status.finished:,} final + {status.queued:,} queued; {rest}"


def _total(status: CampaignStatus, wanted: State) -> int:
    return sum(count for (_, state), count in status.final.items() if state is wanted)
