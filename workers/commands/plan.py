"""`penstock plan`: what a campaign will come to, before anything is sent. It reads, asks and writes nothing anywhere.

1. The campaign and the list are checked as `penstock submit` checks them.
2. The list is counted by receiver (`workers.planning.census`): DNS is asked, unless `--offline` says not to.
3. Where the store can be reached, it says who is suppressed, where lanes stand, and what others have queued.
4. The forecast is made, once as things are and once with each kind of one more source; then it is shown.
"""

import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
import trio
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from sender.assembly import resolver, retry_curve
from sender.content.template import compile_campaign
from sender.errors import BackendError, ConfigError
from sender.metrics import Metrics
from sender.planning import LATENCY_S, Assumptions, Known, Planner, known_of
from sender.policy.forecast_flow import forecast
from sender.policy.receivers import Profiles
from sender.queue.base import Queue
from sender.schema import seconds
from sender.settings import Settings, load
from workers.commands.options import config_option
from workers.commands.submit import Submission, check
from workers.digests import checked_digests
from workers.planning.census import DOMAINS_MOST, LOOKUPS, Census, Counting, Wanted
from workers.planning.chart import draw
from workers.planning.document import as_document
from workers.planning.report import OneMore, Report
from workers.planning.view import WIDTH, show
from workers.store import connected

_DOMAINS_KEPT = 50_000  # answers of DNS
_NEW_PLAN = "steady"  # what a new source would begin, where none of the pool has a plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the question is put."""

    offline: bool = False
    lookups: int = LOOKUPS
    assumptions: Assumptions = field(default_factory=Assumptions)
    quiet: bool = True  # no progress bar


@click.command()
@click.argument("campaign_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("recipients", type=click.File("rb"))
@click.option("--id", "campaign_id", help="The campaign's id; the name of CAMPAIGN_FILE without its ending if not given.")
@click.option("--offline", is_flag=True, help="Ask no DNS: receivers are known by the domains that their profiles name.")
@click.option(
    "--lookups", type=click.IntRange(0, DOMAINS_MOST), default=LOOKUPS, show_default=True, help="Domains asked about, at most."
)
@click.option(
    "--latency", default=f"{1000 * LATENCY_S:.0f}ms", show_default=True, help="What a message takes on one connection."
)
@click.option("--delivered", type=click.FloatRange(1, 100), help="Percent of attempts that are delivered, if not as measured.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; times in Unix seconds.")
@click.option("--chart", type=click.Path(dir_okay=False, path_type=Path), help="Draw it, too: a file that ends in .svg.")
@config_option
def command(
    campaign_file: Path,
    recipients: BinaryIO,
    campaign_id: str | None,
    offline: bool,
    lookups: int,
    latency: str,
    delivered: float | None,
    as_json: bool,
    chart: Path | None,
    config: Path | None,
) -> None:
    """Say what a campaign will come to before it is sent.

    CAMPAIGN_FILE and RECIPIENTS are as `penstock submit` takes them; nothing is submitted. It says what each receiver will take
    by day and source, when all is done, what spills to warm sources or expires, what holds it back, and what one more source
    would change.
    """
    if chart is not None and chart.suffix != ".svg":
        raise ConfigError("--chart", "", f"{str(chart)!r}: only SVG is drawn; the file's name must end in .svg")
    assumptions = Assumptions(latency_s=_latency(latency), delivered=delivered / 100 if delivered is not None else None)
    options = Options(offline=offline, lookups=lookups, assumptions=assumptions, quiet=as_json or not sys.stderr.isatty())
    settings = load(config)
    submission = check(campaign_file, recipients, campaign_id or campaign_file.stem, settings)
    report = trio.run(_ask, settings, submission, options)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(as_document(report))).decode())
    else:
        show(report, Console(width=None if sys.stdout.isatty() else WIDTH))
    if chart is not None:
        _draw(report, chart)


def _draw(report: Report, chart: Path) -> None:
    try:
        chart.write_text(draw(report), encoding="utf-8")
    except OSError as error:
        raise ConfigError("--chart", "", f"{str(chart)!r} can't be written: {error.strerror}") from error


def _latency(text: str) -> float:
    try:
        found = float(seconds(text))
    except ValueError as error:
        raise ConfigError("--latency", "", str(error)) from error
    if not 0.001 <= found <= 600:
        raise ConfigError("--latency", "", f"{text!r}: expected something from 1ms to 10m")
    return found


