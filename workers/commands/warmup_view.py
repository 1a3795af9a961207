"""What `penstock warmup` shows: a table for people, documents for scripts, the audit stream line by line."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from textwrap import wrap
from typing import Any

from sender.explaining.explanation import printable, span
from sender.policy.gates import Reading, percent
from sender.policy.outlook import outlook
from sender.policy.plan import date_of
from sender.warming.audit import Entry
from sender.warming.warmer import Standing

_GATES = {"deferral": "deferral", "block": "block", "bounce": "bounce", "unknown_user": "unknown", "complaint": "complaint"}
_COLUMNS = ("lane", "stage", "sent / cap", *_GATES.values())


def table(standings: Sequence[Standing], now: float, width: int) -> Iterator[str]:
    """Some lines a lane: its numbers, and what becomes of it. A gate shows its rate and its first threshold."""
    rows = [_cells(standing) for standing in standings]
    widths = [max(len(row[place]) for row in (_COLUMNS, *rows)) for place in range(len(_COLUMNS))]
    yield _row(_COLUMNS, widths)
    for standing, row in zip(standings, rows, strict=True):
        yield _row(row, widths)
        yield from wrap(printable(words(standing, now)), width, initial_indent="  ", subsequent_indent="  ")


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others))).rstrip()


def _cells(standing: Standing) -> tuple[str, ...]:
    cap, plan = standing.cap, standing.plan
    stage = "warm" if standing.progress.warm else f"{standing.progress.stage + 1}/{len(plan.stages)}"
    today = f"{standing.sent:,} / {cap.per_day:,}" if cap.limits else f"{standing.sent:,} / any"
    return (standing.ward.name, stage, today, *map(_gate, readings(standing)))


def readings(standing: Standing) -> Sequence[Reading]:
    """The gates of a lane, over all that they are judged by now; they ask for nothing on a day when an operator moved it."""
    found = standing.plan.gates.readings(standing.counted)
    return [replace(reading, weight=None) for reading in found] if _spared(standing) else list(found)


def _spared(standing: Standing) -> bool:
    return standing.progress.spared == standing.progress.day


def _gate(reading: Reading) -> str:
    """A rate and its limit in per cent; marked where it asks for something."""
    limit = reading.gate.limit
    rate = f"{reading.rate * 100:.2g}"
    return f"{'!' if reading.weight else ''}{rate}/{percent(limit)}" if limit is not None else f"{rate}%"


def words(standing: Standing, now: float) -> str:
    """What happens next and why; and what holds it within the day."""
    parts = [outlook(standing.plan, standing.progress, standing.tally, standing.plan.day(now))]
    if _spared(standing) and not standing.progress.warm:
        parts.append("an operator has moved it: its gates ask for nothing until the day ends")
    if (window := standing.full) is not None:
        parts.append(f"the {window} is used up")
    if standing.use.outstanding:
        parts.append(f"{standing.use.outstanding:,} on their way")
    if not standing.progress.warm:
        parts.append(f"the day ends in {span(standing.cap.ends - now)}")
    return "; ".join(parts)


def as_document(standing: Standing, now: float) -> dict[str, Any]:
    """A lane for scripts: shares are from 0 to 1, times Unix seconds, stages count from 1."""
    progress, plan, cap, use, last = standing.progress, standing.plan, standing.cap, standing.use, standing.progress.last
    return {
        "name": standing.ward.name,
        "source": standing.ward.source or None,
        "receiver": None if standing.ward.identity else standing.ward.receiver,
        "domain": standing.ward.receiver if standing.ward.identity else None,
        "plan": plan.name,
        "stage": progress.stage + 1,
        "stages": len(plan.stages),
        "warm": progress.warm,
        "since": date_of(progress.since).isoformat(),
        "sending_days": progress.days,
        "day": {"date": date_of(cap.day).isoformat(), "starts": cap.starts, "ends": cap.ends},
        "cap": {"day": cap.per_day, "hour": cap.per_hour, "minute": cap.per_minute} if cap.limits else None,
        "used": {"day": use.day, "hour": use.hour, "minute": use.minute, "outstanding": use.outstanding},
        "sent": standing.sent,
        "delivered": standing.tally.delivered,
        "gates": {reading.name: _as_gate(reading) for reading in readings(standing)},
        "stopped_until": date_of(progress.stopped).isoformat() if progress.stopped_on(cap.day) else None,
        "held": {"by": progress.held.by, "why": progress.held.why, "at": progress.held.at} if progress.held else None,
        "next": words(standing, now),
        "last": {"what": str(last.what), "why": last.why, "by": last.by or None, "at": last.at} if last else None,
    }


def _as_gate(reading: Reading) -> dict[str, Any]:
    gate = reading.gate
    return {
        "events": reading.events,
        "out_of": reading.out_of,
        "rate": reading.rate,
        "hold": gate.hold,
        "back": gate.back,
        "stop": gate.stop,
        "asks": reading.weight.name.lower() if reading.weight is not None else None,
    }


def line(entry: Entry) -> str:
    """One entry of the audit stream for people."""
    moment = f"{datetime.fromtimestamp(entry.at).astimezone():%Y-%m-%d %H:%M:%S %z}"
    by = f" by {entry.by}" if entry.by else ""
    what = f"{entry.what} {entry.complaints:,}" if entry.complaints else entry.what
    return printable(f"{moment}  {entry.name}  {what}{by}: {entry.why}".rstrip(": "))
