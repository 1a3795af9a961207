"""`penstock campaigns`: what each campaign is doing now, why, until when, and how far it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec
import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sender.explaining.campaign_rows import CampaignRow, campaign_rows
from sender.explaining.documents import campaign_document
from sender.schema import rate_text
from workers.commands.options import config_option
from workers.store import open_configured_queue

_AT_ONCE = 200  # campaigns in one call


@click.command()
@click.option("--all", "with_all", is_flag=True, help="Those that are over as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@config_option
def command(with_all: bool, as_json: bool, config: Path | None) -> None:
    """Show what each campaign is doing.

    Newest first: running, paused, waiting for its start or a window, being cancelled.
    """
    known = trio.run(_fetch, config)
    lines = [line for line in known if with_all or not line.over]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([campaign_document(line) for line in lines])).decode())
    elif not lines:
        click.echo(f"no campaign is under way; --all shows {len(known):,} that are over" if known else "no campaign")
    else:
        Console().print(table(lines))


async def _fetch(config: Path | None) -> list[CampaignRow]:
    async with open_configured_queue(config) as (_, queue):
        names, now = await queue.campaigns(), await queue.time()
        return [
            line
            for start in range(0, len(names), _AT_ONCE)
            for line in await campaign_rows(queue, names[start:][:_AT_ONCE], now)
        ]


def table(lines: Sequence[CampaignRow]) -> Table:
    """A row a campaign. Columns that would say nothing leave their room to the state."""
    rows = [_cells(line) for line in lines]
    optional = {title: any(row[title] not in usual for row in rows) for title, usual in _USUAL.items()}
    titles = [title for title in _COLUMNS if optional.get(title, True)]
    shown = Table()
    for title in titles:
        is_text = title in ("campaign", "state")
        shown.add_column(title, overflow="fold", justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        shown.add_row(*(Text(row[title]) for title in titles))  # somebody's reason is no markup
    return shown


_COLUMNS = ("campaign", "state", "priority", "rate", "recipients", "final", "queued")
_USUAL = {"priority": ("", "5"), "rate": ("",)}  # 5 is the priority of those that name none


def _cells(line: CampaignRow) -> Mapping[str, str]:
    status, spec = line.status, line.spec
    share = f" ({100 * status.finished // status.accepted}%)" if status.accepted else ""  # 100% is all of them
    return {
        "campaign": status.campaign,
        "state": line.condition.text(),
        "priority": str(spec.priority) if spec else "",
        "rate": rate_text(spec.rate) if spec and spec.rate else "",
        "recipients": f"{status.accepted:,}{'' if status.complete else '+'}",
        "final": f"{status.finished:,}{share}",
        "queued": f"{status.queued:,}",
    }
