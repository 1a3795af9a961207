"""How an account counts its units: pure arithmetic, the same as in lua/quota.lua.

A window's count is reset when it is first touched after it began, to the units outstanding then: each of them may be sent in
it. Nothing else can have been sent in it so far, because whatever changes the count touches it first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from sender.model import Cap, Mark
from sender.queue.warmups import Use, Window

WINDOWS = (Window.DAY, Window.HOUR, Window.MINUTE)
_DAY_S, _HOUR_S, _MINUTE_S = 86400.0, 3600.0, 60.0
_UNIX_DAY = date(1970, 1, 1).toordinal()
NEVER = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Which window leaves no unit, and when it ends; 0: not known."""

    window: Window
    opens: float
    most: int = 0


@dataclass(slots=True, kw_only=True)
class Quota:
    """The units of one account."""

    cap: Cap | None = None  # the last one; it goes on dividing time where it is lifted
    lifted: bool = False
    at: float = NEVER  # the latest time anybody came with
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])  # in step with WINDOWS
    begun: list[float] = field(default_factory=lambda: [NEVER, NEVER, NEVER])
    outstanding: int = 0

    def set_cap(self, cap: Cap | None, now: float) -> None:
        """Obey this one from now on."""
        before = self.at
        self.touch(now)
        if cap is None or (self.cap is not None and cap.day < self.cap.day):
            self.lifted = self.lifted or cap is None
            return
        known, self.cap, self.lifted, self.at = self.cap is not None, cap, False, max(self.at, now)
        for place, begun in enumerate(_begun(cap, self.at)):
            if not known or begun > before:
                self.counts[place] = self.outstanding
            elif begun < self.begun[place]:  # time is divided otherwise now: what went since then is not known
                self.counts[place] = max(self.counts[place], _most(cap)[place] + self.outstanding)
            self.begun[place] = begun

    def touch(self, now: float) -> None:
        """Somebody came at this time: windows that began since the last one begin to count."""
        if self.cap is None:
            return
        before, self.at = self.at, max(self.at, now)
        for place, begun in enumerate(_begun(self.cap, self.at)):
            if begun > before:
                self.counts[place], self.begun[place] = self.outstanding, begun

    @property
    def binds(self) -> bool:
        return self.cap is not None and not self.lifted

    @property
    def ends(self) -> float:
        """When the sending day ends that binds; `inf` where none does."""
        return self.cap.ends if self.cap is not None and not self.lifted else math.inf

    def copy(self) -> "Quota":
        return replace(self, counts=list(self.counts), begun=list(self.begun))

    @property
    def room(self) -> int:
        """How many units may be taken, once touched. Only where a cap `binds`."""
        if self.cap is None or not self.cap.starts <= self.at < self.cap.ends:
            return 0
        return max(0, min(most - count for most, count in zip(_most(self.cap), self.counts, strict=True)))

    def closed(self) -> Closed:
        """Why there is no room: of several windows the one that ends last."""
        cap = self.cap
        if cap is None or self.lifted or self.at >= cap.ends:
            return Closed(window=Window.UNPLANNED, opens=0.0)
        if self.at < cap.starts:
            return Closed(window=Window.DAY, opens=cap.starts)
        ends = (cap.ends, min(cap.ends, self.begun[1] + _HOUR_S), min(cap.ends, self.begun[2] + _MINUTE_S))
        for window, most, count, opens in zip(WINDOWS, _most(cap), self.counts, ends, strict=True):
            if count >= most:
                return Closed(window=window, opens=opens, most=most)
        raise ValueError("there is room")

    def take(self, units: int) -> None:
        """So many are leased."""
        self.outstanding += units
        self.counts = [count + units for count in self.counts]

    def settle(self, units: int, used: int) -> None:
        """So many that were leased are settled, `used` of them used up: the others are there again."""
        self.outstanding = max(0, self.outstanding - units)
        self.counts = [max(0, count - (units - used)) for count in self.counts]


def sending_day(quota: Quota, now: float) -> int:
    """Which sending day it is, by the cap that binds or, without one, in UTC."""
    if quota.cap is not None and not quota.lifted and quota.cap.starts <= quota.at < quota.cap.ends:
        return quota.cap.day
    return int(now // _DAY_S) + _UNIX_DAY


def use_of(quota: Quota, now: float, marks: Mapping[int, Mapping[Mark, int]], complaints: Mapping[int, int]) -> Use:
    """An account as it stands at this moment."""
    quota.touch(now)
    day, hour, minute = quota.counts
    return Use(
        cap=quota.cap if quota.binds else None,
        day=day,
        hour=hour,
        minute=minute,
        outstanding=quota.outstanding,
        marks=marks,
        complaints=complaints,
    )


def _begun(cap: Cap, at: float) -> tuple[float, float, float]:
    """When the windows began in which this moment lies. Behind the day's end others have begun, whatever they permit."""
    since = at - cap.starts
    return (
        cap.starts if at < cap.ends else cap.ends + math.floor((at - cap.ends) / _DAY_S) * _DAY_S,
        cap.starts + math.floor(since / _HOUR_S) * _HOUR_S,
        cap.starts + math.floor(since / _MINUTE_S) * _MINUTE_S,
    )


def _most(cap: Cap) -> tuple[int, int, int]:
    return cap.per_day, cap.per_hour, cap.per_minute
