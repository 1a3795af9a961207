"""What volume a receiver is used to from one source, and how much of it may come now. Pure: the time is an argument.

Mail earns the right to more mail: a day's measure is what the receiver is used to, and as much more as its rule of growth
says. A jump is not taken: what is over the measure is slowed to a trickle, until the next hour or the next day, and a day
on which that was necessary earns little.
"""

from collections import deque

from workers.emulator.behaviour import Trust

_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_HOURS = 24
_SENDING = 0.1  # of what it is used to: less, and the day says nothing about the source
_INSISTS_FROM = 20  # messages over the measure, before anybody speaks of insistence


class Volume:
    """The volume of one source; days and hours are those of UTC."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._day, self._hour = -1, -1
        self.today = 0  # messages taken
        self._this_hour = 0
        self._beyond, self._slowed = 0, False  # of today: asked for over the measure; whether anything was
        self._measure = 0.0
        self._least = min(factor for _, factor in trust.growth)
        self._days: deque[float] = deque(maxlen=trust.used_days)  # sending days that are over

    def __repr__(self) -> str:
        return f"today={self.today} of {self._measure:.0f}"

    @property
    def insists(self) -> bool:
        """Whether the source has been told to slow down and has not, for as long as the receiver has patience."""
        return self._beyond >= max(_INSISTS_FROM, self._measure * self._trust.insistence)

    def usual(self, now: float) -> float:
        """Messages a day that the receiver is used to."""
        self._turn(now)
        return self._mean()

    def over(self, now: float, *, grows: bool) -> bool:
        """Whether one more message is too many now; where nothing `grows`, little more comes than it is used to."""
        usual = self.usual(now)
        self._measure = max(float(self._trust.first_day), usual * (self._factor(usual) if grows else self._least))
        slow = self.today >= self._measure
        most = self._measure / _HOURS if slow else max(1.0, self._measure * self._trust.hour_share)
        if self._this_hour < most:
            return False
        self._beyond += 1
        self._slowed = True
        return True

    def acquaint(self, volume: int, now: float) -> None:
        """So many came on each of the days before."""
        self._turn(now)
        self._days.extend([float(volume)] * self._trust.used_days)

    def count(self, now: float) -> None:
        """A message was taken."""
        self._turn(now)
        self.today += 1
        self._this_hour += 1

    def lose(self) -> None:
        """Trust is lost: the receiver is used to half of what it was."""
        self._days = deque((day / 2 for day in self._days), maxlen=self._trust.used_days)

    def forgive_today(self) -> None:
        """What was over the measure so far has been answered for."""
        self._beyond = 0

    def _remember(self) -> None:
        """Take the day that is over among those the receiver is used to."""
        used, today = self._mean(), float(self.today)
        if today <= used * _SENDING:
            return
        if self._slowed and today > used:
            today = used + (today - used) * self._trust.slowed_earns
        self._days.append(today)

    def _mean(self) -> float:
        return sum(self._days) / len(self._days) if self._days else 0.0

    def _factor(self, usual: float) -> float:
        return next(factor for below, factor in self._trust.growth if usual < below)

    def _turn(self, now: float) -> None:
        """Begin a new hour, and a new day, where one has begun."""
        hour = int(now // _HOUR_S)
        if hour == self._hour:
            return
        self._hour, self._this_hour = hour, 0
        day = int(now // _DAY_S)
        if day == self._day:
            return
        self._remember()
        if self._day >= 0 and day - self._day > self._trust.idle_days:
            self._days = deque((used * self._trust.idle_keeps for used in self._days), maxlen=self._trust.used_days)
        self.today, self._beyond, self._slowed = 0, 0, False
        self._day = day
