"""`penstock warmup`: where each lane stands in its plan, what happens next and why; and an operator's words on it.

Every word is written down with who said it and why: `penstock warmup audit` shows them, beside what the policy decided.
"""

import difflib
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size

import click
import msgspec
import trio

from sender.errors import ConfigError
from sender.explaining.explanation import counted
from sender.model import LaneId
from sender.policy import by_hand
from sender.policy.plan import Plan
from sender.policy.progress import Progress
from sender.policy.receivers import Profiles
from sender.policy.warmup import Decision
from sender.queue.base import Queue
from sender.queue.warmups import Kept, Use
from sender.settings import Settings
from sender.warming.assignments import Assignments
from sender.warming.audit import Entry
from sender.warming.wards import IDENTITY, Ward, ward_name, wards
from sender.warming.warmer import Standing, look, say
from workers.commands.options import config_option
from workers.commands.warmup_view import as_document, line, table
from workers.commands.words import check_why, speaker, why_option
from workers.store import open_configured_queue

_AUDIT_AT_ONCE = 200
_WARM = "warm"
_NARROWEST = 60  # columns: what is narrower is no terminal

Word = Callable[[Plan, Progress, str, float], Decision]  # plan, progress, by whom, now

_lane = click.argument("lane", metavar="LANE")


@click.group(invoke_without_command=True)
@click.option("--all", "with_all", is_flag=True, help="Those that never sent anything as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@config_option
@click.pass_context
def command(context: click.Context, with_all: bool, as_json: bool, config: Path | None) -> None:
    """Show where each lane stands in its warmup plan.

    Gates show their rate now and where they begin to hold a lane, in per cent; ! marks those that do. LANE in the commands
    below is source/receiver, source/other for all receivers without a profile, or @domain for a sending identity.
    """
    if context.invoked_subcommand is not None:
        return
    standings, now = trio.run(_fetch, config)
    shown = [standing for standing in standings if with_all or standing.kept]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([as_document(standing, now) for standing in shown])).decode())
    elif shown:
        click.echo("\n".join(table(shown, now, max(_NARROWEST, get_terminal_size().columns))))
    if not as_json and len(standings) > len(shown):
        click.echo(f"{len(standings) - len(shown):,} that never sent anything: --all shows them")
    elif not as_json and not standings:
        click.echo("no source and no identity has a warmup plan: `warmup` in sources.toml names one")


@command.command()
@_lane
@why_option
@config_option
def hold(lane: str, why: str, config: Path | None) -> None:
    """Keep LANE at its stage until it is resumed."""
    _speak(lane, why, config, lambda plan, progress, by, now: by_hand.hold(progress, by=by, why=why, now=now))


@command.command()
@_lane
@why_option
@config_option
def resume(lane: str, why: str, config: Path | None) -> None:
    """End what holds LANE, and what has stopped it."""
    _speak(lane, why, config, lambda plan, progress, by, now: by_hand.resume(plan, progress, by=by, why=why, now=now))


@command.command()
@_lane
@why_option
@config_option
def advance(lane: str, why: str, config: Path | None) -> None:
    """Begin the next stage of LANE now."""
    _speak(lane, why, config, lambda plan, progress, by, now: by_hand.advance(plan, progress, by=by, why=why, now=now))


@command.command()
@_lane
@why_option
@config_option
def reset(lane: str, why: str, config: Path | None) -> None:
    """Begin the plan of LANE anew."""
    _speak(lane, why, config, lambda plan, progress, by, now: by_hand.reset(plan, progress, by=by, why=why, now=now))


@command.command("set")
@_lane
@click.argument("stage", metavar="STAGE")
@why_option
@config_option
def set_(lane: str, stage: str, why: str, config: Path | None) -> None:
    """Begin STAGE of LANE now: a number from 1, or warm."""

    def word(plan: Plan, progress: Progress, by: str, now: float) -> Decision:
        return by_hand.put(plan, progress, _stage(plan, stage), by=by, why=why, now=now)

    _speak(lane, why, config, word)


@command.command()
@_lane
@click.argument("complaints", type=click.IntRange(min=1))
@why_option
@config_option
def complain(lane: str, complaints: int, why: str, config: Path | None) -> None:
    """Count COMPLAINTS against LANE, today: from a feedback loop, or a postmaster's page."""
    check_why(why)
    click.echo(trio.run(_complain, lane, complaints, why, config))


@command.command()
@click.argument("lane", required=False, default="")
@click.option("--limit", default=50, type=click.IntRange(min=1), show_default=True, help="Entries, the newest.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON each.")
@config_option
def audit(lane: str, limit: int, as_json: bool, config: Path | None) -> None:
    """Show what was changed, by whom and why: of LANE, or of all. The newest comes first."""
    for entry in trio.run(_audit, lane, limit, config):
        click.echo(entry.encode().decode() if as_json else line(entry))


async def _fetch(config: Path | None) -> tuple[list[Standing], float]:
    async with open_configured_queue(config) as (settings, queue):
        now = await queue.time()
        return await standings(queue, _planned(_wards(settings)[0]), now), now


