"""Lanes as live views show them: one row each, with what it does now, what waits for it, and who is shown first."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sender.explaining.explanation import counted
from sender.explaining.facts import FleetFacts
from sender.model import LaneId, Route
from sender.queue.base import Queue, ReadyRoute
from sender.queue.finding import NO_WORK, LaneReport, RouteWork
from sender.queue.lane_holds import ANY, LaneHold
from sender.queue.warmups import OTHER, TAIL
from sender.warming.warmer import Standing

UP = ("held", "fenced", "journal", "paused", "stopped", "at its cap")  # held up: these come first
NO_LANE = "no lane yet"  # its route has work
_STATES = {
    "pause": "paused",
    "stop": "stopped",
    "cap": "at its cap",
    "nothing to send": "idle",
    "receiver": "sending",
    "pace": "at pace",
    "connection pace": "connecting",
    "window": "at window",
    "process": "no place",
    "draining": "ending",
}
_GOES = ("receiver", "pace", "window", "connection pace", "process")  # of many lanes one of these says what they do


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """One lane as it is shown; or the long tail of a source, as one."""

    lane: LaneId
    route: Route
    report: LaneReport | None  # None: none runs
    hold: LaneHold | None
    work: RouteWork  # on its route, which all sources of the pool share
    own: RouteWork = NO_WORK  # what stays with it
    standing: Standing | None = None  # in its warmup; None: it has no plan, or nobody has looked
    rate: float | None = None  # messages taken a second, over the last seconds; None: not known yet
    refusals: float | None = None  # attempts a second that came to anything else
    lanes: int = 1  # that it stands for

    @property
    def state(self) -> str:
        """What it does, in a word or two."""
        if self.hold is not None:
            return "held"
        if self.report is not None:
            return _STATES.get(self.report.limit, self.report.limit)
        if self.standing is None:
            return NO_LANE
        return "stopped" if not self.standing.cap.per_day else "at its cap" if self.standing.full else NO_LANE

    @property
    def held_up(self) -> bool:
        """Whether it sends nothing, for a reason that somebody should know."""
        return self.state in UP

    @property
    def waits(self) -> int:
        """Envelopes that are ready where it takes from."""
        return self.work.ready + self.own.ready

    @property
    def order(self) -> tuple[int, int, str]:
        """Who is held up first, then who has most to do."""
        return (UP.index(self.state) if self.held_up else len(UP), -self.waits, str(self.lane))


def lane_routes(fleet: FleetFacts, ready: Iterable[ReadyRoute]) -> dict[LaneId, Route]:
    """The lanes that say something, and those that a route with work would have."""
    routes = {lane: report.route for lane, report in fleet.lanes.items()}
    for waiting in ready:
        route = waiting.route.shared
        for source in fleet.of_pool(route.pool):
            if waiting.route.source in ("", source.name):
                routes.setdefault(LaneId(source=source.name, receiver=route.receiver), route)
    return routes


def lane_rows(fleet: FleetFacts, routes: Mapping[LaneId, Route], work: Mapping[Route, RouteWork]) -> list[LaneRow]:
    """A row for each of these lanes, in order; `work` is what their routes have, and what stays with each of them."""
    rows = [
        LaneRow(
            lane=lane,
            route=route,
            report=fleet.lanes.get(lane),
            hold=fleet.hold(lane),
            work=work.get(route, NO_WORK),
            own=work.get(route.own(lane.source), NO_WORK),
        )
        for lane, route in routes.items()
    ]
    return sorted(rows, key=lambda row: row.order)


async def exact_work(queue: Queue, routes: Mapping[LaneId, Route]) -> Mapping[Route, RouteWork]:
    """What is ready for each of these lanes: a question for each, so that it is for few of them."""
    asked = {route for lane, shared in routes.items() for route in (shared, shared.own(lane.source))}
    return await queue.work_on(sorted(asked, key=str))


def shown_lane(lane: LaneId) -> LaneId:
    """Under which name a lane is shown where the long tail of its source is one row."""
    return replace(lane, receiver=OTHER) if lane.receiver.startswith(TAIL) else lane


def rolled_up(rows: Iterable[LaneRow], work: Mapping[Route, RouteWork]) -> Iterator[LaneRow]:
    """The same, with one row a source for all its receivers without a profile: there may be thousands.

    `work` is what is ready on all of their routes together, under the receiver "other".
    """
    tails: dict[str, list[LaneRow]] = defaultdict(list)
    for row in rows:
        if row.lane.receiver.startswith(TAIL):
            tails[row.lane.source].append(row)
        else:
            yield row
    for tail in tails.values():
        lane, route = shown_lane(tail[0].lane), replace(tail[0].route, receiver=OTHER)
        own = work.get(route.own(lane.source), NO_WORK)
        yield _as_one(tail, "receiver", lane=lane, route=route, work=work.get(route, NO_WORK), own=own)


def by_receiver(rows: Iterable[LaneRow]) -> list[LaneRow]:
    """The same, with one row for all lanes at a receiver, whatever their source."""
    found: dict[str, list[LaneRow]] = defaultdict(list)
    for row in rows:
        found[row.lane.receiver].append(row)
    return [
        _as_one(
            several,
            "lane",
            lane=LaneId(source=ANY, receiver=receiver),
            route=several[0].route,
            work=_sum({row.route: row.work for row in several}.values()),
            own=_sum(row.own for row in several),
        )
        for receiver, several in found.items()
    ]


def _as_one(several: Sequence[LaneRow], noun: str, *, lane: LaneId, route: Route, work: RouteWork, own: RouteWork) -> LaneRow:
    """Many lanes in one row: figures are sums, and what it does is what those do that can."""
    held = [row.hold for row in several if row.hold is not None]
    reports = [row.report for row in several if row.report is not None]
    return LaneRow(
        lane=lane,
        route=route,
        report=_summed(several, reports, noun, lane, route) if reports else None,
        hold=held[0] if len(held) == len(several) else None,
        work=work,
        own=own,
        rate=_total(row.rate for row in several),
        refusals=_total(row.refusals for row in several),
        lanes=sum(row.lanes for row in several),
    )


def _summed(several: Sequence[LaneRow], reports: Sequence[LaneReport], noun: str, lane: LaneId, route: Route) -> LaneReport:
    newest = max(reports, key=lambda report: report.at)
    refused = max(reports, key=lambda report: report.refused_at)
    limits = Counter(report.limit for report in reports)
    limit = next((one for one in _GOES if limits[one]), limits.most_common(1)[0][0])
    untils = [report.until for report in reports if report.until and report.limit == limit]
    states = Counter[str]()
    for row in several:
        states[row.state] += row.lanes
    words = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
    return replace(
        newest,
        lane=lane,
        route=route,
        sessions=sum(report.sessions for report in reports),
        connections=sum(report.connections for report in reports),
        holding=sum(report.holding for report in reports),
        messages_per_second=sum(report.messages_per_second for report in reports),
        most_connections=sum(report.most_connections for report in reports),
        most_per_second=sum(report.most_per_second for report in reports),
        messages_per_connection=0,
        limit=limit,
        until=min(untils, default=0.0),
        rule="",
        why=f"{counted(states.total(), noun)}: {words}",
        taken=sum(report.taken for report in reports),
        refused=sum(report.refused for report in reports),
        refusal=refused.refusal,
        refused_at=refused.refused_at,
    )


def _sum(works: Iterable[RouteWork]) -> RouteWork:
    every = list(works)
    return RouteWork(ready=sum(work.ready for work in every), aside=sum(work.aside for work in every))


def _total(rates: Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None
