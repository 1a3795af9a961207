"""Gates: what a receiver's answers must keep below while a lane warms up.

A `Tally` is what came of the attempts of a day. Each `Gate` is one of its rates with up to three thresholds: from `hold` on a
stage is not passed, from `back` on the lane goes back to the stage before, from `stop` on it sends nothing for a while. Rates
are judged over a sample, and never by fewer events than `least`: one deferral of fifty is two per cent, and says nothing.

Nobody is judged by connection limits and lost connections. A lane is not judged by what a receiver holds against the
sender's domain: that is judged by itself, on all sources, and by nothing that a receiver holds against one of those.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum

from msgspec import Struct

from sender.model import Mark


class Tally(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of attempts: how many ended in what."""

    delivered: int = 0
    deferred: int = 0
    blocked: int = 0
    bounced: int = 0  # refused for good, unknown users included
    unknown: int = 0
    complaints: int = 0
    used: int = 0  # units of the cap
    earlier: int = 0  # delivered on the sending day before: complaints that come now may be about that

    @classmethod
    def of(cls, marks: Mapping[Mark, int], complaints: int = 0, *, identity: bool = False) -> "Tally":
        """The tally of a lane, or of a sending identity, from the marks of its attempts."""
        blocked = (Mark.DOMAIN,) if identity else (Mark.BLOCKED, Mark.TURNED_AWAY)
        unknown = marks.get(Mark.UNKNOWN_USER, 0)
        return cls(
            delivered=marks.get(Mark.DELIVERED, 0),
            deferred=0 if identity else marks.get(Mark.DEFERRED, 0),  # a deferral is the lane's own
            blocked=sum(marks.get(mark, 0) for mark in blocked),
            bounced=marks.get(Mark.BOUNCED, 0) + unknown,
            unknown=unknown,
            complaints=complaints,
            used=sum(count for mark, count in marks.items() if mark.uses),
        )

    @property
    def judged(self) -> int:
        """Attempts that say something about the sender."""
        return self.delivered + self.deferred + self.blocked + self.bounced

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in Tally.__struct_fields__})


class Weight(IntEnum):
    """How much a breached gate asks for; the heavier, the higher."""

    HOLD = 1
    BACK = 2
    STOP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The thresholds of one rate, each a share from 0 to 1; None asks for nothing."""

    hold: float | None = None
    back: float | None = None
    stop: float | None = None
    least: int = 2  # fewer events than this are chance

    def weigh(self, events: int, out_of: int) -> Weight | None:
        """What so many events out of so many attempts ask for; None where the gate holds."""
        if events < self.least or not out_of:
            return None
        for weight, threshold in ((Weight.STOP, self.stop), (Weight.BACK, self.back), (Weight.HOLD, self.hold)):
            if threshold is not None and events / out_of >= threshold:
                return weight
        return None

    @property
    def limit(self) -> float | None:
        """Where the gate begins to ask for something."""
        return min((each for each in (self.hold, self.back, self.stop) if each is not None), default=None)

    def threshold(self, weight: Weight) -> float | None:
        return {Weight.HOLD: self.hold, Weight.BACK: self.back, Weight.STOP: self.stop}[weight]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """All gates of a plan. The numbers here hold where a plan says nothing; config/README.md names their sources."""

    sample: int = 50  # attempts; what falls short of it is carried over to the next sending day
    deferral: Gate = Gate(hold=0.02, back=0.2)
    block: Gate = Gate(back=0.001, stop=0.2, least=1)
    bounce: Gate = Gate(hold=0.02, back=0.05)
    unknown_user: Gate = Gate(hold=0.02, back=0.05)
    complaint: Gate = Gate(hold=0.001, back=0.003, stop=0.005, least=3)

    def readings(self, tally: Tally) -> Iterator["Reading"]:
        """Each gate with its rate now, and what that asks for."""
        counts = {
            "deferral": (tally.deferred, tally.judged),
            "block": (tally.blocked, tally.judged),
            "bounce": (tally.bounced, tally.judged),
            "unknown_user": (tally.unknown, tally.judged),
            "complaint": (tally.complaints, max(tally.delivered, tally.earlier)),
        }
        for name, (events, out_of) in counts.items():
            gate: Gate = getattr(self, name)
            weight = gate.weigh(events, out_of) if self.enough(tally) else None
            yield Reading(name=name, events=events, out_of=out_of, gate=gate, weight=weight)

    def ratios(self, tally: Tally) -> Mapping[str, float]:
        """What each gate judges by: 0 where there is too little to judge by, or no more than chance."""
        enough = self.enough(tally)
        return {each.name: each.rate if enough and each.events >= each.gate.least else 0.0 for each in self.readings(tally)}

    @property
    def limits(self) -> Mapping[str, float]:
        """Where each gate begins to ask for something; not of those that never do."""
        return {name: limit for name in GATES if (limit := getattr(self, name).limit) is not None}

    def enough(self, tally: Tally) -> bool:
        """Whether there are attempts enough to judge by. A receiver that shuts its door need not be asked so often."""
        shut = tally.blocked >= max(self.block.least, self.sample // 10) and tally.blocked > tally.judged / 2
        return tally.judged >= self.sample or shut

    def worst(self, tally: Tally) -> "Reading | None":
        """The gate that asks for most; None where all hold, or where there is too little to judge by."""
        if not self.enough(tally):
            return None
        breached = [reading for reading in self.readings(tally) if reading.weight is not None]
        return max(breached, key=lambda reading: reading.weight or 0, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One gate as it stands."""

    name: str
    events: int
    out_of: int
    gate: Gate
    weight: Weight | None  # what it asks for; None where it holds

    @property
    def rate(self) -> float:
        return self.events / self.out_of if self.out_of else 0.0

    def __str__(self) -> str:
        """In words: "deferral 3.10% (31 of 1,000), the limit is 2%"."""
        limit = self.gate.threshold(self.weight) if self.weight else self.gate.limit
        words = self.name.replace("_", " ")
        allowed = f", the limit is {percent(limit)}" if limit is not None else ""
        return f"{words} {self.rate:.2%} ({self.events:,} of {self.out_of:,}){allowed}"


def percent(share: float) -> str:
    """A share as people write it: 0.02 is "2%", 0.001 is "0.1%"."""
    return f"{share * 100:.4g}%"


GATES = tuple(item.name for item in fields(Gates) if item.name != "sample")
