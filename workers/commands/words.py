"""What pause, resume and cancel share: whose word it is, which campaigns it is about, and writing it down.

1. All that can be wrong is said before the first word is written: ids that nobody knows, campaigns that are over.
2. A word that changes nothing is not written: it keeps who said it first.
3. What must stop is held in the queue at once. All else is the scheduler's: it reads the words about once a second.
"""

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from sender.errors import ConfigError, ConfigErrors
from sender.queue.base import CampaignStatus, Queue
from sender.queue.control import FOR_EVER, Control, Hold
from sender.queue.inbox import campaign_id
from sender.settings import Settings
from sender.warming.audit import Entry
from sender.warming.herald import CAMPAIGN_PAUSED, CAMPAIGN_RESUMED
from workers.places import host_name
from workers.store import open_configured_queue

_WHY_MAX = 500
_ANNOUNCED = 1000  # campaigns that wait to be read: so many are looked through

campaigns_argument = click.argument("campaigns", nargs=-1, required=True, metavar="CAMPAIGN...")
why_option = click.option("--why", default="", help="The reason, for whoever looks later.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What became of a word on one campaign."""

    status: CampaignStatus
    before: Control
    after: Control

    @property
    def changed(self) -> bool:
        return self.before != self.after


async def say(
    campaigns: Sequence[str],
    config: Path | None,
    why: str,
    *,
    change: Callable[[Control], Control],
    objection: Callable[[CampaignStatus, Control], str],
) -> list[Spoken]:
    """Change what stands on these campaigns, or raise ConfigErrors with all objections and change nothing."""
    _check(campaigns, why)
    async with open_configured_queue(config) as (settings, queue):
        before = await _stands(queue, list(dict.fromkeys(campaigns)), objection)
        by, now = speaker(settings), await queue.time()
        spoken = []
        for status, word in before:
            after = change(word)
            if after != word:
                after = await queue.set_control(replace(after, by=by, at=now, why=why))
                await _record(queue, word, after)
            if after.paused or after.ended:
                await queue.hold([Hold(campaign=status.campaign, start=0.0, end=FOR_EVER)])
            spoken.append(Spoken(status=status, before=word, after=after))
        return spoken


async def _record(queue: Queue, before: Control, after: Control) -> None:
    """Tell the audit stream of a pause and its end; that a campaign has ended is told by whoever ends it."""
    if after.paused != before.paused and not after.ended:
        what = CAMPAIGN_PAUSED if after.paused else CAMPAIGN_RESUMED
        entry = Entry(at=after.at, name=f"campaign {after.campaign}", what=what, why=after.why, by=after.by)
        await queue.tell_audit([entry.encode()])


def said(word: Control) -> str:
    """Whose word it is, and the reason."""
    return "".join((f" by {word.by}" if word.by else "", f": {word.why}" if word.why else ""))


async def unknown(queue: Queue, campaign: str) -> ConfigError:
    """What to say of an id that the queue does not know, or not yet."""
    where = f"campaign {campaign}"
    if any(one.campaign == campaign for one in await queue.announcements(_ANNOUNCED)):
        why = "submitted, and no expander has read it yet: try again in a second"
        return ConfigError(where, "", f"{why}, and see `penstock why {campaign}` if it stays so")
    return ConfigError(where, "", "the queue knows none of that id: `penstock campaigns --all` shows those it knows")


def speaker(settings: Settings) -> str:
    """Whose word it is: user@host."""
    return f"{_user()}@{host_name(settings)}"


def check_why(why: str) -> None:
    """ConfigError where this is no reason that can be shown."""
    if strange := next((character for character in why if not character.isprintable()), ""):
        raise ConfigError("--why", "", f"{strange!a} in it; allowed are printable characters on one line")
    if len(why) > _WHY_MAX:
        raise ConfigError("--why", "", f"{len(why)} characters; allowed are up to {_WHY_MAX}")


def _check(campaigns: Sequence[str], why: str) -> None:
    check_why(why)
    for campaign in campaigns:
        try:
            campaign_id(campaign)
        except ValueError as error:
            raise ConfigError("CAMPAIGN", "", str(error)) from error


async def _stands(
    queue: Queue, campaigns: Sequence[str], objection: Callable[[CampaignStatus, Control], str]
) -> list[tuple[CampaignStatus, Control]]:
    """Each campaign with what was said of it so far."""
    words = await queue.controls(campaigns)
    statuses = {status.campaign: status for status in await queue.status(campaigns)}
    found, errors = [], []
    for campaign in campaigns:
        status, word = statuses.get(campaign), words.get(campaign, Control(campaign=campaign))
        if status is None:
            errors.append(await unknown(queue, campaign))
        elif why := objection(status, word):
            errors.append(ConfigError(f"campaign {campaign}", "", why))
        else:
            found.append((status, word))
    if errors:
        raise ConfigErrors(errors)
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container need not know a name for its user
        return str(os.getuid())
