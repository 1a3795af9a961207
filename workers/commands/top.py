"""`penstock top`: the fleet as it is now, on a terminal's whole screen; or once, as tables or JSON."""

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import click
import msgspec
import trio
from rich.console import Console
from rich.text import Text

from sender.errors import ConfigError
from sender.explaining.board import Board, Boards
from sender.explaining.documents import board_document
from workers.commands.options import config_option
from workers.store import open_configured_queue
from workers.top.picture import COLUMNS, LINES, write
from workers.top.screen import Seen, draw, whole
from workers.top.show import show
from workers.top.view import View

_WIDE = 120  # columns where the output is no terminal
_LOOKS = 30  # of a picture: it shows how the rate was
_SIGNALLED = 128  # and the signal's number: what a shell says of one that a signal has ended


@click.command(short_help="Watch the fleet: rates, lanes, campaigns; keys sort and filter.")
@click.option("--once", is_flag=True, help="Print once and end; so it does where there is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, once; times in Unix seconds.")
@click.option("--interval", type=click.FloatRange(0.2, 60.0), default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--tail", is_flag=True, help="Each receiver without a profile by itself, not all of a source as 'other'.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help=f"After {_LOOKS} looks, write the screen as a picture, and end.",
)
@config_option
def command(once: bool, as_json: bool, interval: float, tail: bool, picture: Path | None, config: Path | None) -> None:
    """Show how fast the fleet goes, what each lane and campaign does, and what receivers refuse.

    ? shows the keys, q ends. Printed once it takes as long as an interval: rates are made of two looks.
    """
    console = Console()
    live = sys.stdin.isatty() and console.is_terminal and not console.is_dumb_terminal
    act: Callable[[Boards], Awaitable[int | None]]
    if picture is not None:
        if not picture.parent.is_dir():  # it takes a minute until there is something to write
            raise ConfigError("--picture", str(picture), "no such directory")
        act = partial(_draw, picture, interval)
    elif as_json:
        act = partial(_document, interval)
    elif once or not live:
        act = partial(_print, console, interval)
    else:
        act = partial(show, console, interval)
    ended_by = trio.run(_run, config, tail, act)
    if ended_by:
        raise click.exceptions.Exit(_SIGNALLED + ended_by)


async def _run(config: Path | None, tail: bool, act: Callable[[Boards], Awaitable[int | None]]) -> int | None:
    async with open_configured_queue(config) as (settings, queue):
        return await act(Boards(queue, settings, tail=tail))


async def _look(boards: Boards, interval: float, looks: int) -> list[Board]:
    """So many looks, the last one now."""
    found = [await boards.look()]
    while len(found) < looks:
        await trio.sleep(interval)
        found.append(await boards.look())
    return found


async def _print(console: Console, interval: float, boards: Boards) -> None:
    board = (await _look(boards, interval, 2))[-1]
    width = console.width if console.is_terminal else _WIDE
    console.print(Text("\n").join(whole(board, width)), soft_wrap=True)


async def _document(interval: float, boards: Boards) -> None:
    board = (await _look(boards, interval, 2))[-1]
    click.echo(msgspec.json.format(msgspec.json.encode(board_document(board))).decode())


async def _draw(file: Path, interval: float, boards: Boards) -> None:
    looks = await _look(boards, interval, _LOOKS)
    seen = Seen(board=looks[-1], history=[look.fleet.per_second or 0.0 for look in looks])
    write(draw(View(), seen, COLUMNS, LINES), file)
