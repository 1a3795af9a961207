"""How `penstock lanes` shows lanes: a line each, with a second one for what holds it; those that are held up come first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from rich.text import Text

from sender.explaining.explanation import counted, printable
from sender.explaining.facts import FleetFacts
from sender.explaining.lanes import NOT_FOR_IT, not_for_it
from sender.model import LaneId, Route
from sender.queue.control import FOR_EVER
from sender.queue.finding import NO_WORK, LaneReport, RouteWork
from sender.queue.lane_holds import LaneHold
from workers.commands.lane_words import moment, told

_STATES = {
    "pause": "paused",
    "stop": "stopped",
    "cap": "at its cap",
    "nothing to send": "idle",
    "receiver": "sending",
    "pace": "at pace",
    "connection pace": "connecting",
    "window": "at window",
    "process": "no place",
    "draining": "ending",
}
_UP = ("held", "fenced", "journal", "paused", "stopped", "at its cap")  # held up: these come first
_COLOURS = {"held": "magenta", "fenced": "red", "journal": "red", "paused": "red", "stopped": "red", "sending": "green"}
_NO_LANE = "no lane yet"  # its route has work
_TITLES = ("state", "open", "msg/s", "/conn", "leased", "waits")
_WIDTHS = (11, 8, 9, 6, 7, 10)  # of those columns; the lane has what is left, and at most:
_LANE_MOST = 34
WIDEST = 120  # a line that is longer is hard to read


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One lane as it is shown."""

    lane: LaneId
    route: Route
    report: LaneReport | None  # None: none runs
    hold: LaneHold | None
    work: RouteWork  # on its route, which all sources of the pool share
    own: RouteWork = NO_WORK  # what stays with it

    @property
    def state(self) -> str:
        if self.hold is not None:
            return "held"
        return _STATES.get(self.report.limit, self.report.limit) if self.report is not None else _NO_LANE

    @property
    def waits(self) -> int:
        """Envelopes that are ready where it takes from."""
        return self.work.ready + self.own.ready

    @property
    def order(self) -> tuple[int, int, str]:
        """Who is held up first, then who has most to do."""
        return (_UP.index(self.state) if self.state in _UP else len(_UP), -self.waits, str(self.lane))


def lines(rows: Sequence[Row], fleet: FleetFacts, width: int, most: int | None = None) -> Text:
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


def _lines(row: Row, now: float, width: int) -> Iterator[Text]:
    yield _cells(str(row.lane), _figures(row), width, _COLOURS.get(row.state, ""))
    if why := _why(row, now):
        yield Text(_cut(f"  {why}", width), "dim")


def _cells(lane: str, cells: Sequence[str], width: int, style: str) -> Text:
    room = min(_LANE_MOST, width - sum(_WIDTHS) - len(_WIDTHS))
    text = Text(f"{_cut(printable(lane), room):<{room}} ", "bold" if style == "bold" else "")
    text.append(f"{cells[0]:<{_WIDTHS[0]}}", style)
    for cell, size in zip(cells[1:], _WIDTHS[1:], strict=True):
        text.append(f" {cell:>{size}}", "bold" if style == "bold" else "")
    return text


def _figures(row: Row) -> tuple[str, ...]:
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


def _why(row: Row, now: float) -> str:
    """What holds it, the rule and the receiver's reply, and until when; "" where there is nothing to explain."""
    if row.hold is not None:
        return f"{told(row.hold, now)} [penstock resume {quote(row.hold.name)}]"
    report = row.report
    if report is not None and not_for_it(report, row.work, row.own):
        return NOT_FOR_IT
    if report is None or not (report.rule or report.until or row.state in _UP):
        return ""
    rule = f"{report.rule}, " if report.rule else ""
    until = f"until {moment(report.until, now)}, " if report.until > now else ""
    return printable(f"{rule}{until}{report.why}")  # the reply last: where the line is cut, it can be done without


def _foot(rows: Sequence[Row], fleet: FleetFacts, width: int) -> Iterator[Text]:
    """Holds that are about none of these lanes are in force all the same; and who runs at all."""
    shown = {row.hold.name for row in rows if row.hold is not None}
    for hold in fleet.holds:
        if hold.name not in shown:
            yield Text(_cut(f"{hold.name}: {told(hold, fleet.now)}", width), "magenta")
    open_now = sum(row.report.sessions for row in rows if row.report is not None)
    running = sum(row.report is not None for row in rows)
    processes = f"{len(fleet.owners)} delivery process{'' if len(fleet.owners) == 1 else 'es'}"
    yield Text(f"{counted(running, 'lane')}, {counted(open_now, 'connection')}, {processes}", "dim")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def as_document(rows: Sequence[Row], holds: Sequence[LaneHold]) -> dict[str, Any]:
    """The same for scripts; null where a figure or a time is not known."""
    return {"lanes": [_document(row) for row in rows], "holds": [_hold(hold) for hold in holds]}


def _document(row: Row) -> dict[str, Any]:
    report = row.report
    return {
        "lane": str(row.lane),
        "source": row.lane.source,
        "receiver": row.lane.receiver,
        "route": str(row.route),
        "state": row.state,
        "waits": row.waits,
        "hold": _hold(row.hold) if row.hold is not None else None,
        "report": _report(report) if report is not None else None,
    }


def _report(report: LaneReport) -> dict[str, Any]:
    """What a lane said of itself, without what the row has already."""
    return {
        "owner": report.owner,
        "at": report.at,
        "sessions": report.sessions,
        "connections": report.connections,
        "most_connections": report.most_connections or None,
        "leased": report.holding,
        "messages_per_second": report.messages_per_second,
        "most_per_second": report.most_per_second or None,
        "messages_per_connection": report.messages_per_connection or None,
        "limit": report.limit,
        "until": report.until or None,
        "rule": report.rule,
        "why": report.why,
    }


def _hold(hold: LaneHold) -> dict[str, Any]:
    until = hold.until if hold.until < FOR_EVER else None
    return {"name": hold.name, "by": hold.by, "at": hold.at, "until": until, "why": hold.why}
