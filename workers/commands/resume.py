"""`penstock resume`: campaigns that were paused go on."""

from dataclasses import replace
from pathlib import Path

import click
import trio

from sender.explanation import counted
from sender.queue.base import CampaignStatus
from sender.queue.control import Control
from workers.commands.options import config_option
from workers.commands.words import Spoken, campaigns_argument, said, say, why_option


@click.command()
@campaigns_argument
@why_option
@config_option
def command(campaigns: tuple[str, ...], why: str, config: Path | None) -> None:
    """Let CAMPAIGN go on after `penstock pause`.

    Its own start, windows, deadline and rate still hold.
    """
    for spoken in trio.run(_resume, campaigns, why, config):
        click.echo(_answer(spoken))


async def _resume(campaigns: tuple[str, ...], why: str, config: Path | None) -> list[Spoken]:
    return await say(campaigns, config, why, change=lambda word: replace(word, paused=False), objection=_objection)


def _objection(status: CampaignStatus, word: Control) -> str:
    if word.ended:
        return f"{word.ended}{said(word)}; that is for good"
    return "complete; there is nothing left to resume" if status.complete and not status.queued else ""


def _answer(spoken: Spoken) -> str:
    status = spoken.status
    if not spoken.changed:
        return f"{status.campaign}: is not paused; `penstock campaigns` says what it is doing"
    return f"{status.campaign}: goes on with {counted(status.queued, 'recipient')} queued"