async def _ask(settings: Settings, submission: Submission, options: Options) -> Report:
    async with _store(settings) as (queue, why):
        now = await queue.time() if queue is not None else time.time()
        return await plan(settings, submission, queue, options, now, without_store=why)


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[tuple[Queue | None, str]]:
    """The configured queue, or why there is none."""
    async with AsyncExitStack() as stack:
        try:
            queue = await stack.enter_async_context(connected(settings, 0.0))
        except BackendError as error:
            yield None, str(error).partition("\n")[0]
        else:
            yield queue, ""


async def plan(
    settings: Settings, submission: Submission, queue: Queue | None, options: Options, now: float, *, without_store: str = ""
) -> Report:
    """Ask whatever there is to ask, and foresee the campaign."""
    spec, profiles = submission.spec, Profiles.parse(settings.receivers)
    census = await _census(settings, submission, queue, options, profiles, now)
    known = Known()
    if queue is not None:
        known = await known_of(queue, settings, spec, submission.campaign, census.receivers, profiles, now)
    planner = Planner(settings, spec, profiles, retry_curve(settings), census.receivers, known, options.assumptions, now)
    scenario = planner.scenario()
    sources = [source.name for source in settings.sources if source.pool == spec.pool]
    return Report(
        campaign=submission.campaign,
        pool=spec.pool,
        sources=sources,
        zone=scenario.schedule.zone,
        census=census,
        forecast=forecast(scenario),
        one_more=tuple(_one_more(planner, _new_plan(settings, sources, planner.plan_names))),
        latency_s=options.assumptions.latency_s,
        expectations={route.receiver: route.expectation for route in scenario.routes},
        measured=planner.measured if options.assumptions.delivered is None else (),
        offline=options.offline,
        without_store=without_store,
    )


async def _census(
    settings: Settings, submission: Submission, queue: Queue | None, options: Options, profiles: Profiles, now: float
) -> Census:
    spec = submission.spec
    wanted = await _wanted(settings, queue, now) if queue is not None else None
    counting = Counting(compile_campaign(spec), wanted, spec.list)
    with _progress(options.quiet) as progress:
        task = progress.add_task(submission.campaign, total=submission.size)
        await counting.read(submission.recipients, lambda octets: progress.update(task, completed=octets))
    if not counting.census.rows:
        raise ConfigError(submission.recipients.name, "", "no recipients in it: there is nothing to foresee")
    names = None if options.offline else resolver(settings, Metrics(), cache_size=_DOMAINS_KEPT)
    return await counting.settle(profiles, names, options.lookups)


async def _wanted(settings: Settings, queue: Queue, now: float) -> Wanted:
    """How to ask the store who gets mail. One without entries is told no key: this may be no host of the fleet."""
    _, some = await queue.suppressions("", 1)
    if not some:
        return _everybody
    digests = await checked_digests(settings, queue)

    async def ask(addresses: Sequence[str], list_name: str) -> Sequence[bool]:
        found = await queue.suppressed([digests.of(address) for address in addresses], list_name, now)
        return [entry is None for entry in found]

    return ask


async def _everybody(addresses: Sequence[str], list_name: str) -> Sequence[bool]:
    return [True] * len(addresses)


def _new_plan(settings: Settings, sources: Sequence[str], names: Sequence[str]) -> str:
    """The plan that a new source of the pool would begin: that of most of them, else our default; "" where there is neither."""
    chosen = [plan for source in sources for plan in _chosen(settings.warmup.get(source, {}))]
    if chosen:
        return max(sorted(set(chosen)), key=chosen.count)
    return _NEW_PLAN if _NEW_PLAN in names else ""


def _chosen(choices: Mapping[str, str]) -> Iterator[str]:
    yield from (plan for plan in choices.values() if plan != "none")


def _one_more(planner: Planner, new_plan: str) -> Iterator[OneMore]:
    yield OneMore(plan="", forecast=forecast(planner.with_one_more("one more", None)))
    if new_plan:
        yield OneMore(plan=new_plan, forecast=forecast(planner.with_one_more("one more", new_plan)))


def _progress(quiet: bool) -> Progress:
    console = Console(file=sys.stderr)
    return Progress(TextColumn("reading {task.description}"), BarColumn(), DownloadColumn(), console=console, disable=quiet)
