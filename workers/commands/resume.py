"""`penstock resume`: campaigns that were paused and lanes that were held go on.

One word for both, because what stopped is what goes on. With a `/` it means lanes. A name alone means what stands under it: a
hold on that source or receiver, or a campaign; where it could be both, nothing is done and the answer says how to write it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import trio

from sender.errors import ConfigError, ConfigErrors
from sender.explaining.explanation import counted, joined
from sender.explaining.lanes import told
from sender.queue.base import CampaignStatus, Queue
from sender.queue.control import Control
from sender.queue.lane_holds import ANY, LaneHold
from sender.warming.herald import LANES_RESUMED
from workers.commands.lane_words import in_force, record
from workers.commands.options import config_option
from workers.commands.words import Spoken, check_why, said, say, speaker, why_option
from workers.store import open_configured_queue


@click.command(short_help="Let paused campaigns and held lanes go on.")
@click.argument("subjects", nargs=-1, required=True, metavar="CAMPAIGN|LANE|SOURCE|RECEIVER...")
@why_option
@config_option
def command(subjects: tuple[str, ...], why: str, config: Path | None) -> None:
    """Let campaigns go on after `penstock pause`, and lanes after `penstock hold`.

    A campaign's own start, windows, deadline and rate still hold. A lane begins with one connection.
    """
    for line in trio.run(_resume, subjects, why, config):
        click.echo(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meant:
    """What the command line means."""

    holds: Sequence[LaneHold]
    campaigns: Sequence[str]


async def _resume(subjects: Sequence[str], why: str, config: Path | None) -> list[str]:
    """All that can be wrong is said before anything goes on: the campaigns' part is checked as a whole, then the lanes go."""
    check_why(why)
    async with open_configured_queue(config) as (_, queue):
        meant = await _read(subjects, queue)
    spoken: list[Spoken] = []
    if meant.campaigns:
        spoken = await say(meant.campaigns, config, why, change=lambda word: replace(word, paused=False), objection=_objection)
    async with open_configured_queue(config) as (settings, queue):
        now, names = await queue.time(), [hold.name for hold in meant.holds]
        await queue.free_lanes(names)
        if names:
            await record(queue, names, LANES_RESUMED, why, by=speaker(settings), at=now)
    return [
        *(f"{hold.name}: goes on, from one connection; it was {told(hold, now)}" for hold in meant.holds),
        *map(_answer, spoken),
    ]


async def _read(subjects: Sequence[str], queue: Queue) -> _Meant:
    """Which holds and which campaigns; raises ConfigErrors with all that is unclear."""
    stand = in_force(await queue.lane_holds(), await queue.time())
    names = [name for name in dict.fromkeys(subjects) if "/" not in name]
    paused = {name for name, word in (await queue.controls(names)).items() if word.paused}
    holds, campaigns, errors = dict[str, LaneHold](), list[str](), list[ConfigError]()
    for subject in dict.fromkeys(subjects):
        found = [hold for hold in stand if subject in _names(hold)]
        if not found and "/" not in subject:
            campaigns.append(subject)
        elif len(found) == 1 and subject not in paused:
            holds[found[0].name] = found[0]
        else:
            errors.append(ConfigError("LANE", subject, _unclear(found, stand, subject in paused)))
    if errors:
        raise ConfigErrors(errors)
    return _Meant(holds=list(holds.values()), campaigns=campaigns)


def _names(hold: LaneHold) -> list[str]:
    """The ways to write whom a hold is about."""
    alone = [one for one, other in ((hold.source, hold.receiver), (hold.receiver, hold.source)) if other == ANY and one != ANY]
    return [hold.name, *alone]


def _unclear(found: Sequence[LaneHold], stand: Sequence[LaneHold], paused: bool) -> str:
    if found:
        lanes = " and ".join(hold.name for hold in found)
        return f"held are {lanes}{', and a campaign of this name is paused' if paused else ''}: write {found[0].name} first"
    names = joined([hold.name for hold in stand], 10)
    return (
        f"nobody holds that; held {'is' if len(stand) == 1 else 'are'}: {names}" if stand else "nobody holds that, nor any lane"
    )


def _objection(status: CampaignStatus, word: Control) -> str:
    if word.ended:
        return f"{word.ended}{said(word)}; that is for good"
    return "complete; there is nothing left to resume" if status.complete and not status.queued else ""


def _answer(spoken: Spoken) -> str:
    status = spoken.status
    if not spoken.changed:
        return f"{status.campaign}: is not paused; `penstock campaigns` says what it is doing"
    return f"{status.campaign}: goes on with {counted(status.queued, 'recipient')} queued"
