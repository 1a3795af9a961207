"""`penstock submit`: a campaign and its recipients into the inbox. A repeat of the same submission adds nothing.

1. All that the files can tell is checked before the store is asked for anything.
2. The queue knows batches of recipients by their number alone. So a known id is held against what the store says of it: once
   all its recipients have been read, nothing can be added, and a list of another length is refused as another list.
3. Before that, batches whose number is known are left out, and the output says how many and what that means.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from sender.assembly import campaigns
from sender.condition import schedule_of
from sender.content.campaign_file import load as load_campaign
from sender.content.spec import CampaignSpec, dump
from sender.content.template import compile_campaign
from sender.errors import BackendError, ConfigError, ConfigErrors
from sender.explaining.explanation import counted
from sender.policy.schedule import FOR_EVER, closed
from sender.queue import inbox
from sender.queue.base import CampaignStatus, Queue, RowBatch
from sender.queue.memory import MemoryQueue
from sender.settings import Settings, load
from workers.commands.options import config_option
from workers.recipients import Recipients
from workers.store import connected

_OTHER = "another list needs another --id"
_BATCHES_AT_ONCE = 16  # a submission never holds more than this in memory


@click.command()
@click.argument("campaign_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("recipients", type=click.File("rb"))
@click.option("--id", "campaign_id", help="The campaign's id; the name of CAMPAIGN_FILE without its ending if not given.")
@config_option
def command(campaign_file: Path, recipients: BinaryIO, campaign_id: str | None, config: Path | None) -> None:
    """Submit a campaign to a list of recipients.

    CAMPAIGN_FILE is TOML; RECIPIENTS is CSV or JSON lines, - for standard input. A repeat adds nothing.
    """
    trio.run(_submit, campaign_file, recipients, campaign_id or campaign_file.stem, config)


async def _submit(campaign_file: Path, stream: BinaryIO, campaign_id: str, config: Path | None) -> None:
    settings = load(config)
    submission = check(campaign_file, stream, campaign_id, settings)
    async with connected(settings, 0.0, fit=True) as queue:
        await hand_over(submission, queue)


async def submit(campaign_file: Path, stream: BinaryIO, campaign_id: str, settings: Settings, queue: Queue) -> None:
    """Check a campaign against this configuration and hand it over with all its recipients."""
    await hand_over(check(campaign_file, stream, campaign_id, settings), queue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A campaign that was checked, and its recipients, still to be read."""

    campaign: str
    spec: CampaignSpec
    recipients: Recipients
    size: int | None  # octets of the recipients, where that is known


def check(campaign_file: Path, stream: BinaryIO, campaign_id: str, settings: Settings) -> Submission:
    """All that can be said before the store is asked; raises ConfigErrors or ConfigError."""
    try:
        inbox.campaign_id(campaign_id)
    except ValueError as error:
        raise ConfigError("--id", "", str(error)) from error
    spec = load_campaign(campaign_file)
    recipients = Recipients(stream, getattr(stream, "name", "recipients"))
    campaigns(settings, MemoryQueue()).check(campaign_id, dump(spec))  # to check asks no queue
    _check_columns(spec, recipients, str(campaign_file))
    _check_times(spec, str(campaign_file))
    return Submission(campaign=campaign_id, spec=spec, recipients=recipients, size=_size(stream))


async def hand_over(submission: Submission, queue: Queue) -> None:
    """Write a submission to the inbox; raises ConfigError where its id is another submission's, or its list is empty."""
    batches = _some(submission.recipients)
    await _announce(queue, submission.campaign, submission.spec)
    known = await queue.status([submission.campaign])
    if known and known[0].complete and not known[0].waiting_batches:
        _compare(submission.campaign, batches, known[0])
    else:
        await _add(queue, submission, batches)


def _some(recipients: Recipients) -> Iterator[RowBatch]:
    """The batches of a list; ConfigError where there is none, since an empty campaign would use its id up."""
    batches = recipients.batches()
    first = next(batches, None)
    if first is None:
        raise ConfigError(recipients.name, "", "no recipients in it: nothing was submitted")
    return chain([first], batches)


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


def _check_times(spec: CampaignSpec, file: str) -> None:
    """A campaign of which nothing could ever be sent is a slip of the pen."""
    if spec.deadline is None:
        return
    now, deadline = time.time(), spec.deadline.isoformat()
    if spec.deadline.timestamp() <= now:
        raise ConfigErrors([ConfigError(file, "deadline", f"{deadline} has passed: everybody would end as expired")])
    shut = closed(schedule_of(spec), now)
    if shut is not None and shut.covers(now) and shut.end == FOR_EVER:
        why = f"none opens before the deadline, {deadline}: everybody would end as expired"
        raise ConfigErrors([ConfigError(file, "windows", why)])


async def _announce(queue: Queue, campaign_id: str, spec: CampaignSpec) -> None:
    document = dump(spec)
    known = await queue.spec(campaign_id)
    if known is not None and known != document:
        raise ConfigError(f"campaign {campaign_id}", "", "there is one of that id with other content: give another --id")
    if known is None:
        await queue.announce(campaign_id, document)


def _compare(campaign: str, batches: Iterator[RowBatch], status: CampaignStatus) -> None:
    """All recipients of this id were read before: a list of another length is another list, and is not dropped in silence."""
    rows = sum(map(_rows, batches))
    if rows != status.accepted:
        there = counted(status.accepted, "recipient")
        why = f"complete with {there}; this list has {rows:,} and was NOT added: give another --id"
        raise ConfigError(f"campaign {campaign}", "", why)
    click.echo(f"{campaign}: complete since an earlier submission of {counted(rows, 'recipient')}; nothing was added.")
    click.echo(f"If this is not that list, it was NOT submitted: {_OTHER}.")


async def _add(queue: Queue, submission: Submission, batches: Iterator[RowBatch]) -> None:
    campaign = submission.campaign
    added = count = rows = 0
    with _progress() as progress:
        task = progress.add_task(campaign, total=submission.size)
        while some := list(islice(batches, _BATCHES_AT_ONCE)):
            try:
                added += await queue.add_rows(campaign, some)
            except BackendError as error:
                raise BackendError(f"{error}\n{_unfinished(campaign, rows)}") from error
            count += len(some)
            rows += sum(map(_rows, some))
            progress.update(task, completed=submission.recipients.octets)
    await queue.close_rows(campaign, count)
    if added == count:
        click.echo(f"{campaign}: {counted(rows, 'recipient')} submitted")
        return
    click.echo(f"{campaign}: {counted(rows, 'recipient')} read; {added} of {counted(count, 'batch')} submitted.")
    click.echo(f"{counted(count - added, 'batch')} NOT added: an earlier submission has brought their numbers.")
    click.echo(f"That is right for a repeat of the same list, and for no other: {_OTHER}.")


def _unfinished(campaign: str, rows: int) -> str:
    return (
        f"{campaign}: {counted(rows, 'recipient')} taken before that; submit the list again: the rest is added, none is doubled"
    )


def _rows(batch: RowBatch) -> int:
    return batch.rows.count(b"\n") + 1


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
