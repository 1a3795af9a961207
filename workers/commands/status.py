"""`penstock status`: where campaigns stand, by receiver and state, as a table or JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import trio
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sender.explaining.campaign_rows import CampaignRow, campaign_rows
from sender.explaining.documents import condition_document
from sender.explaining.explanation import counted
from sender.explaining.lanes import told
from sender.model import State
from sender.queue.base import CampaignStatus
from workers.commands.lane_words import in_force
from workers.commands.options import config_option
from workers.commands.words import unknown
from workers.store import open_configured_queue

_RECEIVERS_SHOWN = 40  # a list of a million has many thousands; --json has them all


@click.command()
@click.argument("campaign", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@config_option
def command(campaign: str | None, as_json: bool, config: Path | None) -> None:
    """Show counts by state and receiver.

    Of CAMPAIGN, or of all campaigns in a line each: queued, final (other: neither delivered nor rejected), and batches of
    recipients that wait in the inbox.
    """
    if campaign:
        line, held = trio.run(_one, campaign, config)
        if as_json:
            doing = condition_document(line.condition)
            _print_json({**as_document(line.status), "doing": doing, "lanes_held": [name for name, _ in held]})
        else:
            words = [Text(f"lanes {name}: {told}") for name, told in held]
            now = Text(f"now: {line.condition.text()}")
            Console().print(by_receiver(line.status), _summary(line.status), now, *words, sep="\n")
    else:
        statuses = trio.run(_all, config)
        if as_json:
            _print_json([as_document(status) for status in statuses])
        elif not statuses:
            click.echo("no campaign")
        else:
            Console().print(overview(statuses))


async def _one(campaign: str, config: Path | None) -> tuple[CampaignRow, list[tuple[str, str]]]:
    """The campaign, and the lanes that operators hold: it may wait for one of them."""
    async with open_configured_queue(config) as (_, queue):
        now = await queue.time()
        lines = await campaign_rows(queue, [campaign], now)
        if not lines:
            raise await unknown(queue, campaign)
        held = [(hold.name, told(hold, now)) for hold in in_force(await queue.lane_holds(), now)]
    return lines[0], held


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
        "parked": status.parked,
        "states": {str(state): _total(status, state) for state in State},
        "receivers": dict(sorted(receivers.items())),
    }


def by_receiver(status: CampaignStatus) -> Table:
    """A row a receiver, a column a state that occurs; of very many receivers those with the most recipients."""
    states = [state for state in State if _total(status, state)]
    table = Table(title=f"campaign {status.campaign}")
    table.add_column("receiver")
    for title in (*map(str, states), "deferrals"):
        table.add_column(title, justify="right")
    largest, rest = _largest(status)
    for receiver in largest:
        table.add_row(receiver, *_numbers(status, [receiver], states))
    if rest:
        table.add_row(f"{len(rest):,} others", *_numbers(status, rest, states))
    return table


def _largest(status: CampaignStatus) -> tuple[list[str], list[str]]:
    """The receivers that are shown by themselves, by name, and all others."""
    sizes = Counter(status.deferrals.keys())
    for (receiver, _), count in status.final.items():
        sizes[receiver] += count
    shown = [receiver for receiver, _ in sizes.most_common(_RECEIVERS_SHOWN)]
    return sorted(shown, key=lambda name: (name == "-", name)), sorted(sizes.keys() - set(shown))


def _numbers(status: CampaignStatus, receivers: Sequence[str], states: Sequence[State]) -> Iterator[str]:
    """A row's cells behind its name."""
    for state in states:
        yield f"{sum(status.final.get((receiver, state), 0) for receiver in receivers):,}"
    yield f"{sum(status.deferrals.get(receiver, 0) for receiver in receivers):,}"


def overview(statuses: Sequence[CampaignStatus]) -> Table:
    """A row a campaign; no number is cut on a terminal of 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("campaign", overflow="fold")
    for title in ("recipients", "queued", "delivered", "rejected", "other", "inbox"):
        table.add_column(title, justify="right", no_wrap=True)
    for status in statuses:
        delivered, rejected = _total(status, State.DELIVERED), _total(status, State.REJECTED)
        other = status.finished - delivered - rejected
        numbers = (status.accepted, status.queued, delivered, rejected, other, status.waiting_batches)
        table.add_row(status.campaign, *(f"{number:,}" for number in numbers))
    return table


def _summary(status: CampaignStatus) -> str:
    waiting = counted(status.waiting_batches, "batch")
    rest = "all of the list is read" if status.complete else f"{waiting} in the inbox, more may come"
    doubts = f"\n{status.parked:,} in doubt: `penstock doubts list {status.campaign}`" if status.parked else ""
    return f"{counted(status.accepted, 'recipient')} = {status.finished:,} final + {status.queued:,} queued; {rest}" + doubts


def _total(status: CampaignStatus, wanted: State) -> int:
    return sum(count for (_, state), count in status.final.items() if state is wanted)
