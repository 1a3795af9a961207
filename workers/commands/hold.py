"""`penstock hold`: lanes stop sending until `penstock resume`, or until their time has passed."""

from dataclasses import replace
from pathlib import Path

import click
import trio

from sender.errors import ConfigError
from sender.explaining.lanes import told
from sender.queue.control import FOR_EVER
from sender.queue.lane_holds import LaneHold
from sender.schema import Seconds, seconds
from sender.warming.audit import NO_END
from sender.warming.herald import LANES_HELD
from workers.commands.lane_words import in_force, read_lanes, record
from workers.commands.options import config_option
from workers.commands.words import check_why, speaker, why_option
from workers.store import open_configured_queue


def _duration(context: click.Context, parameter: click.Parameter, value: str | None) -> Seconds | None:
    try:
        found = seconds(value) if value is not None else None
    except ValueError as error:
        raise ConfigError("--for", "", str(error)) from error
    if found is not None and found <= 0:
        raise ConfigError("--for", "", f"{value!r} is over at once; allowed is more than nothing, like 2h")
    return found


@click.command()
@click.argument("lanes", nargs=-1, required=True, metavar="LANE|SOURCE|RECEIVER...")
@click.option(
    "--for", "for_s", metavar="2h", callback=_duration, help="It ends by itself after this; else by `penstock resume`."
)
@why_option
@config_option
def command(lanes: tuple[str, ...], for_s: Seconds | None, why: str, config: Path | None) -> None:
    """Send nothing more on some lanes.

    LANE is source/receiver, like s1/google; "s1/*" or s1 is all that leaves from that source, "*/google" or google all that
    goes to that receiver; the receiver "other" is all that have no profile. Within two seconds nothing is leased for them on
    any host, and what no session has begun is back in the queue, where the pool's other sources find it. Campaigns are
    held back by `penstock pause`.
    """
    for line in trio.run(_hold, lanes, for_s, why, config):
        click.echo(line)


async def _hold(lanes: tuple[str, ...], for_s: Seconds | None, why: str, config: Path | None) -> list[str]:
    check_why(why)
    async with open_configured_queue(config) as (settings, queue):
        now, who = await queue.time(), speaker(settings)
        wanted = list(dict.fromkeys(read_lanes(text, settings) for text in lanes))
        before = {hold.name: hold for hold in in_force(await queue.lane_holds(), now)}
        until = now + for_s if for_s is not None else NO_END
        holds = [replace(hold, until=until or FOR_EVER, by=who, at=now, why=why) for hold in wanted]
        await queue.hold_lanes(holds)
        await record(queue, [hold.name for hold in holds], LANES_HELD, why, by=who, at=now, until=until)
    return [line for hold in holds for line in _answer(hold, before.get(hold.name), now)]


def _answer(hold: LaneHold, before: LaneHold | None, now: float) -> list[str]:
    lines = [f"{hold.name}: {told(hold, now)}"]
    if before is not None:
        lines.append(f"  in place of: {told(before, now)}")
    lines.append("  workers let go of it within two seconds; what is at its end of data by then still goes out")
    return lines