async def standings(queue: Queue, planned: Mapping[str, Ward], now: float) -> list[Standing]:
    """Where these stand now, as a scheduler would see it."""
    kept = await queue.progress(list(planned))
    used = await queue.use([ward.account for ward in planned.values()], now)
    return [_standing(ward, kept.get(name), used[ward.account], now) for name, ward in planned.items()]


def _standing(ward: Ward, state: Kept | None, use: Use, now: float) -> Standing:
    with _readable(ward):
        return look(ward, state, use, now)[0]


@contextmanager
def _readable(ward: Ward) -> Iterator[None]:
    """What is written of a lane can be read in here, or it is said of which lane it can't."""
    try:
        yield
    except ValueError as error:
        why = f"its progress can't be read: {error}; a newer version of Penstock may have written it"
        raise ConfigError("LANE", ward.name, why) from error


def _speak(lane: str, why: str, config: Path | None, word: Word) -> None:
    check_why(why)
    name, decision = trio.run(_say, lane, config, word)
    click.echo(f"{name}: {decision.what}{': ' + decision.why if decision.why else ''}")
    if still := _still(decision.progress):
        click.echo(f"it is still {still}: penstock warmup resume {shlex.quote(name)} ends that")


def _still(progress: Progress) -> str:
    """What goes on whatever stage a lane was put at; "" where nothing does."""
    if progress.stopped_on(progress.day):
        return "stopped"
    return "held" if progress.held is not None and progress.last != progress.held else ""


async def _say(lane: str, config: Path | None, word: Word) -> tuple[str, Decision]:
    async with open_configured_queue(config) as (settings, queue):
        ward, plan = _named(settings, lane)
        by, now = speaker(settings), await queue.time()
        with _readable(ward):
            return ward.name, await say(queue, ward, lambda progress: word(plan, progress, by, now), now, by)


async def _complain(lane: str, complaints: int, why: str, config: Path | None) -> str:
    async with open_configured_queue(config) as (settings, queue):
        ward, plan = _named(settings, lane)
        by, now = speaker(settings), await queue.time()
        entry = Entry(at=now, name=ward.name, what="complain", why=why, by=by, plan=plan.name, complaints=complaints)
        day = plan.day(now).number
        await queue.complain(ward.account, day, complaints)
        await queue.tell_audit([entry.encode()])
        today = ward.tally((await queue.use([ward.account], now))[ward.account], day)
    return f"{ward.name}: {counted(today.complaints, 'complaint')} today, of {today.delivered:,} delivered"


async def _audit(lane: str, limit: int, config: Path | None) -> list[Entry]:
    async with open_configured_queue(config) as (settings, queue):
        name = _called(settings, lane).name if lane else ""
        found: list[Entry] = []
        cursor = ""
        while len(found) < limit:
            cursor, lines = await queue.audit(cursor, _AUDIT_AT_ONCE)
            found += [entry for entry in map(Entry.decode, lines) if name in ("", entry.name)]
            if not cursor:
                break
    return found[:limit]


def _wards(settings: Settings) -> tuple[Mapping[str, Ward], Assignments]:
    profiles = Profiles.parse(settings.receivers)
    assignments = Assignments.of(settings, profiles)
    return wards(assignments, settings.sources, profiles), assignments


def _planned(every: Mapping[str, Ward]) -> dict[str, Ward]:
    return {name: ward for name, ward in every.items() if ward.plan is not None}


def _named(settings: Settings, lane: str) -> tuple[Ward, Plan]:
    """Whom a command line means, and its plan; ConfigError where nobody is called that, or where it has none."""
    ward = _called(settings, lane)
    if ward.plan is None:
        raise ConfigError("LANE", lane, "it has no warmup plan, and no cap: `warmup` in sources.toml names one")
    return ward, ward.plan


def _called(settings: Settings, lane: str) -> Ward:
    """Whom a command line means, with a plan or without; ConfigError where nobody is called that."""
    every, assignments = _wards(settings)
    source, slash, receiver = lane.partition("/")
    known = any(one.name == source for one in settings.sources)
    name = ward_name(assignments, LaneId(source=source, receiver=receiver)) if known and receiver.startswith("~") else lane
    ward = every.get(name)
    if ward is None:
        raise ConfigError("LANE", lane[:80], "".join(_nobody(lane, slash, every)))
    return ward


def _nobody(lane: str, slash: str, every: Mapping[str, Ward]) -> Iterator[str]:
    near = difflib.get_close_matches(lane, every, 3, 0.75)
    if not slash and not lane.startswith(IDENTITY):
        yield "a lane is source/receiver, like s1/google; a sending identity is @domain"
    else:
        yield "nothing of that name is warmed up"
    if near:
        yield f"; did you mean {' or '.join(near)}?"


def _stage(plan: Plan, text: str) -> int:
    """A stage as an operator names it, counted from 0."""
    stages = len(plan.stages)
    if text == _WARM:
        return stages
    if not text.isdecimal() or not 1 <= int(text) <= stages:
        raise ConfigError("STAGE", text[:40], f"no stage of {plan.name}; allowed are 1 to {stages}, and {_WARM}")
    return int(text) - 1
