"""What is shown, for scripts: times in Unix seconds, null where a figure or a time is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sender.condition import Condition
from sender.explaining.board import Board
from sender.explaining.campaign_rows import CampaignRow
from sender.explaining.lane_rows import LaneRow
from sender.queue.control import FOR_EVER
from sender.queue.finding import LaneReport
from sender.queue.lane_holds import LaneHold
from sender.schema import rate_text
from sender.warming.warmer import Standing


def board_document(board: Board) -> dict[str, Any]:
    """The fleet at a moment: what `penstock top --json` prints. Keys are added in later versions, and none is renamed."""
    return {
        "at": board.now,
        "fleet": asdict(board.fleet),
        "lanes": [_row_document(row) for row in board.lanes],
        "more_lanes": board.more_lanes,
        "campaigns": [
            {**campaign_document(row), "delivered": row.delivered, "per_second": row.rate, "left_s": row.left_s}
            for row in board.campaigns
        ],
        "more_campaigns": board.more_campaigns,
        "holds": [hold_document(hold) for hold in board.holds],
    }


def _row_document(row: LaneRow) -> dict[str, Any]:
    """A lane beside its rates and its warmup; or so many of the long tail as one."""
    rates = {"per_second": row.rate, "refused_per_second": row.refusals}
    warmup = _warmup(row.standing) if row.standing is not None else None
    return {**lane_document(row), **rates, "warmup": warmup, "lanes": row.lanes}


def _warmup(standing: Standing) -> dict[str, Any]:
    """Where a lane stands in its plan; stages count from 1."""
    progress, cap = standing.progress, standing.cap
    return {
        "plan": standing.plan.name,
        "stage": progress.stage + 1,
        "stages": len(standing.plan.stages),
        "warm": progress.warm,
        "used": standing.use.day,
        "cap": cap.per_day if cap.limits else None,
        "held": progress.held is not None,
        "stopped": progress.stopped_on(cap.day),
    }


def lanes_document(rows: Sequence[LaneRow], holds: Sequence[LaneHold]) -> dict[str, Any]:
    """All lanes, and all words of operators on lanes."""
    return {"lanes": [lane_document(row) for row in rows], "holds": [hold_document(hold) for hold in holds]}


def lane_document(row: LaneRow) -> dict[str, Any]:
    """What a lane does."""
    report = row.report
    return {
        "lane": str(row.lane),
        "source": row.lane.source,
        "receiver": row.lane.receiver,
        "route": str(row.route),
        "state": row.state,
        "waits": row.waits,
        "hold": hold_document(row.hold) if row.hold is not None else None,
        "report": _report(report) if report is not None else None,
    }


def _report(report: LaneReport) -> dict[str, Any]:
    """What a lane said of itself, without what the row has already."""
    refusal = {"at": report.refused_at, "code": code_of(report.refusal), "text": report.refusal}
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
        "taken": report.taken,
        "refused": report.refused,
        "last_refusal": refusal if report.refused_at else None,
    }


def code_of(words: str) -> int | None:
    """The SMTP code that a refusal begins with; None where a session failed without one."""
    code, _, _ = words[:4].partition(" ")
    return int(code) if len(code) == 3 and code.isascii() and code.isdecimal() else None


def hold_document(hold: LaneHold) -> dict[str, Any]:
    """An operator's word on lanes."""
    until = hold.until if hold.until < FOR_EVER else None
    return {"name": hold.name, "by": hold.by, "at": hold.at, "until": until, "why": hold.why}


def campaign_document(row: CampaignRow) -> dict[str, Any]:
    """One campaign for scripts; times in Unix seconds, null where there is none."""
    status, doing, spec = row.status, row.condition, row.spec
    return {
        "campaign": status.campaign,
        **condition_document(doing),
        "priority": spec.priority if spec else None,
        "rate": rate_text(spec.rate) if spec and spec.rate else None,
        "accepted": status.accepted,
        "finished": status.finished,
        "queued": status.queued,
        "waiting_batches": status.waiting_batches,
        "complete": status.complete,
    }


def condition_document(doing: Condition) -> Mapping[str, Any]:
    """What a campaign is doing, for scripts."""
    return {
        "state": str(doing.phase),
        "until": doing.until,
        "by": doing.by or None,
        "at": doing.at or None,
        "why": doing.why or None,
    }
