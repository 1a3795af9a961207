"""A warmup plan for one receiver: its stages, its gates, and what a sending day is.

    stages -> one after the other, each a sending day (or `stay` of them) with caps for the day, its hours and its minutes
    gates  -> what a day's answers must keep below, so that the next stage begins (`sender.policy.gates`)

A sending day is a calendar day of the plan's zone on which something was sent. It begins when that zone's clock first shows
its midnight or, where the clock is put forward over it, at that leap: it has 23 or 25 hours when summer time begins or ends.
Past the last stage a lane is warm: its cap holds nobody back.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from math import floor
from zoneinfo import ZoneInfo

from sender.model import UNLIMITED, Cap
from sender.policy.gates import Gates
from sender.policy.schedule import instant

NO_PLAN = "none"  # what a source or a receiver says that needs no warmup
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one source may send to the receiver on one sending day, in one of its hours and in one of its minutes, at most."""

    day: int
    hour: int
    minute: int

    @classmethod
    def of(cls, day: int, hour: int | None = None, minute: int | None = None, *, shares: "Shares") -> "Stage":
        """A stage of so many a day; what is not said of hours and minutes follows from the shares, and is 1 at least."""
        an_hour = min(day, hour if hour is not None else _part(day, shares.hour))
        return cls(day=day, hour=an_hour, minute=min(an_hour, minute if minute is not None else _part(an_hour, shares.minute)))

    def __str__(self) -> str:
        return f"{self.day:,} a day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How a day is spread: the share of a day that may go in one hour, and that of an hour that may go in one minute."""

    hour: float = 0.2
    minute: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The stages of a plan as they are for one receiver, and the rules for passing them."""

    name: str
    stages: tuple[Stage, ...]
    zone: ZoneInfo = _UTC
    gates: Gates = field(default_factory=Gates)
    used: float = 0.9  # the share of a stage's day that must be delivered, or the stage is not passed
    stay: int = 1  # sending days that must be passed at each stage
    idle_days: int = 30  # days without volume after which a lane begins lower
    rewarm: float = 0.25  # the share of its volume at which it begins then
    stop_days: int = 1  # whole sending days that a stop lasts beyond its own; 0: until an operator resumes
    engagement_min: int = 0  # recipients below this score are kept to warm sources

    def stage(self, number: int) -> Stage | None:
        """The stage of this number, counted from 0; None past the last one: the lane is warm."""
        return self.stages[number] if number < len(self.stages) else None

    def volume(self, number: int) -> int:
        """Envelopes a day at this stage; of a warm lane, those of the last one."""
        return self.stages[min(number, len(self.stages) - 1)].day

    def at_volume(self, day: float) -> int:
        """The number of the highest stage that permits no more than this a day; the first one where all permit more."""
        return max((number for number, stage in enumerate(self.stages) if stage.day <= day), default=0)

    def day(self, now: float) -> "Day":
        """The sending day of this time."""
        return Day.of(self.zone, now)

    def __repr__(self) -> str:
        first, last = self.stages[0].day, self.stages[-1].day
        return f"<Plan {self.name}: {len(self.stages)} stages, {first:,} to {last:,} a day, {self.zone.key}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of a plan's zone, from `starts` until before `ends` (Unix seconds); `number` counts as date.toordinal does."""

    number: int
    starts: float
    ends: float

    @classmethod
    def of(cls, zone: ZoneInfo, now: float) -> "Day":
        """The day of this time. A clock put back over midnight begins no day a second time."""
        number = datetime.fromtimestamp(floor(now), zone).toordinal()  # it rounds parts of a second, and up to midnight, too
        while _midnight(zone, number + 1) <= now:
            number += 1
        return cls(number=number, starts=_midnight(zone, number), ends=_midnight(zone, number + 1))

    def cap(self, stage: Stage) -> Cap:
        """What the store has to hold on this day."""
        return self._cap(stage.day, stage.hour, stage.minute)

    def shut(self) -> Cap:
        """The cap of a lane that may send nothing on this day."""
        return self._cap(0, 0, 0)

    def open(self) -> Cap:
        """The cap of a lane that is warm."""
        return self._cap(UNLIMITED, UNLIMITED, UNLIMITED)

    def _cap(self, day: int, hour: int, minute: int) -> Cap:
        return Cap(day=self.number, starts=self.starts, ends=self.ends, per_day=day, per_hour=hour, per_minute=minute)


def date_of(day: int) -> date:
    """The date of a sending day's number."""
    return date.fromordinal(day)


@lru_cache(maxsize=1000)  # asked for every lane every few seconds, and always about the same few days
def _midnight(zone: ZoneInfo, day: int) -> float:
    return instant(zone, datetime.fromordinal(day))


def _part(whole: int, share: float) -> int:
    return max(1, round(whole * share))
