"""How `penstock lanes` shows lanes: a line each, with a second one for what holds it; those that are held up come first."""

from collections.abc import Iterator, Sequence
from shlex import quote

from rich.text import Text

from sender.explaining.explanation import counted, moment
from sender.explaining.facts import FleetFacts
from sender.explaining.lane_rows import LaneRow
from sender.explaining.lanes import NOT_FOR_IT, not_for_it, told
from workers.cells import fit, left, right

_COLOURS = {"held": "magenta", "fenced": "red", "journal": "red", "paused": "red", "stopped": "red", "sending": "green"}
_TITLES = ("state", "open", "msg/s", "/conn", "leased", "waits")
_WIDTHS = (11, 8, 9, 6, 7, 10)  # of those columns; the lane has what is left, and at most:
_LANE_MOST = 34
WIDEST = 120  # a line that is longer is hard to read


def lines(rows: Sequence[LaneRow], fleet: FleetFacts, width: int, most: int | None = None) -> Text:
    """The whole table for a terminal of this width, cut to `most` lines where that is given."""
    width = min(width, WIDEST)
    body = [line for row in rows for line in _lines(row, fleet.now, width)]
    head = [_cells("lane", _TITLES, width, "bold")] if rows else [Text("no lane runs, and none has anything to send")]
    foot = list(_foot(rows, fleet, width))
    if most is not None and len(head) + len(body) + len(foot) > most:
        room = max(0, most - len(head) - len(foot) - 1)
        foot.insert(0, Text(f"... {counted(len(body) - room, 'line')} more: --once shows all", "dim"))
        body = body[:room]
    return Text("\n").join([*head, *body, *foot])


def _lines(row: LaneRow, now: float, width: int) -> Iterator[Text]:
    yield _cells(str(row.lane), _figures(row), width, _COLOURS.get(row.state, ""))
    if why := _why(row, now):
        yield Text(fit(f"  {why}", width), "dim")


def _cells(lane: str, cells: Sequence[str], width: int, style: str) -> Text:
    room = min(_LANE_MOST, width - sum(_WIDTHS) - len(_WIDTHS))
    text = Text(f"{left(lane, room)} ", "bold" if style == "bold" else "")
    text.append(left(cells[0], _WIDTHS[0]), style)
    for cell, size in zip(cells[1:], _WIDTHS[1:], strict=True):
        text.append(f" {right(cell, size)}", "bold" if style == "bold" else "")
    return text


def _figures(row: LaneRow) -> tuple[str, ...]:
    report = row.report
    if report is None:
        return (row.state, "-", "-", "-", "-", f"{row.waits:,}")
    return (
        row.state,
        f"{report.sessions}/{report.connections}",
        f"{report.messages_per_second:,.3g}" if report.messages_per_second < 1000 else f"{report.messages_per_second:,.0f}",
        f"{report.messages_per_connection:,}" if report.messages_per_connection else "-",
        f"{report.holding:,}",
        f"{row.waits:,}",
    )


def _why(row: LaneRow, now: float) -> str:
    """What holds it, the rule and the receiver's reply, and until when; "" where there is nothing to explain."""
    if row.hold is not None:
        return f"{told(row.hold, now)} [penstock resume {quote(row.hold.name)}]"
    report = row.report
    if report is not None and not_for_it(report, row.work, row.own):
        return NOT_FOR_IT
    if report is None or not (report.rule or report.until or row.held_up):
        return ""
    rule = f"{report.rule}, " if report.rule else ""
    until = f"until {moment(report.until, now)}, " if report.until > now else ""
    return f"{rule}{until}{report.why}"  # the reply last: where the line is cut, it can be done without


def _foot(rows: Sequence[LaneRow], fleet: FleetFacts, width: int) -> Iterator[Text]:
    """Holds that are about none of these lanes are in force all the same; and who runs at all."""
    shown = {row.hold.name for row in rows if row.hold is not None}
    for hold in fleet.holds:
        if hold.name not in shown:
            yield Text(fit(f"{hold.name}: {told(hold, fleet.now)}", width), "magenta")
    open_now = sum(row.report.sessions for row in rows if row.report is not None)
    running = sum(row.report is not None for row in rows)
    processes = f"{len(fleet.owners)} delivery process{'' if len(fleet.owners) == 1 else 'es'}"
    yield Text(f"{counted(running, 'lane')}, {counted(open_now, 'connection')}, {processes}", "dim")
