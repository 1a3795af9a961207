"""What the lanes of a process say of themselves, about once a second: `penstock why` and live views read it from the queue,
Prometheus from the process.

A report names the one thing that binds the lane now (`limit`), in this order:

    fenced           the owner may not send: it could not tell the others that it lives
    journal          the disk takes no record of what goes out
    pause            a rule stopped the lane; `why` has the receiver's reply
    draining         it ends, or goes to another owner
    stop             nothing held, and a rule stopped a domain or a campaign at this receiver
    cap              nothing held, and what its warmup permits for now is used up
    nothing to send  its route has nothing that may be leased now
    pace             messages a second
    connection pace  connections a minute
    process          all sessions of the process are in use
    window           as many connections as it may have, all in use
    receiver         nothing of ours: it waits for replies
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import trio

from sender.crew import Crew
from sender.errors import BackendError
from sender.lane import Lane
from sender.lane_figures import figures
from sender.metrics import LaneFigures
from sender.model import LaneId, Route
from sender.policy.pace import Pause
from sender.policy.stops import Stop, Stops
from sender.policy.throttle import Throttle
from sender.queue.finding import Finds, LaneReport

_EVERY_S = 1.0
_AT_ONCE = 400  # lanes reported in a second; of more, each is heard of less often: this is work, and most of them rest
_WHY_MOST = 500  # characters: a receiver's words may be 64 kB, and they are told again and again
_EVERY_MOST_S = 5.0  # whoever reads takes a lane that says nothing for longer for one that is gone


class Bound(NamedTuple):
    """What binds a lane. `until` is a time of the lane's own clock, 0 where it is not known."""

    limit: str
    why: str
    until: float = 0.0
    rule: str = ""


