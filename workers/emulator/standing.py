"""Where one source stands with one receiver: what was seen of it, and what it may do now. Pure: the time is an argument.

Volume, unknown users and complaints cost trust; an offence defers the source, more of them block it, quiet days forgive.
"""

from dataclasses import dataclass
from enum import Enum, auto

from workers.emulator.behaviour import Behaviour, Trust

_DAY_S = 86_400.0
_BLOCK_AT = 3  # the offence that turns deferral into a block


class Mood(Enum):
    """How the receiver meets the source at the moment."""

    WELCOME = auto()
    SLOWED = auto()  # over the rate, or over the day's volume: this message only
    DEFERRED = auto()  # everything is put off
    BLOCKED = auto()  # everything is refused for good


@dataclass(slots=True, kw_only=True)
class _Fading:
    """A count whose weight halves every `half_life_s`."""

    half_life_s: float
    value: float = 0.0
    at: float = 0.0

    def add(self, amount: float, now: float) -> None:
        self.value = self.read(now) + amount
        self.at = now

    def read(self, now: float) -> float:
        if self.value == 0.0:
            return 0.0
        # Old enough to be nothing: also keeps the power from underflowing after years of virtual time.
        ages = (now - self.at) / self.half_life_s
        return self.value * 0.5**ages if ages < 50 else 0.0


class Standing:
    """What a receiver remembers of one source address."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.open = 0  # connections
        trust = behaviour.trust
        self._tried = _Fading(half_life_s=trust.memory_s)
        self._unknown = _Fading(half_life_s=trust.memory_s)
        self._complaints = _Fading(half_life_s=trust.memory_s)
        self._day = -1
        self._today = 0
        self._best_day = 0
        self._free_at = 0.0  # rate: when the next message would be due if all came evenly (GCRA)
        self._held_until = 0.0
        self._blocked = False
        self._offences = 0
        self._offended_at = 0.0

    def __repr__(self) -> str:
        return f"<Standing open={self.open} today={self._today} best={self._best_day} offences={self._offences}>"

    @property
    def today(self) -> int:
        """Messages accepted on the day last seen."""
        return self._today

    @property
    def offences(self) -> int:
        return self._offences

    def mood(self, now: float) -> Mood:
        """How a connection or a MAIL command is met now; takes nothing from the rate."""
        if now < self._held_until:
            return Mood.BLOCKED if self._blocked else Mood.DEFERRED
        return Mood.WELCOME

    def admit(self, now: float) -> Mood:
        """Ask for one message: WELCOME has counted it against the rate and the day."""
        mood = self.mood(now)
        if mood is not Mood.WELCOME:
            return mood
        if self._over_volume(now):
            self._offend(now)
            return Mood.SLOWED
        return Mood.SLOWED if self._over_rate(now) else Mood.WELCOME

    def recipient(self, *, unknown: bool, now: float) -> None:
        """A recipient was named; unknown ones in number are the mark of a bought list."""
        self._tried.add(1.0, now)
        if unknown:
            self._unknown.add(1.0, now)
            self._judge(self._unknown, self._behaviour.trust.unknown_share, now)

    def accepted(self, *, complains: bool, now: float) -> None:
        """A message was taken; a complaint counts at once, though a real reader takes hours."""
        self._turn_day(now)
        self._today += 1
        if complains:
            self._complaints.add(1.0, now)
            self._judge(self._complaints, self._behaviour.trust.complaint_share, now)

    def _over_rate(self, now: float) -> bool:
        rate = self._behaviour.messages_per_s
        if not rate:
            return False
        due = max(self._free_at, now) + 1 / rate
        if due - now > self._behaviour.burst / rate:
            return True
        self._free_at = due
        return False

    def _over_volume(self, now: float) -> bool:
        trust = self._behaviour.trust
        if not trust.first_day:
            return False
        self._turn_day(now)
        return self._today >= max(trust.first_day, self._best_day * trust.growth)

    def _turn_day(self, now: float) -> None:
        day = int(now // _DAY_S)
        if day != self._day:
            self._best_day = max(self._best_day, self._today)
            self._day, self._today = day, 0

    def _judge(self, bad: _Fading, share: float, now: float) -> None:
        tried = self._tried.read(now)
        if tried >= self._behaviour.trust.judged_from and bad.read(now) > share * tried:
            bad.value = 0.0  # one offence for what was seen so far
            self._offend(now)

    def _offend(self, now: float) -> None:
        trust = self._behaviour.trust
        self._offences = self._remaining(trust, now) + 1
        self._offended_at = now
        self._blocked = self._offences >= _BLOCK_AT
        pause_s = trust.block_s if self._blocked else trust.defer_s * 2 ** (self._offences - 1)
        self._held_until = now + pause_s

    def _remaining(self, trust: Trust, now: float) -> int:
        forgiven = int((now - self._offended_at) // trust.forgive_s) if self._offences else 0
        return max(0, self._offences - forgiven)
