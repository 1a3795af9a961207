"""What came of each simulated day, lane by lane."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sender.model import Category, LaneId, Verdict
from sender.policy.warmup import Decision
from sender.queue.warmups import OTHER, TAIL
from sender.record import Attempt
from sender.warming.warmer import Standing

# What a receiver says of a source or of its domain, and not of one mailbox, one message or one moment of its own.
_OF_THE_SOURCE = frozenset({Category.RATE, Category.BLOCK, Category.POLICY, Category.AUTHENTICATION, Category.CONTENT})


@dataclass(slots=True, kw_only=True)
class LaneDay:
    """One lane on one day."""

    day: int  # counted from 0
    lane: LaneId
    stage: int | None = None  # of its plan, counted from 1, as the day began; None: no plan
    cap: int | None = None  # envelopes it might send; None: any number
    asked: int = 0  # envelopes there were for it
    sent: int = 0  # delivered
    deferred: int = 0  # attempts put off, for whatever reason
    held_off: int = 0  # of those: because of what the receiver thinks of the source
    blocked: int = 0  # attempts refused because of the source, put off or not
    bounced: int = 0
    unknown: int = 0  # of those: nobody of that name
    complaints: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # the rules that decided what was not delivered
    changes: list[Decision] = field(default_factory=list)  # what became of its stage, during the day and as it was judged

    def __repr__(self) -> str:
        return f"<LaneDay {self.day} {self.lane}: stage {self.stage}, {self.sent} of {self.asked}>"


class Book:
    """The days of a simulation; `begin` each before it is counted."""

    def __init__(self) -> None:
        self._day = -1
        self._lanes: dict[tuple[int, LaneId], LaneDay] = {}
        self._standings: Mapping[str, Standing] = {}

    def begin(self, day: int, standings: Mapping[str, Standing]) -> None:
        """A day begins, with the lanes where they are now."""
        self._day, self._standings = day, dict(standings)

    def lane(self, lane: LaneId) -> LaneDay:
        """Today's entry of a lane; receivers without a profile have one together."""
        if lane.receiver.startswith(TAIL):
            lane = LaneId(source=lane.source, receiver=OTHER)
        entry = self._lanes.get((self._day, lane))
        if entry is None:
            entry = self._lanes[self._day, lane] = LaneDay(day=self._day, lane=lane)
            standing = self._standings.get(str(lane))
            if standing is not None:
                entry.stage = standing.progress.stage + 1
                entry.cap = standing.cap.per_day if standing.cap.limits else None
        return entry

    def change(self, name: str, decision: Decision) -> None:
        """The progress of a lane has changed."""
        source, _, receiver = name.partition("/")
        if receiver:
            self.lane(LaneId(source=source, receiver=receiver)).changes.append(decision)

    def complained(self, lane: LaneId) -> None:
        """A reader of this lane's mail has complained."""
        self.lane(lane).complaints += 1

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