class Lanes(Protocol):
    """What an engine shows of its lanes."""

    def running(self) -> Iterable[Lane]: ...
    def resting(self, now: float) -> Iterable[tuple[LaneId, Route, Throttle]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Publishes what the lanes of one process do."""

    lanes: Lanes
    stops: Stops
    queue: Finds
    owner: Callable[[], str]
    clock: Callable[[], float]  # Unix seconds
    label: Callable[[str], str] = lambda receiver: receiver  # what metrics call it
    show: Callable[[Mapping[tuple[str, str], LaneFigures]], None] = lambda figures: None
    on_trouble: Callable[[str], None] = lambda text: None

    async def run(self) -> None:
        """Report for ever. What can't be told is told a moment later: nothing depends on it."""
        while True:
            now = trio.current_time()
            self.show(figures(self.lanes.running(), self.lanes.resting(now), self.label, now))
            reports = list(self.reports())
            try:
                await self.queue.report_lanes(self.owner(), reports)
            except BackendError as error:
                self.on_trouble(str(error))
            await trio.sleep(min(_EVERY_MOST_S, max(_EVERY_S, len(reports) / _AT_ONCE)))

    def reports(self) -> Iterator[LaneReport]:
        """All lanes that run, and those that have ended in a pause: it holds their route all the same."""
        now, at, owner = trio.current_time(), self.clock(), self.owner()
        stopped = self.stops.by_receiver(now)
        for lane in self.lanes.running():
            bound = binding(lane, stopped.get(lane.id.receiver), now)
            yield _report(lane.id, lane.route, lane.throttle, bound, owner, now, at, lane.crew)
        for lane_id, route, throttle in self.lanes.resting(now):
            bound = _paused(throttle.pause) if throttle.pause is not None else Bound("nothing to send", "")
            yield _report(lane_id, route, throttle, bound, owner, now, at)


def _report(
    lane: LaneId,
    route: Route,
    throttle: Throttle,
    bound: Bound,
    owner: str,
    now: float,
    at: float,
    crew: Crew | None = None,
) -> LaneReport:
    """What a lane does; without a crew it rests."""
    refusal = throttle.refusal
    return LaneReport(
        lane=lane,
        route=route,
        owner=owner,
        at=at,
        sessions=crew.sessions if crew is not None else 0,
        connections=throttle.connections(now) if crew is not None else 0,
        holding=crew.holding if crew is not None else 0,
        messages_per_second=throttle.messages_per_second(now),
        limit=bound.limit,
        until=_unix(bound.until, now, at),
        rule=bound.rule,
        why=bound.why[:_WHY_MOST],
        most_connections=throttle.limits.connections,
        most_per_second=throttle.limits.messages_per_second,
        messages_per_connection=throttle.messages_per_connection(now),
        taken=throttle.taken,
        refused=throttle.refused,
        refusal=refusal.words if refusal is not None else "",
        refused_at=_unix(refusal.at, now, at) if refusal is not None else 0.0,
    )


def binding(lane: Lane, stop: Stop | None, now: float) -> Bound:
    """The one thing that keeps this lane from sending more; `stop` is what its receiver has stopped beyond the lane."""
    throttle, crew, services = lane.throttle, lane.crew, lane.crew.services
    if not services.alive():
        return Bound("fenced", "this process could not tell the others that it lives: it sends nothing until it can again")
    if not services.journal.healthy:
        return Bound("journal", "the journal can't be written, so nothing may go out; the process's log says why")
    if throttle.pause is not None and throttle.paused(now):
        return _paused(throttle.pause)
    if crew.draining:
        return Bound("draining", "it finishes what it has begun, and ends")
    if not crew.holding:
        if (closing := lane.closing) is not None:
            return Bound("cap", closing.why, closing.opens)
        if stop is not None:
            return Bound("stop", f"{stop.category}: {stop.reason}", stop.until, stop.rule)
        return Bound("nothing to send", "its route has nothing that may be leased now")
    return _pace(throttle, now) or _connections(lane, now)


def _paused(pause: Pause) -> Bound:
    return Bound("pause", f"{pause.category}: {pause.reason}" if pause.reason else str(pause.category), pause.until, pause.rule)


def _pace(throttle: Throttle, now: float) -> Bound | None:
    """Messages a second bind; slowed by a rule, for as long as that lasts."""
    if throttle.next_message_at(now) <= now:
        return None
    share = throttle.share(now)
    why = f"{_number(throttle.messages_per_second(now))} messages a second"
    if share >= 1:
        return Bound("pace", f"{why}, the receiver's limit")
    why += f", {share:.0%} of the receiver's limit and rising"
    if share < throttle.pace.share(now) and (back := _returning(throttle, now)) is not None:
        return Bound("pace", f"{why}; {back.why}", back.until, back.rule)
    slowed = throttle.slowed
    return Bound("pace", f"{why}; slowed by: {slowed.reason}", slowed.until, slowed.rule) if slowed else Bound("pace", why)


def _returning(throttle: Throttle, now: float) -> Bound | None:
    """What the lane returns from, as long as it does."""
    if throttle.returned_at <= now:
        return None
    if throttle.pause is None:
        return Bound("", "it was held, and returns", throttle.returned_at)
    return Bound("", f"it was paused, and returns: {throttle.pause.reason}", throttle.returned_at, throttle.pause.rule)


def _connections(lane: Lane, now: float) -> Bound:
    throttle, crew = lane.throttle, lane.crew
    allowed, cap, due = throttle.connections(now), throttle.limits.connections, throttle.next_connection_at(now)
    if crew.opening and crew.services.places.waiting:
        return Bound("process", f"all {crew.services.places.most} sessions of the process are in use")
    if crew.sessions >= allowed:
        why = f"{crew.sessions} of {allowed}"
        if allowed < min(cap, throttle.window.allowed(now)) and (back := _returning(throttle, now)) is not None:
            return Bound("window", f"{why}, twice as many each minute up to {cap}; {back.why}", back.until, back.rule)
        shrunk = throttle.shrunk
        if shrunk is not None and now < shrunk.until:
            return Bound("window", f"{why}, and not {cap}, since: {shrunk.reason}", shrunk.until, shrunk.rule)
        return Bound("window", why if allowed == cap else f"{why}; up to {cap} as messages are taken")
    if not crew.sessions and due > now:
        return Bound("connection pace", f"{_number(throttle.limits.connections_per_minute)} connections a minute", due)
    return Bound("receiver", f"{crew.sessions} of {allowed} connections in use; it waits for replies")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _unix(moment: float, now: float, at: float) -> float:
    """The lane's clock starts anywhere; what is published is Unix seconds."""
    return at + moment - now if moment else 0.0
