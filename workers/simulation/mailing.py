"""A mailing calendar, as data: what a shop sends on which day, to whom, and what befalls it; read from a TOML file.

The volume of a day is what one source is asked to send: the plan says how much of it is sent, others take the rest.
"""

import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from sender.errors import ConfigError, ConfigErrors
from sender.schema import convert

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Days = Annotated[int, Meta(ge=1, le=366)]

_WEEK, _DAY_HOURS = 7, 24


class Segment(Struct, frozen=True, kw_only=True):
    """A part of the list, and how its readers are."""

    name: str
    share: Share
    complaining: Share = 0.0
    unknown: Share = 0.0


class Event(Struct, frozen=True, kw_only=True):
    """What is different from `day` on (the first is 0), for so many days."""

    name: str
    day: Annotated[int, Meta(ge=0)]
    days: Days = 1
    volume: Annotated[float, Meta(ge=0, le=100)] = 1.0  # multiplies that of the week
    complaining: Share = 0.0  # beside what the segments do
    unknown: Share = 0.0
    receiver: str = ""  # "" is all of them
    blocked: bool = False  # the receiver takes nothing from the sources meanwhile

    def covers(self, day: int) -> bool:
        return self.day <= day < self.day + self.days

    def concerns(self, receiver: str) -> bool:
        return self.receiver in ("", receiver)


class Mailing(Struct, frozen=True, kw_only=True):
    """The whole calendar."""

    start: date = date(2027, 1, 11)
    hour: Annotated[int, Meta(ge=0, le=22)] = 8  # UTC, at which a day's campaign is there
    hours: Annotated[int, Meta(ge=1, le=23)] = 12  # then what is left of it is sent by others
    week: Annotated[tuple[Count, ...], Meta(min_length=_WEEK, max_length=_WEEK)]  # messages a source, from Monday on
    receivers: dict[str, Share]
    segment: tuple[Segment, ...] = (Segment(name="all", share=1.0),)
    event: tuple[Event, ...] = ()

    @property
    def starts(self) -> float:
        """Unix seconds: the midnight that the first day begins with, UTC."""
        return datetime.combine(self.start, time(), tzinfo=UTC).timestamp()

    def events(self, day: int) -> tuple[Event, ...]:
        return tuple(event for event in self.event if event.covers(day))

    def volume(self, day: int) -> int:
        """What one source is asked to send on this day."""
        factor = 1.0
        for event in self.events(day):
            factor *= event.volume
        return round(self.week[(self.start.weekday() + day) % _WEEK] * factor)


def read(path: Path, receivers: frozenset[str]) -> Mailing:
    """The calendar of a file; ConfigErrors with all that is wrong. `receivers` are those that the emulated world has."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigErrors([ConfigError(str(path), "", f"not TOML: {error}")]) from error
    mailing = convert(Mailing, table, file=str(path))
    problems = [ConfigError(str(path), key, why) for key, why in _problems(mailing, receivers)]
    if problems:
        raise ConfigErrors(problems)
    return mailing


def _problems(mailing: Mailing, receivers: frozenset[str]) -> list[tuple[str, str]]:
    known = ", ".join(sorted(receivers))
    found = [
        (f"receivers.{name}", f"nobody of that name in the emulated world; there are: {known}")
        for name in mailing.receivers
        if name not in receivers
    ]
    found += [
        (f"event[{place}].receiver", f"{event.receiver!r} gets no mail here; there are: {', '.join(mailing.receivers)}")
        for place, event in enumerate(mailing.event)
        if event.receiver and event.receiver not in mailing.receivers
    ]
    if mailing.hour + mailing.hours > _DAY_HOURS:
        found.append(("hours", f"hour and hours come to {mailing.hour + mailing.hours}; a day has {_DAY_HOURS}"))
    for key, shares in (("receivers", mailing.receivers.values()), ("segment", [part.share for part in mailing.segment])):
        total = sum(shares)
        if abs(total - 1.0) > 0.001:
            found.append((key, f"the shares come to {total:g}; they must come to 1"))
    return found


# A shop's list in two parts, and nothing befalls it: fewer complaints than the 0.1 % that Gmail asks to stay below. The shares
# are those of `workers.emulator.people` for the largest receivers, rounded; of the long tail, one hoster with many domains.
ORDINARY = Mailing(
    week=(6_000, 6_000, 6_000, 6_000, 6_000, 0, 0),
    receivers={"google": 0.5, "microsoft": 0.2, "yahoo": 0.15, "orange": 0.1, "smallhost-1": 0.05},
    segment=(
        Segment(name="engaged", share=0.6, complaining=0.0002, unknown=0.001),
        Segment(name="others", share=0.4, complaining=0.0008, unknown=0.008),
    ),
)
