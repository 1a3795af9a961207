"""Where one source stands with one receiver: what was seen of it, and what it may do now. Pure: the time is an argument.

Volume, unknown users and complaints cost trust; an offence defers the source, more of them block it, quiet days forgive.
What volume a receiver takes is `volume`'s to say, from what it was used to.
"""

from dataclasses import dataclass
from enum import Enum, auto

from workers.emulator.behaviour import Behaviour, Trust
from workers.emulator.volume import Volume

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
        self._taken = _Fading(half_life_s=trust.memory_s)
        self._complaints = _Fading(half_life_s=trust.memory_s)
        self._volume = Volume(trust)
        self._free_at = 0.0  # rate: when the next message would be due if all came evenly (GCRA)
        self._held_until = 0.0
        self._blocked = False
        self._offences = 0
        self._offended_at = 0.0

    def __repr__(self) -> str:
        return f"<Standing open={self.open} {self._volume!r} offences={self._offences}>"

    @property
    def offences(self) -> int:
        return self._offences

    def usual(self, now: float) -> float:
        """Messages a day that the receiver is used to."""
        return self._volume.usual(now)

    def connections(self, now: float) -> int:
        """How many it may have open: half as many for each offence that is not forgiven; 0 means any number."""
        limit = self._behaviour.connections
        return max(1, limit >> self._remaining(self._behaviour.trust, now)) if limit else 0

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
        if self._over_volume(now) or self._over_rate(now):
            return Mood.SLOWED
        return Mood.WELCOME

    def recipient(self, *, unknown: bool, now: float) -> None:
        """A recipient was named; unknown ones in number are the mark of a bought list."""
        trust = self._behaviour.trust
        self._tried.add(1.0, now)
        if unknown:
            self._unknown.add(1.0, now)
            if (
                self._tried.read(now) >= trust.judged_from
                and self._share(self._unknown, self._tried, now) > trust.unknown_share
            ):
                self._unknown.value = 0.0  # one offence for what was seen so far
                self._offend(now)

    def accepted(self, *, complains: bool, now: float) -> None:
        """A message was taken; a complaint counts at once, though a real reader takes hours."""
        trust = self._behaviour.trust
        self._volume.count(now)
        self._taken.add(1.0, now)
        if complains:
            self._complaints.add(1.0, now)
            if self._complained(now) >= trust.complaint_share:
                self._complaints.value = 0.0
                self._offend(now)

    def acquaint(self, volume: int, now: float) -> None:
        """The receiver has been used to so many messages a day, from before anybody looked."""
        self._volume.acquaint(volume, now)

    def bar(self, until: float) -> None:
        """Take nothing until then, for reasons of the receiver's own: a list it reads names the address."""
        self._blocked, self._held_until = True, max(self._held_until, until)

    def _complained(self, now: float) -> float:
        """The share of readers who complained lately; 0 while too few were written to."""
        enough = self._taken.read(now) >= self._behaviour.trust.complaints_from
        return self._share(self._complaints, self._taken, now) if enough else 0.0

    def _share(self, some: _Fading, of: _Fading, now: float) -> float:
        return some.read(now) / max(1.0, of.read(now))

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
        uneasy = self._complained(now) >= trust.complaint_unease
        over = self._volume.over(now, grows=not uneasy)
        if over and self._volume.insists:
            self._volume.forgive_today()
            self._offend(now)
        return over

    def _offend(self, now: float) -> None:
        trust = self._behaviour.trust
        self._offences = self._remaining(trust, now) + 1
        self._offended_at = now
        self._blocked = self._offences >= _BLOCK_AT or self.mood(now) is Mood.BLOCKED  # an offence lifts no block
        pause_s = trust.block_s if self._blocked else trust.defer_s * trust.defer_grows ** (self._offences - 1)
        self._held_until = max(self._held_until, now + pause_s)
        self._volume.lose()

    def _remaining(self, trust: Trust, now: float) -> int:
        forgiven = int((now - self._offended_at) // trust.forgive_s) if self._offences else 0
        return max(0, self._offences - forgiven)
