"""The tables: what stands in each column, by what rows can be sorted, and what is said of the one that is selected."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sender.explaining.board import Board
from sender.explaining.campaign_rows import CampaignRow
from sender.explaining.explanation import counted, moment
from sender.explaining.lane_rows import LaneRow, by_receiver
from sender.explaining.lanes import told
from sender.model import State
from workers.top.figures import brief, rate, rough, short
from workers.top.view import CAMPAIGNS, LANES, RECEIVERS

Row = TypeVar("Row")

_LANE_COLOURS = {
    "held": "magenta",
    "fenced": "red",
    "journal": "red",
    "paused": "red",
    "stopped": "red",
    "at its cap": "yellow",
    "sending": "green",
    "at pace": "green",
    "at window": "green",
    "idle": "dim",
}
_CAMPAIGN_COLOURS = {
    "running": "green",
    "paused": "magenta",
    "cancelled": "red",
    "expired": "red",
    "complete": "dim",
}
_BAR = 12  # cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[Row]):
    """What stands in one column."""

    title: str
    text: Callable[[Row, float], str]  # of a row, at this time
    width: int  # cells, at least
    most: int = 0  # up to which it grows, where its texts are longer
    left: bool = False
    optional: bool = False  # it is left out where all rows have a dash in it, or nothing
    rank: int = 0  # where there is no room, those of the highest rank go first
    style: Callable[[Row], str] = lambda row: ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Generic[Row]):
    """By what rows can be sorted; the smallest key comes first."""

    name: str
    key: Callable[[Row], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[Row]):
    """A kind of rows."""

    rows: Callable[[Board], Sequence[Row]]
    more: Callable[[Board], int]  # that are not among them
    name: Callable[[Row], str]
    columns: Sequence[Column[Row]]  # the last one takes what room is left
    orders: Sequence[Order[Row]]
    details: Callable[[Row, float], Iterator[str]]
    words: Callable[[Row], str]  # in which a filter looks
    nothing: str  # where there is no row


def _state(row: LaneRow, now: float) -> str:
    """What it does; of a pause, for how much longer."""
    until = row.hold.until if row.hold is not None else row.report.until if row.report is not None else 0.0
    lasts = row.state in ("paused", "held") and now < until < now + 100 * 86_400
    return f"{row.state} {rough(until - now)}" if lasts else row.state


def _open(row: LaneRow, now: float) -> str:
    return f"{row.report.sessions}/{row.report.connections}" if row.report is not None else "-"


def _pace(row: LaneRow, now: float) -> str:
    return rate(row.report.messages_per_second) if row.report is not None and row.report.messages_per_second else "-"


def _stage(row: LaneRow, now: float) -> str:
    standing = row.standing
    if standing is None:
        return "-"
    return "warm" if standing.progress.warm else f"{standing.progress.stage + 1}/{len(standing.plan.stages)}"


def _today(row: LaneRow, now: float) -> str:
    standing = row.standing
    if standing is None:
        return "-"
    return f"{short(standing.use.day)}/{short(standing.cap.per_day) if standing.cap.limits else 'any'}"


def _refusal(row: LaneRow, now: float) -> str:
    return row.report.refusal if row.report is not None else ""


def _refused_at(row: LaneRow) -> float:
    return row.report.refused_at if row.report is not None else 0.0


def _rate(row: LaneRow | CampaignRow) -> float:
    return row.rate if row.rate is not None else -1.0


def _lane_details(row: LaneRow, now: float) -> Iterator[str]:
    report = row.report
    if row.hold is not None:
        yield f"{row.lane}: {told(row.hold, now)}"
    elif report is None:
        yield f"{row.lane}: {row.state}; {counted(row.waits, 'envelope')} ready on {row.route}"
    else:
        until = f" until {moment(report.until, now)}" if report.until > now else ""
        rule = f", rule {report.rule}" if report.rule else ""
        what = "" if row.lanes > 1 else f"{row.state}{until}{rule}: "
        yield f"{row.lane}: {what}{report.why}"
    if row.standing is not None:
        held = row.standing.progress.held
        why = f"; held by {held.by}: {held.why}" if held is not None else ""
        yield f"warmup plan {row.standing.plan.name}: stage {_stage(row, now)}, {_today(row, now)} today{why}"
    if report is not None and report.refused_at:
        yield f"refused {brief(now - report.refused_at)} ago: {report.refusal}"


def _weight(row: LaneRow) -> tuple[bool, float]:
    """How far it is in its warmup: what has no plan comes last."""
    standing = row.standing
    return (standing is None, standing.progress.stage / len(standing.plan.stages) if standing is not None else 0.0)


_BY_LANE: Sequence[Order[LaneRow]] = (
    Order(name="trouble", key=lambda row: row.order),
    Order(name="receiver", key=lambda row: (row.lane.receiver, row.lane.source)),
    Order(name="source", key=lambda row: (row.lane.source, row.lane.receiver)),
    Order(name="msg/s", key=lambda row: (-_rate(row), str(row.lane))),
    Order(name="refused", key=lambda row: (-(row.refusals or 0.0), -_refused_at(row), str(row.lane))),
    Order(name="waits", key=lambda row: (-row.waits, str(row.lane))),
    Order(name="open", key=lambda row: (-(row.report.sessions if row.report else 0), str(row.lane))),
    Order(name="stage", key=lambda row: (*_weight(row), str(row.lane))),
)


def _lane_columns(*names: Column[LaneRow]) -> Sequence[Column[LaneRow]]:
    return (
        *names,
        Column(title="state", text=_state, width=11, left=True, style=lambda row: _LANE_COLOURS.get(row.state, "")),
        Column(title="open", text=_open, width=6, most=9),
        Column(title="msg/s", text=lambda row, now: rate(row.rate), width=5),
        Column(title="pace", text=_pace, width=5),
        Column(title="stage", text=_stage, width=5, optional=True, rank=1),
        Column(title="today", text=_today, width=9, most=11, optional=True, rank=1),
        Column(title="waits", text=lambda row, now: short(row.waits), width=5, rank=3),
        Column(title="ref/s", text=lambda row, now: rate(row.refusals), width=5, rank=2),
        Column(title="last refusal", text=_refusal, width=10, left=True),
    )


_RECEIVER: Column[LaneRow] = Column(title="receiver", text=lambda row, now: row.lane.receiver, width=8, most=24, left=True)
_SOURCE: Column[LaneRow] = Column(title="source", text=lambda row, now: row.lane.source, width=6, most=20, left=True)
_LANES: Column[LaneRow] = Column(title="lanes", text=lambda row, now: short(row.lanes), width=5)


def _lane_text(row: LaneRow) -> str:
    return f"{row.lane} {row.state} {row.report.rule if row.report else ''}"


def _lane_table(rows: Callable[[Board], Sequence[LaneRow]], *names: Column[LaneRow]) -> Table[LaneRow]:
    return Table(
        rows=rows,
        more=lambda board: board.more_lanes,
        name=lambda row: str(row.lane),
        columns=_lane_columns(*names),
        orders=_BY_LANE,
        details=_lane_details,
        words=_lane_text,
        nothing="no lane runs, and none has anything to send",
    )


def _done(row: CampaignRow) -> float:
    """The share that has a final state."""
    all_of_them = row.status.finished + row.open
    return row.status.finished / all_of_them if all_of_them else 1.0 if row.over else 0.0


def _bar(row: CampaignRow, now: float) -> str:
    full = int(_done(row) * _BAR)
    return "━" * full + "─" * (_BAR - full)


def _campaign_details(row: CampaignRow, now: float) -> Iterator[str]:
    yield f"{row.status.campaign}: {row.condition.text()}"
    ended = ", ".join(f"{row.ended(state):,} {state}" for state in State if row.ended(state))
    rest = "" if row.status.complete else f", {row.status.waiting_batches:,} batches in the inbox"
    yield f"{row.status.accepted:,} recipients: {ended or 'none final'}, {row.status.queued:,} queued{rest}"
    if row.status.parked:
        yield f"{row.status.parked:,} in doubt: penstock doubts list {row.status.campaign}"
    if row.left_s and not row.over:
        yield f"at this rate through in {brief(row.left_s)}, {moment(now + row.left_s, now)}"


_CAMPAIGN_COLUMNS: Sequence[Column[CampaignRow]] = (
    Column(title="campaign", text=lambda row, now: row.status.campaign, width=12, most=36, left=True),
    Column(
        title="state",
        text=lambda row, now: str(row.condition.phase),
        width=9,
        left=True,
        style=lambda row: _CAMPAIGN_COLOURS.get(str(row.condition.phase), ""),
    ),
    Column(title="", text=_bar, width=_BAR, left=True, rank=1, style=lambda row: "cyan"),
    Column(title="done", text=lambda row, now: f"{int(100 * _done(row))}%", width=4),
    Column(title="sent", text=lambda row, now: short(row.delivered), width=5),
    Column(title="reject", text=lambda row, now: short(row.ended(State.REJECTED)), width=6),
    Column(title="open", text=lambda row, now: short(row.open), width=5),
    Column(title="defers", text=lambda row, now: short(sum(row.status.deferrals.values())), width=6, rank=2),
    Column(title="msg/s", text=lambda row, now: rate(row.rate), width=5),
    Column(title="left", text=lambda row, now: brief(row.left_s) if row.left_s else "-", width=6),
    Column(title="", text=lambda row, now: row.condition.why, width=0, left=True),
)

TABLES: dict[str, Table[Any]] = {
    LANES: _lane_table(lambda board: board.lanes, _RECEIVER, _SOURCE),
    RECEIVERS: _lane_table(lambda board: by_receiver(board.lanes), _RECEIVER, _LANES),
    CAMPAIGNS: Table(
        rows=lambda board: board.campaigns,
        more=lambda board: board.more_campaigns,
        name=lambda row: row.status.campaign,
        columns=_CAMPAIGN_COLUMNS,
        orders=(
            Order(name="newest", key=lambda row: 0),
            Order(name="name", key=lambda row: row.status.campaign),
            Order(name="msg/s", key=lambda row: -_rate(row)),
            Order(name="open", key=lambda row: -row.open),
            Order(name="left", key=lambda row: row.left_s if row.left_s is not None else float("inf")),
        ),
        details=_campaign_details,
        words=lambda row: f"{row.status.campaign} {row.condition.phase}",
        nothing="no campaign",
    ),
}
