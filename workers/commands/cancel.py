"""`penstock cancel`: campaigns end, for good."""

from dataclasses import replace
from pathlib import Path

import click
import trio

from sender.explaining.explanation import counted
from sender.model import State
from sender.queue.base import CampaignStatus
from sender.queue.control import Control
from workers.commands.options import config_option
from workers.commands.words import Spoken, campaigns_argument, said, say, why_option


@click.command()
@campaigns_argument
@why_option
@config_option
def command(campaigns: tuple[str, ...], why: str, config: Path | None) -> None:
    """End CAMPAIGN for good: what is left ends as cancelled.

    That can't be taken back. To stop it for a while, see `penstock pause`.
    """
    for spoken in trio.run(_cancel, campaigns, why, config):
        click.echo(_answer(spoken))


async def _cancel(campaigns: tuple[str, ...], why: str, config: Path | None) -> list[Spoken]:
    return await say(campaigns, config, why, change=_ended, objection=_objection)


def _ended(word: Control) -> Control:
    return word if word.ended else replace(word, ended=State.CANCELLED)


def _objection(status: CampaignStatus, word: Control) -> str:
    over = status.complete and not status.queued and not word.ended
    return "complete; there is nothing left to cancel" if over else ""


def _answer(spoken: Spoken) -> str:
    status = spoken.status
    if not spoken.changed:
        return f"{status.campaign}: was cancelled already{said(spoken.before)}"
    unread = "" if status.complete else ", and so do those that have not been read yet"
    return (
        f"{status.campaign}: cancelled. What is queued ends as cancelled, {counted(status.queued, 'recipient')}{unread}; "
        f"{status.finished:,} had ended before. What is at its end of data still goes out"
    )
