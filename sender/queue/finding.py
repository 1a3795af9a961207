"""Where one envelope is now, and what the running lanes say of themselves: what `penstock why` and a live view ask.

Nothing here is needed to deliver.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sender.model import Envelope, LaneId, Route, State
from sender.queue.control import Hold


class Whereabouts(StrEnum):
    """Where an envelope can be."""

    INBOX = "inbox"  # its batch has not been expanded
    READY = "ready"
    LEASED = "leased"
    LATER = "later"  # it waits for its next attempt
    FINAL = "final"
    UNKNOWN = "unknown"  # no such ordinal, or forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store knows of one envelope; fields that do not apply are None."""

    where: Whereabouts
    envelope: Envelope | None = None
    route: Route | None = None
    state: State | None = None  # FINAL: which
    due: float | None = None  # LATER: when it becomes ready, Unix seconds
    lane: LaneId | None = None  # LEASED: who has it
    owner: str = ""
    ahead: int | None = None  # READY: envelopes of its campaign that stand before it on its route, about
    aside: bool = False  # READY: out of line, because a hold or an empty budget keeps its campaign from being leased
    hold: Hold | None = None  # what the partition obeys, if its campaign was given one
    budget: int | None = None  # envelopes that a limited rate lets its partition lease now; None: no limited rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Where a campaign's envelopes wait that are neither in the inbox nor leased."""

    routes: Mapping[Route, int]  # those with most envelopes ready, most first
    oldest: Mapping[Route, float] = field(default_factory=dict)  # on those where it is in line: when the first was queued
    more: int = 0  # routes beyond those
    ready: int = 0  # envelopes, on all routes
    later: int = 0  # packs that wait for a next attempt
    due: float | None = None  # when the first of them becomes ready, Unix seconds
    aside: int = 0  # routes where it is out of line: held, or without budget
    budget: int | None = None  # envelopes that a limited rate permits now, in all partitions; None: no limited rate


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteWork:
    """Envelopes of all campaigns that are ready on a route, and how many of them are set aside."""

    ready: int
    aside: int

    @property
    def may_go(self) -> int:
        """Those that may be leased, by somebody."""
        return self.ready - self.aside


NO_WORK = RouteWork(ready=0, aside=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """What a lane said of itself last."""

    lane: LaneId
    route: Route
    owner: str
    at: float  # Unix seconds
    sessions: int
    connections: int  # that its window permits now
    holding: int  # envelopes leased
    messages_per_second: float  # its pace now; 0: no limit
    limit: str  # what binds it: "window", "pace", "pause", "nothing to send" ...
    until: float  # when that may end, Unix seconds; 0: not known
    rule: str  # the rule that decided, "" where none did
    why: str  # in words, with the receiver's reply where there is one
    most_connections: int = 0  # of its receiver's profile; 0: an older version does not say
    most_per_second: float = 0.0  # likewise
    messages_per_connection: int = 0  # now
    taken: int = 0  # messages that the receiver took since the lane began: from 0 again where it begins anew
    refused: int = 0  # attempts that it did not take, likewise
    refusal: str = ""  # what it said last of those, cut; or how the session failed
    refused_at: float = 0.0  # when, Unix seconds; 0: it refused nothing since the lane began


def newest(reports: Iterable[LaneReport]) -> Mapping[LaneId, LaneReport]:
    """One report a lane: an owner that has just lost a lane and the one that got it may both speak of it."""
    found: dict[LaneId, LaneReport] = {}
    for report in reports:
        known = found.get(report.lane)
        if known is None or report.at > known.at:
            found[report.lane] = report
    return found


class Finds(Protocol):
    """The part of a queue that looks for things."""

    async def find(self, campaign: str, ordinal: int) -> Found:
        """Where this envelope is. Bounded work: an envelope deep inside a large queue may come back as `READY` without
        `envelope` or `ahead`."""

    async def waits(self, campaign: str, limit: int) -> Waits:
        """Where this campaign waits, with at most `limit` routes. Bounded work: beyond some thousand routes it is a sample."""

    async def work_on(self, routes: Sequence[Route]) -> Mapping[Route, RouteWork]:
        """How much is ready on each of these routes."""

    async def last_event(self, campaign: str, ordinal: int, route: Route | None) -> bytes | None:
        """The newest event about this envelope, if it is among the newest that its route's partition keeps (None: any)."""

    async def report_lanes(self, owner: str, reports: Sequence[LaneReport]) -> None:
        """Publish an owner's lanes, all of them, in place of what it published before."""

    async def lanes(self) -> Mapping[LaneId, LaneReport]:
        """The last report of each lane, of owners that are members or were until a moment ago."""
