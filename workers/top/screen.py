"""A board as lines of exactly a terminal's size, each as wide as the terminal at most: nothing wraps, nothing scrolls.

how fast the fleet goes           the time
what waits, and for how long
the rate of the last minutes; or trouble with the store
titles
rows ...
what is said of the selected row
keys
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from sender.explaining.board import Board
from sender.explaining.explanation import counted, moment
from workers.cells import fit, left, right, wrapped
from workers.top.columns import TABLES, Column, Table
from workers.top.figures import brief, rate, short
from workers.top.view import CAMPAIGNS, LANES, View, place_of

_DETAILS = 4  # lines
_LOW = 16  # lines of a terminal; where there are fewer, rows come before details
_AROUND = 5  # lines that are neither rows nor details
_OVERDUE_S = 5.0  # a scheduler looks several times a second
NARROWEST, LOWEST = 40, 8
_SPARKS = "▁▂▃▄▅▆▇█"
_HELP = """\
 up down j k pgup pgdn home end   the selected row: what holds it stands below
 tab, l v c       lanes, receivers (all lanes at each), campaigns
 s S              sort by the next column, or the one before
 r                the other way round
 /                filter by text: names, states, rules; Enter keeps it, Esc ends it
 space, p         stand still; the fleet goes on
 q, Ctrl-C        quit

 open    connections in use, of as many as the window permits now
 msg/s   messages taken a second, over the last ten
 pace    messages a second that are permitted now
 stage   of its warmup plan; today: sent of what the day's cap permits
 other   all receivers without a profile, of a source; --tail shows each

 any key goes back"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What there is to draw."""

    board: Board
    trouble: str = ""  # why there is nothing newer
    behind_s: float = 0.0  # how long ago that was
    history: Sequence[float] = ()  # what the fleet's rate was, look by look


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of the table that is seen, filtered and sorted."""

    table: Table[Any]
    rows: Sequence[Any]
    names: Sequence[str]
    hidden: int  # by the filter

    @classmethod
    def of(cls, view: View, board: Board) -> "Rows":
        table, shown = TABLES[view.page], view.table
        every, wanted = table.rows(board), view.filter.casefold()
        rows = [row for row in every if wanted in table.words(row).casefold()]
        rows = sorted(rows, key=table.orders[shown.sort].key)
        if shown.reverse:
            rows.reverse()
        return cls(table=table, rows=rows, names=[table.name(row) for row in rows], hidden=len(every) - len(rows))


def body_height(height: int) -> int:
    """How many rows a terminal of so many lines shows."""
    return max(1, height - _AROUND - (_DETAILS if height >= _LOW else 0))


def draw(view: View, seen: Seen, width: int, height: int) -> list[Text]:
    """The whole screen: `height` lines."""
    if width < NARROWEST or height < LOWEST:
        return _padded([Text(fit(f"too small: {NARROWEST}x{LOWEST} at least", width))], height)
    board, shown = seen.board, Rows.of(view, seen.board)
    head = [*_fleet(board, width), _notice(view, seen, shown, width)]
    if view.help:
        body = [Text(fit(line, width)) for line in _HELP.split("\n")][: height - len(head) - 1]
        return [*_padded([*head, *body], height - 1), _keys(view, shown, width)]
    place, room = place_of(view.table, shown.names), body_height(height)
    first = place // room * room
    seen_rows = shown.rows[first : first + room]
    body = list(table_lines(shown.table, seen_rows, board.now, width, place - first, all_rows=shown.rows))
    if not shown.rows:
        body.append(Text(fit("nothing of that name" if view.filter else shown.table.nothing, width), "dim"))
    body = _padded(body, room + 1)
    if height >= _LOW:
        body += _padded(_details(shown, place, board.now, width), _DETAILS)
    return [*head, *body, _keys(view, shown, width)]


def _padded(lines: Sequence[Text], height: int) -> list[Text]:
    return [*lines[:height], *(Text() for _ in range(height - len(lines)))]


def _fleet(board: Board, width: int) -> Iterator[Text]:
    """Two lines; of what has no room in them the last is left out."""
    fleet, time = board.fleet, moment(board.now, board.now)
    first = _figures(
        width - len(time) - 1,
        ("", f"{rate(fleet.per_second)} msg/s", "bold green"),
        ("", f"{rate(fleet.refused_per_second)} refused/s", "yellow" if fleet.refused_per_second else ""),
        ("", f"{short(fleet.sessions)} sessions", ""),
        ("", f"{short(fleet.lanes)} lanes, {short(fleet.held_up)} held up", "red" if fleet.held_up else ""),
        ("", counted(fleet.processes, "process"), "" if fleet.processes else "bold red"),
    )
    first.pad_right(width - len(time) - first.cell_len)
    yield first.append(time, "bold")
    oldest = brief(fleet.oldest_ready_s) if fleet.ready else "-"
    yield _figures(
        width,
        ("ready ", short(fleet.ready), "bold"),
        ("leased ", short(fleet.leased), "bold"),
        ("later ", short(fleet.later), "bold"),
        ("oldest ready ", oldest, "bold"),
        ("in doubt ", short(fleet.in_doubt), "bold red" if fleet.in_doubt else "bold"),
        ("overdue ", brief(fleet.overdue_s), "bold red" if fleet.overdue_s > _OVERDUE_S else "bold"),
    )


def _figures(width: int, *figures: tuple[str, str, str]) -> Text:
    line = Text()
    for what, figure, style in figures:
        gap = "  " if line else ""
        if line.cell_len + len(gap) + len(what) + len(figure) > width:
            break
        line.append(gap).append(what, "dim").append(figure, style)
    return line


def _notice(view: View, seen: Seen, shown: Rows, width: int) -> Text:
    """Trouble first, then what is other than usual, then the rate of the last minutes."""
    if seen.trouble:
        return Text(left(f"{brief(seen.behind_s)} behind: {seen.trouble}", width), "bold white on red")
    parts = []
    if view.paused:
        parts.append("standing still, space goes on")
    if view.filter or view.typing:
        parts.append(f"filter: {view.filter}{'_' if view.typing else ''} ({shown.hidden:,} hidden)")
    if more := shown.table.more(seen.board):
        parts.append(f"{more:,} more are not shown")
    if seen.board.holds:
        parts.append(f"{counted(len(seen.board.holds), 'hold')} on lanes")
    line = Text(fit("  ".join(parts), width), "reverse" if view.typing else "yellow")
    if spark := _spark(seen.history, width - line.cell_len - 2 * bool(parts)):
        line.append("  " if parts else "", "not reverse").append(spark, "green not reverse")
    return line


def _spark(history: Sequence[float], width: int) -> str:
    """One cell a look, the newest at the right; as high as the fastest of them."""
    shown = history[-width:] if width > 0 else ()
    most = max(shown, default=0.0)
    return "".join(_SPARKS[min(len(_SPARKS) - 1, int(len(_SPARKS) * value / most))] for value in shown) if most else ""


def widths(columns: Sequence[Column[Any]], rows: Sequence[Any], now: float, width: int) -> list[tuple[Column[Any], int]]:
    """Which columns there is room for, and how wide each is. What would be empty in all rows leaves its room to others."""
    chosen = [(column, _wanted(column, rows, now)) for column in columns]
    chosen = [(column, size) for column, size in chosen if size or column is columns[-1]]
    while (over := sum(size + 1 for _, size in chosen) - 1 - width) > 0 and any(column.rank for column, _ in chosen[:-1]):
        rank = max(column.rank for column, _ in chosen[:-1])
        chosen.remove(next(one for one in reversed(chosen[:-1]) if one[0].rank == rank))
    sizes = []
    for column, size in chosen[:-1]:
        less = min(max(0, over), max(0, size - column.width))  # names give way in the end
        sizes.append((column, size - less))
        over -= less
    return [*sizes, (chosen[-1][0], chosen[-1][1] + max(0, -over))]


def _wanted(column: Column[Any], rows: Sequence[Any], now: float) -> int:
    """How wide a column would be; 0 where it has nothing to say."""
    if not column.most and not column.optional:
        return column.width
    texts = [column.text(row, now) for row in rows]
    if column.optional and all(text in ("", "-") for text in texts):
        return 0
    return max(column.width, min(column.most, max(map(len, texts), default=0)))


def table_lines(
    table: Table[Any], rows: Sequence[Any], now: float, width: int, selected: int | None, *, all_rows: Sequence[Any]
) -> Iterator[Text]:
    """Titles, and a line for each of these rows; columns are as wide as all rows ask for, so that they stay where they are."""
    sizes = widths(table.columns, all_rows, now, width)
    yield Text(fit(" ".join((left if column.left else right)(column.title, size) for column, size in sizes), width), "reverse")
    for place, row in enumerate(rows):
        line = Text(style="on grey23" if place == selected else "")
        for number, (column, size) in enumerate(sizes):
            cell = (left if column.left else right)(column.text(row, now), size)
            line.append(" " if number else "").append(cell, column.style(row))
        line.truncate(width)
        yield line


def _details(shown: Rows, place: int, now: float, width: int) -> list[Text]:
    if not shown.rows:
        return []
    lines: list[Text] = [Text("─" * width, "dim")]
    parts = list(shown.table.details(shown.rows[place], now))
    for number, part in enumerate(parts):
        room = max(1, _DETAILS - len(lines) - (len(parts) - number - 1))
        lines += [Text(line) for line in wrapped(part, width, room)]
    return lines


def _keys(view: View, shown: Rows, width: int) -> Text:
    order = shown.table.orders[view.table.sort].name
    keys = (
        ("q", "quit"),
        ("?", "help"),
        ("tab", view.next_page),
        ("s", f"sort: {order}{' reversed' if view.table.reverse else ''}"),
        ("r", "reverse"),
        ("/", "filter"),
        ("space", "go on" if view.paused else "stand still"),
    )
    line = Text(style="on grey23")
    for key, what in keys:
        if line.cell_len + len(key) + len(what) + 4 <= width:
            line.append(f" {key} ", "bold reverse").append(f" {what} ")
    line.pad_right(width - line.cell_len)
    return line


def whole(board: Board, width: int) -> Iterator[Text]:
    """All of a board as lines, however many they are: figures, lanes, campaigns."""
    yield from _fleet(board, width)
    for page in (LANES, CAMPAIGNS):
        table = TABLES[page]
        rows = table.rows(board)
        yield Text()
        if rows:
            yield from table_lines(table, rows, board.now, width, None, all_rows=rows)
        else:
            yield Text(fit(table.nothing, width), "dim")
        if more := table.more(board):
            yield Text(fit(f"{more:,} more are not shown", width), "dim")
