"""What came of each simulated day, lane by lane."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sender.model import Category, LaneId, Verdict
from sender.record import Attempt

# What a receiver says of a source or of its domain, and not of one mailbox, one message or one moment of its own.
_OF_THE_SOURCE = frozenset({Category.RATE, Category.BLOCK, Category.POLICY, Category.AUTHENTICATION, Category.CONTENT})


@dataclass(slots=True, kw_only=True)
class LaneDay:
    """One lane on one day."""

    day: int  # counted from 0
    lane: LaneId
    stage: str = ""  # of its plan, as the day ended
    cap: int | None = None  # envelopes it might have sent; None: as many as there were
    asked: int = 0  # envelopes there were for its receiver
    sent: int = 0  # delivered
    deferred: int = 0  # attempts put off, for whatever reason
    held_off: int = 0  # of those: because of what the receiver thinks of the source
    blocked: int = 0  # attempts refused because of the source, put off or not
    bounced: int = 0
    unknown: int = 0  # of those: nobody of that name
    complaints: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # the rules that decided what was not delivered
    changes: list[str] = field(default_factory=list)  # of its progress, in words

    def __repr__(self) -> str:
        return f"<LaneDay {self.day} {self.lane}: {self.stage or 'no plan'}, {self.sent} of {self.asked}>"


class Book:
    """The days of a simulation; `begin` each before it is counted."""

    def __init__(self) -> None:
        self._day = -1
        self._lanes: dict[tuple[int, LaneId], LaneDay] = {}

    def begin(self, day: int) -> None:
        self._day = day

    def lane(self, lane: LaneId, day: int | None = None) -> LaneDay:
        """The entry of a lane, of today if no day is given."""
        key = (self._day if day is None else day, lane)
        entry = self._lanes.get(key)
        if entry is None:
            entry = self._lanes[key] = LaneDay(day=key[0], lane=lane)
        return entry

    def note(self, attempt: Attempt) -> None:
        """Count an attempt."""
        entry, outcome = self.lane(attempt.lane), attempt.outcome
        if outcome.verdict is Verdict.DELIVERED:
            entry.sent += 1
            return
        entry.reasons[outcome.rule] += 1
        entry.blocked += outcome.category is Category.BLOCK
        if outcome.verdict is Verdict.DEFERRED:
            entry.deferred += 1
            entry.held_off += outcome.category in _OF_THE_SOURCE
        else:
            entry.bounced += 1
            entry.unknown += outcome.category is Category.UNKNOWN_USER

    def __iter__(self) -> Iterator[LaneDay]:
        """By day, then by lane."""
        return iter(sorted(self._lanes.values(), key=lambda entry: (entry.day, str(entry.lane))))
