"""`penstock campaigns`: what each campaign is doing now, why, until when, and how far it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sender.condition import Condition, Phase, condition, schedule_of
from sender.content.spec import CampaignSpec, parse
from sender.errors import ConfigErrors
from sender.policy.schedule import Schedule
from sender.queue.base import CampaignStatus, Queue
from sender.schema import rate_text
from workers.commands.options import config_option
from workers.store import open_configured_queue

_AT_ONCE = 200  # campaigns in one call
_OVER = (Phase.COMPLETE, Phase.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One campaign as it is shown."""

    status: CampaignStatus
    condition: Condition
    spec: CampaignSpec | None  # None once the campaign is finished and its content gone

    @property
    def over(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.condition.phase in _OVER and self.status.complete and not self.status.queued


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
        click.echo(msgspec.json.format(msgspec.json.encode([as_document(line) for line in lines])).decode())
    elif not lines:
        click.echo(f"no campaign is under way; --all shows {len(known):,} that are over" if known else "no campaign")
    else:
        Console().print(table(lines))


async def _fetch(config: Path | None) -> list[Line]:
    async with open_configured_queue(config) as (_, queue):
        names, now = await queue.campaigns(), await queue.time()
        return [
            line for start in range(0, len(names), _AT_ONCE) for line in await lines_of(queue, names[start:][:_AT_ONCE], now)
        ]


async def lines_of(queue: Queue, names: Sequence[str], now: float) -> list[Line]:
    """These campaigns, as far as the queue knows them."""
    words = await queue.controls(names)
    lines = []
    for status in await queue.status(names):
        finished = status.complete and not status.queued
        spec = None if finished else _read(status.campaign, await queue.spec(status.campaign))
        schedule = schedule_of(spec) if spec is not None else Schedule()
        doing = condition(words.get(status.campaign), schedule, status, now)
        lines.append(Line(status=status, condition=doing, spec=spec))
    return lines


def _read(campaign: str, document: bytes | None) -> CampaignSpec | None:
    try:
        return parse(document, file=f"campaign {campaign}") if document is not None else None
    except ConfigErrors:  # accepted by a newer version: what can be known of it is shown all the same
        return None


def as_document(line: Line) -> dict[str, Any]:
    """One campaign for scripts; times in Unix seconds, null where there is none."""
    status, doing, spec = line.status, line.condition, line.spec
    return {
        "campaign": status.campaign,
        **as_condition(doing),
        "priority": spec.priority if spec else None,
        "rate": rate_text(spec.rate) if spec and spec.rate else None,
        "accepted": status.accepted,
        "finished": status.finished,
        "queued": status.queued,
        "waiting_batches": status.waiting_batches,
        "complete": status.complete,
    }


def as_condition(doing: Condition) -> Mapping[str, Any]:
    """What a campaign is doing, for scripts."""
    return {
        "state": str(doing.phase),
        "until": doing.until,
        "by": doing.by or None,
        "at": doing.at or None,
        "why": doing.why or None,
    }


def table(lines: Sequence[Line]) -> Table:
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


def _cells(line: Line) -> Mapping[str, str]:
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
