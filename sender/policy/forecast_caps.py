"""A plan's caps as time goes on: what an account may use in its day, hour and minute, and how its stages are passed.

The stages are decided by the very rules that decide them when mail is sent (`sender.policy.warmup`), told what the forecast
expects of each day, and that every gate holds.
"""

from sender.policy.forecast import AccountOutlook, Bind
from sender.policy.gates import Tally
from sender.policy.schedule import FOR_EVER
from sender.policy.warmup import begin, cap_of, decide

_HOUR_S, _MINUTE_S = 3_600.0, 60.0
_LITTLE = 1e-6  # of an envelope: what is left of a window is used up


class Account:
    """One account, while a forecast runs. Time only goes forward."""

    def __init__(self, outlook: AccountOutlook, now: float) -> None:
        self.name, self._plan, self._tally = outlook.name, outlook.plan, outlook.tally
        progress = outlook.progress if outlook.progress is not None else begin(outlook.plan, now).progress
        self._progress = progress
        self._delivered = self._used = 0.0  # of the day that is counted, beside its tally
        self._day = self._plan.day(now)
        self._cap = cap_of(self._plan, progress, self._day)
        self.day, self.hour = float(outlook.day), float(outlook.hour)
        self._hour_ends = self._hour_end(now)
        self.roll(now)

    @property
    def stopped(self) -> bool:
        return self._progress.stopped_on(self._day.number)

    @property
    def warming(self) -> bool:
        """Whether it may send, and a cap holds it."""
        return not self._progress.warm and not self.stopped

    @property
    def per_day(self) -> int | None:
        """The cap of the day; None where there is none."""
        return self._cap.per_day if self.warming or self.stopped else None

    def roll(self, now: float) -> None:
        """Begin the windows that begin by now."""
        if now >= self._day.ends:
            self._close(now)
        if now >= self._hour_ends:
            self.hour, self._hour_ends = 0.0, self._hour_end(now)

    def permits(self) -> tuple[float, Bind]:
        """Units a second now, and the window that says so."""
        if self.stopped:
            return 0.0, Bind.STOPPED
        if not self.warming:
            return FOR_EVER, Bind.PLAN_MINUTE
        if self._cap.per_day - self.day <= _LITTLE:
            return 0.0, Bind.PLAN_DAY
        if self._cap.per_hour - self.hour <= _LITTLE:
            return 0.0, Bind.PLAN_HOUR
        return self._cap.per_minute / _MINUTE_S, Bind.PLAN_MINUTE

    def left(self) -> float:
        """Units until a window is used up."""
        if not self.warming:
            return FOR_EVER
        return max(0.0, min(self._cap.per_day - self.day, self._cap.per_hour - self.hour))

    def next_window(self) -> float:
        """When a window begins that changes what it permits, Unix seconds."""
        waits_for_hour = self.warming and self.hour > 0 and self._cap.per_day - self.day > _LITTLE
        return min(self._hour_ends, self._day.ends) if waits_for_hour else self._day.ends

    def take(self, units: float, delivered: float) -> None:
        self.day += units
        self.hour += units
        self._used += units
        self._delivered += delivered

    def _close(self, now: float) -> None:
        """The day is over; of several days only the last had anything to show."""
        tally = self._tally + Tally(delivered=round(self._delivered), used=round(self._used))
        self._progress = decide(self._plan, self._progress, tally, now).progress
        self._tally, self._delivered, self._used = Tally(), 0.0, 0.0
        self._day = self._plan.day(now)
        self._cap = cap_of(self._plan, self._progress, self._day)
        self.day = self.hour = 0.0
        self._hour_ends = self._hour_end(now)

    def _hour_end(self, now: float) -> float:
        """Hours are counted from the day's start, as the store counts them."""
        return self._day.starts + (int((now - self._day.starts) // _HOUR_S) + 1) * _HOUR_S

    def __repr__(self) -> str:
        return f"<Account {self.name} {self._cap!r}, {self.day:.0f} used today>"
