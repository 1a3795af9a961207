"""`penstock submit`: a campaign and its recipients into the inbox. A repeat of the same submission adds nothing."""

import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from sender.assembly import campaigns
from sender.content.campaign_file import load as load_campaign
from sender.content.spec import CampaignSpec, dump
from sender.content.template import compile_campaign
from sender.errors import ConfigError, ConfigErrors
from sender.queue.base import Queue, RowBatch
from sender.settings import Settings
from workers.commands.options import config_option
from workers.process import open_configured_queue
from workers.recipients import Recipients

_BATCHES_AT_ONCE = 16  # a submission never holds more than this in memory


@click.command()
@click.argument("campaign_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("recipients", type=click.File("rb"))
@click.option("--id", "campaign_id", help="The campaign's id; the name of CAMPAIGN_FILE without its ending if not given.")
@config_option
def command(campaign_file: Path, recipients: BinaryIO, campaign_id: str | None, config: Path | None) -> None:
    """Submit CAMPAIGN_FILE (TOML) to RECIPIENTS (CSV or JSON lines; - for standard input)."""
    trio.run(_submit, campaign_file, recipients, campaign_id or campaign_file.stem, config)


async def _submit(campaign_file: Path, stream: BinaryIO, campaign_id: str, config: Path | None) -> None:
    async with open_configured_queue(config) as (settings, queue):
        await submit(campaign_file, stream, campaign_id, settings, queue)


async def submit(campaign_file: Path, stream: BinaryIO, campaign_id: str, settings: Settings, queue: Queue) -> None:
    """Check a campaign against this configuration and hand it over with all its recipients."""
    spec = load_campaign(campaign_file)
    recipients = Recipients(stream, getattr(stream, "name", "recipients"))
    campaigns(settings, queue).check(campaign_id, dump(spec))
    _check_columns(spec, recipients, str(campaign_file))
    await _announce(queue, campaign_id, spec)
    await _add(queue, campaign_id, recipients, _size(stream))


def _check_columns(spec: CampaignSpec, recipients: Recipients, file: str) -> None:
    """An undefined merge field is an error now, not a half-empty mail later."""
    if recipients.columns is None:
        return
    missing = compile_campaign(spec).missing(recipients.columns)
    if missing:
        there = ", ".join(recipients.columns)
        raise ConfigErrors(
            [ConfigError(file, name, f"no such column in the recipients; there are: {there}") for name in missing]
        )


async def _announce(queue: Queue, campaign_id: str, spec: CampaignSpec) -> None:
    document = dump(spec)
    known = await queue.spec(campaign_id)
    if known is not None and known != document:
        raise ConfigError(f"campaign {campaign_id}", "", "there is one of that id with other content: give another --id")
    if known is None:
        await queue.announce(campaign_id, document)


async def _add(queue: Queue, campaign_id: str, recipients: Recipients, size: int | None) -> None:
    batches, added, rows = recipients.batches(), 0, 0
    count = 0
    with _progress() as progress:
        task = progress.add_task(campaign_id, total=size)
        while some := list(islice(batches, _BATCHES_AT_ONCE)):
            added += await queue.add_rows(campaign_id, some)
            count += len(some)
            rows += sum(_rows(some))
            progress.update(task, completed=recipients.octets)
    await queue.close_rows(campaign_id, count)
    repeated = f"; {count - added} of {count} batches were there already" if added < count else ""
    click.echo(f"{campaign_id}: {rows:,} recipients submitted{repeated}")


def _rows(batches: list[RowBatch]) -> Iterator[int]:
    return (batch.rows.count(b"\n") + 1 for batch in batches)


def _size(stream: BinaryIO) -> int | None:
    """The input's size where it has one: a pipe's is not known."""
    try:
        return os.fstat(stream.fileno()).st_size or None
    except OSError:
        return None


def _progress() -> Progress:
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
