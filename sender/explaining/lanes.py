"""What binds a route: its sources, the processes that have their addresses, and what each of its lanes says."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from shlex import quote

from sender.explaining.caps import ORIGIN, cap_reason
from sender.explaining.explanation import FOR_EVER, Explanation, Limit, Note, Reason, counted, joined, moment, printable
from sender.explaining.facts import FleetFacts
from sender.model import LaneId, Route, Source
from sender.policy.receivers import DEFAULT
from sender.queue.finding import NO_WORK, LaneReport, RouteWork
from sender.queue.lane_holds import LaneHold
from sender.queue.warmups import OTHER, TAIL

# A lane in one of these sends nothing; the others of its route take the work.
_CLOSED = ("fenced", "journal", "pause", "draining", "stop", "cap")
_FREEST = ("nothing to send", "receiver", "process", "connection pace", "window", "pace", *_CLOSED)
_STATES = {"pause": "paused", "cap": "capped", "nothing to send": "idle"}
_WORDS = {
    "pause": "is paused",
    "cap": "may send no more for now by its warmup",
    "stop": "has nothing it may send: its receiver has stopped a domain or a campaign",
    "pace": "sends at its pace",
    "connection pace": "opens connections at its pace",
    "window": "has all connections in use that it may have",
    "receiver": "is sending",
    "process": "waits for a place in its process",
    "draining": "is ending",
    "fenced": "may not send",
    "journal": "may not send",
    "nothing to send": "has nothing to send",
}
NOT_FOR_IT = "what is ready there is left to sources that warm up, or stays with another one: penstock why CAMPAIGN"


def route_reasons(fleet: FleetFacts, route: Route, ahead: int | None = None) -> Iterator[Reason]:
    """What keeps the next envelope of this route, or the one with so many `ahead` of it."""
    sources = [source for source in fleet.of_pool(route.pool) if route.source in ("", source.name)]
    if route.source and not sources:
        yield _gone(route)
        return
    able = [source for source in sources if source.host in ("", *fleet.hosts)]
    if not sources or not fleet.owners or not able:
        yield _nobody(fleet, route, sources)
        return
    lanes = [LaneId(source=source.name, receiver=route.receiver) for source in able]
    holds = [hold for lane in lanes if (hold := fleet.hold(lane)) is not None]
    if len(holds) == len(lanes):
        yield hold_reason(min(holds, key=lambda hold: hold.until), lanes)
        return
    lanes = [lane for lane in lanes if fleet.hold(lane) is None]
    reports = [fleet.lanes[lane] for lane in lanes if lane in fleet.lanes]
    sending = [report for report in reports if report.limit not in _CLOSED]
    silent = len(lanes) - len(reports)
    if sending:
        yield _busy(fleet, sending, ahead)
    elif (shut := _tail_shut(fleet, route, able)) is not None:
        yield shut
    elif silent:
        text = f"no lane of {route} has said anything yet: a process begins one within a second"
        yield Reason(limit=Limit.LANE, text=text, origin=f"sources {joined([lane.source for lane in lanes])}")
    else:
        yield _all_closed(fleet, reports)


def _gone(route: Route) -> Reason:
    """What waits there stays with a source that is not there any more."""
    text = f"it was to be tried from {route.source} again, which is not in pool {route.pool!r} any more"
    return Reason(limit=Limit.SCHEDULER, text=f"{text}: a scheduler lets the others take it", origin="penstock run scheduler")


def _tail_shut(fleet: FleetFacts, route: Route, able: Sequence[Source]) -> Reason | None:
    """Lanes of the long tail share a cap for each source; while all of those are used up, none begins."""
    if not route.receiver.startswith(TAIL):
        return None
    reasons = []
    for source in able:
        use = fleet.tails.get(source.name)
        reason = cap_reason(f"{source.name}/{OTHER}", use, fleet.now) if use is not None else None
        if reason is None:
            return None
        reasons.append(reason)
    return min(reasons, key=lambda reason: reason.until or FOR_EVER)


def is_free(reason: Reason) -> bool:
    """Whether it says that a lane has nothing else to do."""
    return reason.detail == "nothing to send"


def closed_reasons(fleet: FleetFacts, route: Route, due: float) -> Iterator[Reason]:
    """What will still be in the way when it is due; a pace, or a full window, may be another by then."""
    for reason in route_reasons(fleet, route):
        lasting = reason.limit is Limit.HOLD or reason.detail in ("pause", "cap")
        if reason.limit in (Limit.NO_SOURCE, Limit.NO_PROCESS) or (lasting and reason.last > due):
            yield reason


def hold_reason(hold: LaneHold, lanes: Sequence[LaneId]) -> Reason:
    """An operator holds all of these lanes; of several words this one ends first."""
    by = f" by {hold.by}" if hold.by else ""
    which = f"lane {lanes[0]} is" if len(lanes) == 1 else f"all {len(lanes)} lanes are"
    text = f"{which} held{by}" + (f": {hold.why}" if hold.why else "")
    return Reason(limit=Limit.HOLD, text=printable(text), origin=f"penstock resume {quote(hold.name)}", until=hold.until)


def told(hold: LaneHold, now: float) -> str:
    """Who holds, until when, and why."""
    by = f" by {hold.by}" if hold.by else ""
    since = f" since {moment(hold.at, now)}" if hold.at else ""
    until = f", until {moment(hold.until, now)}" if hold.until < FOR_EVER else ""
    return printable(f"held{by}{since}{until}" + (f": {hold.why}" if hold.why else ""))


def lane_reason(fleet: FleetFacts, report: LaneReport) -> Reason:
    """What binds a lane, as it said itself."""
    text = f"{report.lane} {_WORDS.get(report.limit, report.limit)}" + (f": {report.why}" if report.why else "")
    return Reason(
        limit=Limit.LANE, text=printable(text), origin=_origin(fleet, report), until=report.until or None, detail=report.limit
    )


def not_for_it(report: LaneReport, work: RouteWork, own: RouteWork) -> bool:
    """Whether a lane has nothing to do though something is ready on its route, and nothing that stays with it."""
    return report.limit == "nothing to send" and work.may_go > 0 and not own.may_go


def explain_lane(fleet: FleetFacts, lane: LaneId, work: RouteWork, own: RouteWork = NO_WORK) -> Explanation:
    """Why a lane does what it does; `work` is what its route has, `own` what stays with it."""
    source = next((source for source in fleet.sources if source.name == lane.source), None)
    if source is None:
        names = joined([source.name for source in fleet.sources]) or "none"
        text = f"no source is called {lane.source!r}; there are: {names}"
        reason = Reason(limit=Limit.NO_SOURCE, text=text, origin="sources.toml")
        return Explanation(subject=str(lane), state="unknown", reasons=(reason,), known=False)
    if not work.ready and not own.ready and (text := _unknown_receiver(fleet, lane.receiver)):
        reason = Reason(limit=Limit.NOTHING, text=text, origin="receivers/*.toml")
        return Explanation(subject=str(lane), state="unknown", reasons=(reason,), known=False)
    route = Route(pool=source.pool, receiver=lane.receiver)
    where = [Note(name="route", text=f"{route}, {work_words(work)}")]
    if own.ready:
        where.append(Note(name="its own", text=f"{work_words(own)}, deferred because of {lane.source}: they stay with it"))
    report, hold = fleet.lanes.get(lane), fleet.hold(lane)
    if hold is not None:
        return Explanation(subject=str(lane), state="held", reasons=(hold_reason(hold, [lane]),), notes=tuple(where))
    if report is None:
        both = RouteWork(ready=work.ready + own.ready, aside=work.aside + own.aside)
        reason = _not_running(fleet, source, route, both)
        return Explanation(subject=str(lane), state="not running", reasons=(reason,), notes=tuple(where))
    rate = f", at most {report.messages_per_second:,.3g} messages a second" if report.messages_per_second else ""
    of = f" of {report.connections}" if report.connections else ""
    used = f"{report.sessions}{of} connections, {counted(report.holding, 'envelope')} held{rate}"
    notes = [*where, Note(name="now", text=used), Note(name="process", text=report.owner)]
    state = _STATES.get(report.limit, "waiting" if report.limit in _CLOSED else "running")
    reason = lane_reason(fleet, report)
    if state == "idle":
        reason = replace(reason, limit=Limit.NOTHING)
        if not_for_it(report, work, own):
            notes.append(Note(name="not for it", text=NOT_FOR_IT))
    return Explanation(subject=str(lane), state=state, reasons=(reason,), notes=tuple(notes))


def _unknown_receiver(fleet: FleetFacts, receiver: str) -> str:
    """What to say of a receiver that nothing is known of; "" where there is one, or may be: a ~ stands for any host."""
    known = {*fleet.files, *(lane.receiver for lane in fleet.lanes)} - {DEFAULT}
    if receiver in known or receiver.startswith("~"):
        return ""
    if receiver == OTHER:
        return "each receiver without a profile has a lane of its own, like s1/~example.org; penstock warmup shows their cap"
    near = difflib.get_close_matches(receiver, sorted(known), 3)
    which = f"did you mean {' or '.join(near)}?" if near else f"there are: {joined(sorted(known))}"
    return f"no receiver is called {receiver!r}: no profile has that name, and nothing is sent there; {which}"


def work_words(work: RouteWork) -> str:
    """What is ready on a route, in words."""
    some = "all" if work.aside == work.ready else f"{work.aside:,}"
    aside = f", {some} of them held back with their campaigns" if work.aside else ""
    return f"{counted(work.ready, 'envelope')} ready{aside}"


def _not_running(fleet: FleetFacts, source: Source, route: Route, work: RouteWork) -> Reason:
    if not fleet.owners or source.host not in ("", *fleet.hosts):
        return _nobody(fleet, route, [source])
    if work.may_go:
        return Reason(limit=Limit.LANE, text="its route has work: a process begins it within a second")
    text = "all that is ready on its route is held back" if work.ready else "nothing is ready on its route"
    return Reason(limit=Limit.NOTHING, text=f"{text}: lanes begin when there is something to send, and end without")


def _nobody(fleet: FleetFacts, route: Route, sources: Sequence[Source]) -> Reason:
    """No process can send this."""
    if not sources:
        pools = joined(sorted({source.pool for source in fleet.sources})) or "none"
        text = f"no source is in pool {route.pool!r}; there are: {pools}"
        return Reason(limit=Limit.NO_SOURCE, text=text, origin="pool in sources.toml", until=FOR_EVER)
    if not fleet.owners:
        return Reason(limit=Limit.NO_PROCESS, text="no delivery process runs", origin="penstock run delivery", until=FOR_EVER)
    hosts = joined(sorted({source.host for source in sources}))
    text = f"no delivery process runs on {hosts}, which has the addresses of pool {route.pool!r}"
    text += f"; those that run are on {joined(sorted(fleet.hosts))}"
    return Reason(limit=Limit.NO_PROCESS, text=text, origin="host in sources.toml", until=FOR_EVER)


def _all_closed(fleet: FleetFacts, reports: Sequence[LaneReport]) -> Reason:
    """The one that opens first decides."""
    first = min(reports, key=lambda report: report.until or FOR_EVER)
    reason = lane_reason(fleet, first)
    if len(reports) == 1:
        return reason
    text = f"none of {len(reports)} lanes may send; the first to open: {reason.text}"
    return replace(reason, text=text)


def _busy(fleet: FleetFacts, sending: Sequence[LaneReport], ahead: int | None) -> Reason:
    """Some lanes send: the freest of them says what binds, and together they say how long those before it take at least."""
    freest = min(sending, key=lambda report: _FREEST.index(report.limit) if report.limit in _FREEST else 0)
    if freest.limit == "nothing to send":
        text = f"{freest.lane} is free, and asks for work within a second"
        return Reason(limit=Limit.LANE, text=text, until=fleet.now, detail=freest.limit)
    reason = lane_reason(fleet, freest)
    others = f" (one of {len(sending)} lanes that send)" if len(sending) > 1 else ""
    if not ahead:
        return replace(reason, text=f"{reason.text}{others}")
    rate = sum(report.messages_per_second for report in sending)
    until = max(reason.last, fleet.now + ahead / rate) if rate else reason.until
    text = f"about {ahead:,} of its campaign go first; {reason.text}{others}"
    return replace(reason, limit=Limit.TURN, text=text, until=until)


def _origin(fleet: FleetFacts, report: LaneReport) -> str:
    """Where the limit comes from: a rule, or a setting of the receiver's profile."""
    profile = fleet.profile_file(report.lane.receiver)
    if report.rule:
        file = fleet.file_of(report.rule)
        return f"rule {report.rule}" + (f" ({file})" if file else "")
    match report.limit:
        case "pace":
            return f"limits.messages_per_second ({profile})"
        case "connection pace":
            return f"limits.connections_per_minute ({profile})"
        case "window":
            return f"limits.connections ({profile})"
        case "cap":
            return ORIGIN
        case "process":
            return "delivery.sessions (penstock.toml)"
        case _:
            return f"process {report.owner}"
