"""When a campaign may be sent: from its start on, before its deadline, and inside its weekly windows.

Windows are wall-clock times of one zone. A window opens, and closes, when that zone's clock first shows the time or, where
the clock is put forward over it, at that leap: what is open from 02:30 to 03:30 is open from 03:00 on the night when summer
time begins, and for two hours on the night when it ends. A time on a leap second can't be written.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

FOR_EVER = float("inf")
DAY_MINUTES = 24 * 60

# A weekly window comes back within 7 days, or 14 where a zone skipped its day, as Samoa did with 30 December 2011.
_AHEAD_DAYS = 24
_BEHIND_DAYS = 2  # what opened the day before yesterday has closed: a window is at most a day long


class Shut(StrEnum):
    """Why a campaign is not sent now."""

    START = "start"  # it has not begun
    WINDOW = "window"  # it is outside its windows
    DEADLINE = "deadline"  # it is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """On these weekdays (0 is Monday), from `opens` until before `closes`, in minutes after the day's midnight.

    `closes` is more than `opens`; beyond `DAY_MINUTES` it lies on the day after.
    """

    days: frozenset[int]
    opens: int
    closes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A campaign's times in Unix seconds; no windows means all the time between start and deadline."""

    start: float = 0.0
    deadline: float = FOR_EVER
    windows: tuple[Window, ...] = ()
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    @property
    def always(self) -> bool:
        """Whether there is nothing to wait for and no end."""
        return not self.windows and self.start <= 0 and self.deadline == FOR_EVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Nothing may be sent from `start` until before `end`; `FOR_EVER` has no end."""

    start: float
    end: float
    why: Shut

    def covers(self, now: float) -> bool:
        return self.start <= now < self.end


def closed(schedule: Schedule, now: float) -> Closed | None:
    """The time without sending that covers `now` or, where there is none, the next one; None where none comes any more.

    The answer holds until its `end`. One that covers `now` starts at 0: what was before is of no interest.
    """
    if now >= schedule.deadline:
        return Closed(start=0.0, end=FOR_EVER, why=Shut.DEADLINE)
    opens = _opens(schedule, now)
    if opens > now:
        return Closed(start=0.0, end=opens, why=Shut.START if now < schedule.start else Shut.WINDOW)
    closes = _closes(schedule, now)
    if closes == FOR_EVER:
        return None
    if closes >= schedule.deadline:
        return Closed(start=schedule.deadline, end=FOR_EVER, why=Shut.DEADLINE)
    return Closed(start=closes, end=_opens(schedule, closes), why=Shut.WINDOW)


class Outlook:
    """A schedule and the last answer about it, which holds for a while: asking again costs nothing."""

    __slots__ = ("_asked", "_shut", "_until", "schedule")

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._asked, self._until = FOR_EVER, -FOR_EVER
        self._shut: Closed | None = None

    def closed(self, now: float) -> Closed | None:
        """As `closed`."""
        if not self._asked <= now < self._until:
            self._shut = closed(self.schedule, now)
            self._asked, self._until = now, self._shut.end if self._shut else FOR_EVER
        return self._shut

    def covered(self, now: float) -> bool:
        """Whether nothing may be sent now."""
        shut = self.closed(now)
        return shut is not None and shut.covers(now)


def _opens(schedule: Schedule, now: float) -> float:
    """The first moment from `now` on at which it may be sent; FOR_EVER where none comes before the deadline."""
    earliest = max(now, schedule.start)
    if schedule.windows:
        earliest = next((max(begin, earliest) for begin, end in _stretches(schedule, earliest) if end > earliest), FOR_EVER)
    return earliest if earliest < schedule.deadline else FOR_EVER


def _closes(schedule: Schedule, now: float) -> float:
    """When the stretch that is open now ends; FOR_EVER where it does not."""
    if not schedule.windows:
        return schedule.deadline
    stretches = _stretches(schedule, now)
    begin, end = next((begin, end) for begin, end in stretches if begin <= now < end)
    whole_week = end == stretches[-1][1] and end - begin > 7 * 86_400
    return schedule.deadline if whole_week else min(end, schedule.deadline)


def _stretches(schedule: Schedule, around: float) -> list[tuple[float, float]]:
    """When the windows are open around that time, in order; those that touch are one."""
    today = datetime.fromtimestamp(around, schedule.zone).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0
    )
    found = []
    for day in (today + timedelta(days=days) for days in range(-_BEHIND_DAYS, _AHEAD_DAYS)):
        for window in schedule.windows:
            if day.weekday() in window.days:
                opens, closes = (day + timedelta(minutes=minutes) for minutes in (window.opens, window.closes))
                found.append((instant(schedule.zone, opens), instant(schedule.zone, closes)))
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif begin < end:
            merged.append((begin, end))
    return merged


def instant(zone: ZoneInfo, local: datetime) -> float:
    """When the zone's clock first shows this time or, where it leaps over it, when it leaps."""
    at = local.replace(tzinfo=zone).timestamp()
    if datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0) == local:
        return at
    # In the gap the two folds give the offsets of before and after (PEP 495), so the leap lies between them.
    before, after = local.replace(tzinfo=zone, fold=1).timestamp(), at
    offset = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
