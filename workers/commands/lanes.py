"""`penstock lanes`: every lane of the fleet, what it does now and what holds it, as a table that stays up to date."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
import trio
from rich.console import Console
from rich.live import Live

from sender.explaining.documents import lanes_document
from sender.explaining.facts import FleetFacts, fleet_facts
from sender.explaining.lane_rows import LaneRow, exact_work, lane_routes, lane_rows
from sender.queue.base import Queue
from sender.queue.lane_holds import LaneHold
from sender.settings import Settings
from workers.commands.lane_words import read_lanes
from workers.commands.lanes_view import WIDEST, lines
from workers.commands.options import config_option
from workers.store import open_configured_queue

_EVERY_S = 1.0
_ROUTES = 2_000  # with work and no lane yet
_FOOT = 1  # lines of the terminal that stay free


@click.command(short_help="Show what each lane does, and what holds it.")
@click.argument("subjects", nargs=-1, metavar="[LANE|SOURCE|RECEIVER]...")
@click.option("--once", is_flag=True, help="Print once and end; so it does where the output is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, once; times in Unix seconds.")
@config_option
def command(subjects: tuple[str, ...], once: bool, as_json: bool, config: Path | None) -> None:
    """Show all lanes, or those of a SOURCE, at a RECEIVER, or LANE (source/receiver).

    A lane is shown while it runs, while it is paused, and while there is work for it. Ctrl-C ends.
    """
    console = Console()
    watch = not (once or as_json) and console.is_terminal
    try:
        trio.run(_show, subjects, config, console, watch, as_json)
    except* KeyboardInterrupt:
        pass


async def _show(subjects: Sequence[str], config: Path | None, console: Console, watch: bool, as_json: bool) -> None:
    async with open_configured_queue(config) as (settings, queue):
        wanted = [read_lanes(text, settings) for text in subjects]
        picture = await look(queue, settings, wanted)
        if as_json:
            document = lanes_document(picture.rows, picture.fleet.holds)
            click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
        elif not watch:
            width = console.width if console.is_terminal else WIDEST
            console.print(lines(picture.rows, picture.fleet, width), soft_wrap=True)
        else:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    most = max(3, console.height - _FOOT)
                    live.update(lines(picture.rows, picture.fleet, console.width, most), refresh=True)
                    await trio.sleep(_EVERY_S)
                    picture = await look(queue, settings, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is shown at a moment."""

    rows: Sequence[LaneRow]
    fleet: FleetFacts


async def look(queue: Queue, settings: Settings, wanted: Sequence[LaneHold] = ()) -> Picture:
    """All lanes that say something or have work, or those that are `wanted` of them."""
    fleet = await fleet_facts(queue, settings, with_tails=False)
    every = lane_routes(fleet, await queue.ready(_ROUTES))
    routes = {lane: route for lane, route in every.items() if not wanted or any(one.covers(lane) for one in wanted)}
    return Picture(rows=lane_rows(fleet, routes, await exact_work(queue, routes)), fleet=fleet)
