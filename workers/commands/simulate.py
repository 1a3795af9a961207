"""`penstock simulate`: weeks of warming up on virtual time, and what each plan would come to."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from sender.settings import Settings, load
from workers.commands.options import config_option
from workers.emulator.world import build
from workers.simulation import mailing as mailings
from workers.simulation.comparison import DEFAULT_PLANS, Played, check_plans, compare
from workers.simulation.record import LaneDay
from workers.simulation.stage import world_options


@click.command(short_help="Compare warmup plans on virtual time.")
@click.option("--days", type=click.IntRange(1, 366), default=45, show_default=True, help="How many days to play.")
@click.option(
    "--plan", "plans", multiple=True, help="A warmup plan; several are compared. Ours and the published ones if not given."
)
@click.option(
    "--mailing",
    "mailing_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A mailing calendar (TOML); a shop's five days a week if not given.",
)
@click.option("--sources", type=click.IntRange(1, 50), default=1, show_default=True, help="Cold sources to warm up.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed comes to the same end.")
@click.option("--trace", is_flag=True, help="Show each day of each lane as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with each day of each lane.")
@config_option
def command(
    days: int,
    plans: tuple[str, ...],
    mailing_file: Path | None,
    sources: int,
    seed: int,
    trace: bool,
    as_json: bool,
    config: Path | None,
) -> None:
    """Play a fleet and a mailing calendar against emulated receivers, and compare warmup plans.

    It sends nothing and needs no store. The receivers judge volume, complaints and unknown users by what is published of the
    real ones; what nobody publishes is ours, and said so beside the numbers. Deferrals count those that are the receiver's
    word on the source; "full volume" is the first day on which a lane sent all that there was for it.
    """
    settings = load(config)
    chosen = plans or tuple(plan for plan in DEFAULT_PLANS if plan in settings.plans)
    check_plans(settings, chosen)
    mailing = _mailing(mailing_file)
    console = Console(stderr=as_json)
    played = list(_play(settings, mailing, chosen, days, sources, seed, console))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([as_document(each) for each in played])).decode())
        return
    console.print(table(played))
    if trace:
        for each in played:
            console.print(trace_table(each))


def _mailing(file: Path | None) -> mailings.Mailing:
    if file is None:
        return mailings.ORDINARY
    return mailings.read(file, frozenset(receiver.name for receiver in build(world_options()).receivers))


def _play(
    settings: Settings, mailing: mailings.Mailing, plans: Sequence[str], days: int, sources: int, seed: int, console: Console
) -> Iterator[Played]:
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        tasks = {plan: progress.add_task(plan, total=days, start=False) for plan in plans}

        def over(plan: str, day: int) -> None:
            progress.start_task(tasks[plan])
            progress.update(tasks[plan], completed=day + 1)

        yield from compare(settings, mailing, plans, days=days, sources=sources, seed=seed, progress=over)


def table(played: Sequence[Played]) -> Table:
    """The plans side by side."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("plan")
    for title in ("full volume", "sent", "deferred", "until full", "per 1,000", "blocked"):
        shown.add_column(title, justify="right")
    for each in played:
        rate = 1_000 * each.held_off / each.sent if each.sent else 0.0
        shown.add_row(
            each.plan,
            f"day {each.full}" if each.full is not None else "never",
            f"{each.sent:,}",
            f"{each.held_off:,}",
            f"{each.held_off_until_full:,}",
            f"{rate:.2f}",
            f"{each.blocked:,}",
        )
    return shown


def trace_table(played: Played) -> Table:
    """Each day of each lane under one plan."""
    shown = Table(title=played.plan, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("day", "lane", "stage", "cap", "asked", "sent", "deferred", "blocked"):
        shown.add_column(title, justify="left" if title == "lane" else "right")
    shown.add_column("what became of it", overflow="fold")
    for entry in played.diary.days:
        shown.add_row(
            str(entry.day + 1),
            str(entry.lane),
            str(entry.stage or "-"),
            f"{entry.cap:,}" if entry.cap is not None else "none",
            f"{entry.asked:,}",
            f"{entry.sent:,}",
            f"{entry.held_off:,}",
            f"{entry.blocked:,}",
            "; ".join(decision.why for decision in entry.changes),
        )
    return shown


def as_document(played: Played) -> dict[str, Any]:
    """One plan for scripts; `full_volume` is the number of the day, null where it was never reached."""
    return {
        "plan": played.plan,
        "days": played.days,
        "full_volume": played.full,
        "full_volume_by_lane": {str(lane): day for lane, day in played.full_by_lane().items()},
        "sent": played.sent,
        "deferred": played.held_off,
        "deferred_until_full": played.held_off_until_full,
        "deferred_for_any_reason": played.deferred,
        "blocked": played.blocked,
        "by_day": [_as_day(entry) for entry in played.diary.days],
    }


def _as_day(entry: LaneDay) -> dict[str, Any]:
    return {
        "day": entry.day + 1,
        "lane": str(entry.lane),
        "stage": entry.stage,
        "cap": entry.cap,
        "asked": entry.asked,
        "sent": entry.sent,
        "deferred": entry.held_off,
        "deferred_for_any_reason": entry.deferred,
        "blocked": entry.blocked,
        "bounced": entry.bounced,
        "unknown_users": entry.unknown,
        "complaints": entry.complaints,
        "reasons": dict(sorted(entry.reasons.items())),
        "changes": [{"what": str(decision.what), "why": decision.why} for decision in entry.changes],
    }
