"""`penstock pause`: campaigns stop being sent until `penstock resume`."""

from dataclasses import replace
from pathlib import Path

import click
import trio

from sender.explaining.explanation import counted
from sender.queue.base import CampaignStatus
from sender.queue.control import Control
from workers.commands.options import config_option
from workers.commands.words import Spoken, campaigns_argument, said, say, why_option


@click.command()
@campaigns_argument
@why_option
@config_option
def command(campaigns: tuple[str, ...], why: str, config: Path | None) -> None:
    """Stop sending CAMPAIGN until `penstock resume`.

    That takes a second or two, on all hosts. Nothing of it is lost.
    """
    for spoken in trio.run(_pause, campaigns, why, config):
        click.echo(_answer(spoken))


async def _pause(campaigns: tuple[str, ...], why: str, config: Path | None) -> list[Spoken]:
    return await say(campaigns, config, why, change=lambda word: replace(word, paused=True), objection=_objection)


def _objection(status: CampaignStatus, word: Control) -> str:
    if word.ended:
        return f"{word.ended}{said(word)}; there is nothing left to pause"
    return "complete; there is nothing left to pause" if status.complete and not status.queued else ""


def _answer(spoken: Spoken) -> str:
    status = spoken.status
    if not spoken.changed:
        return f"{status.campaign}: was paused already{said(spoken.before)}"
    return (
        f"{status.campaign}: paused with {counted(status.queued, 'recipient')} queued. Workers stop within a second or two; "
        "what is at its end of data by then still goes out"
    )
