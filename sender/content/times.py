"""The times of a campaign's specification: start, deadline and weekly windows, as somebody writes them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

WINDOWS_MAX = 50
YEARS = range(2000, 2200)  # a start or a deadline outside of them is a slip of the pen

Moment = Annotated[datetime, msgspec.Meta(tz=True)]  # RFC 3339 with an offset
DayTime = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", description="hours and minutes with two digits each, 00:00 to 24:00"
    ),
]


class Day(StrEnum):
    """The days of the week, in order."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class DayWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """When a campaign may be sent, on these days: where `to` is not behind `from`, it means the day after."""

    days: tuple[Day, ...] = tuple(Day)
    from_: DayTime
    to: DayTime


def time_mistakes(
    start: datetime | None, deadline: datetime | None, windows: Sequence[DayWindow], time_zone: str
) -> Iterator[tuple[str, str]]:
    """Everything wrong with them that one field's type can't say: key and reason."""
    for key, moment in (("start", start), ("deadline", deadline)):
        if moment is not None and moment.year not in YEARS:
            yield key, f"{moment.isoformat()}: allowed are the years {YEARS[0]} to {YEARS[-1]}"
    if start and deadline and deadline <= start:
        yield "deadline", f"{deadline.isoformat()} is not behind the start, {start.isoformat()}"
    if len(windows) > WINDOWS_MAX:
        yield "windows", f"{len(windows)} windows; at most {WINDOWS_MAX}"
    for place, window in enumerate(windows):
        yield from _window_mistakes(f"windows[{place}]", window)
    if time_zone != "UTC" and not windows:
        yield "time_zone", "only windows need one; start and deadline carry their offset from UTC"
    if not _is_zone(time_zone):
        yield "time_zone", f"{time_zone[:80]!r} is no time zone; write a name of the IANA database, like Europe/Paris"


def _window_mistakes(key: str, window: DayWindow) -> Iterator[tuple[str, str]]:
    if not window.days:
        yield f"{key}.days", f"none; allowed: {', '.join(Day)}"
    if window.from_ == "24:00":
        yield f"{key}.from", "24:00 is an end; the day after begins at 00:00"
    elif window.from_ == window.to:
        yield f"{key}.to", f"{window.to} is where it begins; a whole day is 00:00 to 24:00"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # a path, a name nobody has, a folder of names
        return False
    return True
