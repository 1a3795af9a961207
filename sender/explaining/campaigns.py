"""What holds a whole campaign back: an operator's word, its schedule, its rate, the expander; and where it waits."""

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from sender.condition import Condition, Phase, condition, schedule_of
from sender.explaining.caps import cap_reason
from sender.explaining.explanation import (
    FOR_EVER,
    Explanation,
    Limit,
    Note,
    Reason,
    bound,
    counted,
    out_of_line,
    overdue,
    printable,
    retry_reason,
    span,
)
from sender.explaining.facts import CampaignFacts, FleetFacts
from sender.explaining.lanes import is_free, route_reasons
from sender.explaining.spill import left_until, no_longer
from sender.model import Route, State
from sender.policy.schedule import Schedule
from sender.queue.base import CampaignStatus
from sender.queue.finding import Found, Waits
from sender.schema import SPILL_WAIT, rate_text

OVER = (Limit.CANCELLED, Limit.DEADLINE)


def explain_campaign(facts: CampaignFacts, fleet: FleetFacts) -> Explanation:
    """What a campaign as a whole waits for; each of its routes is a note."""
    if facts.status is None:
        state = "announced" if facts.announced else "unknown"
        return Explanation(subject=facts.campaign, state=state, reasons=(unknown_campaign(facts),), known=facts.announced)
    phase = _condition(facts, facts.status, fleet.now).phase
    reasons = [*campaign_reasons(facts, None, fleet.now)]
    held = bool(reasons)
    if not held:
        reasons += _waiting(facts, facts.status, fleet)
    reasons += expansion(facts)
    if not reasons and facts.status.waiting_batches:
        text = f"{counted(facts.status.waiting_batches, 'batch')} of recipients wait in the inbox for an expander"
        reasons.append(Reason(limit=Limit.EXPANSION, text=text, origin="penstock run expander"))
    held = held or _all_aside(facts.waits)
    counts = Note(name="recipients", text=_counts(facts, facts.status))
    notes = (counts, *_spill(facts), *_routes(facts, fleet, held=held))
    return Explanation(subject=facts.campaign, state=str(phase), reasons=bound(reasons), notes=notes)


def _spill(facts: CampaignFacts) -> Iterator[Note]:
    """It may wait where sources warm up, while others have nothing to do."""
    if facts.spec is not None and facts.spec.spill:
        ends = "as long as they do" if facts.spec.spill == SPILL_WAIT else f"for {span(facts.spec.spill)} each"
        yield Note(name="spill", text=f"where sources warm up, recipients are left to those {ends}")


def campaign_reasons(facts: CampaignFacts, found: Found | None, now: float) -> Iterator[Reason]:
    """What holds the whole campaign back, or has ended it; `found` is one of its ready envelopes, if it is about one."""
    if facts.status is None:
        return
    doing, campaign = _condition(facts, facts.status, now), facts.campaign
    until = doing.until if doing.until is not None else FOR_EVER
    match doing.phase:
        case Phase.CANCELLED:
            yield Reason(limit=Limit.CANCELLED, text=f"the campaign was cancelled{_said(doing)}", origin="penstock cancel")
        case Phase.EXPIRED:
            text = "the campaign's deadline has passed: what is left ends as expired"
            yield Reason(limit=Limit.DEADLINE, text=text, origin=f"deadline of campaign {campaign}")
        case Phase.PAUSED:
            origin = f"penstock pause; ends with penstock resume {campaign}"
            yield Reason(limit=Limit.PAUSE, text=f"the campaign is paused{_said(doing)}", origin=origin, until=FOR_EVER)
        case Phase.SCHEDULED:
            origin = f"start of campaign {campaign}"
            yield Reason(limit=Limit.START, text="the campaign has not begun", origin=origin, until=until)
        case Phase.WINDOW:
            yield _window(facts, doing.until)
        case Phase.RUNNING | Phase.COMPLETE:
            yield from _rate(facts, found, now)
        case _ as never_comes:
            assert_never(never_comes)


def unknown_campaign(facts: CampaignFacts) -> Reason:
    if facts.announced:
        text = "the campaign is announced and was not checked yet: an expander does that within a second, where one runs"
        return Reason(limit=Limit.EXPANSION, text=text, origin="penstock run expander")
    text = "the queue knows no campaign of that id: it was never accepted, or is forgotten (7 days after its end)"
    return Reason(limit=Limit.NOTHING, text=text, origin="refused ones are in the stream penstock:{inbox}:dead")


def expansion(facts: CampaignFacts) -> Iterator[Reason]:
    """Backpressure: the rest of the list waits until some of it is gone."""
    status = facts.status
    if status is not None and status.waiting_batches and status.queued >= facts.ahead:
        text = f"{status.queued:,} of its envelopes are queued: the expander reads on once there are fewer than {facts.ahead:,}"
        yield Reason(limit=Limit.EXPANSION, text=text, origin="delivery.ahead (penstock.toml)")


def _condition(facts: CampaignFacts, status: CampaignStatus, now: float) -> Condition:
    schedule = schedule_of(facts.spec) if facts.spec is not None else Schedule()
    return condition(facts.control, schedule, status, now)


def _window(facts: CampaignFacts, opens: float | None) -> Reason:
    text, origin = "the campaign is outside its windows", f"windows of campaign {facts.campaign}"
    if opens is not None:
        return Reason(limit=Limit.WINDOW, text=text, origin=origin, until=opens)
    deadline = facts.spec.deadline.timestamp() if facts.spec is not None and facts.spec.deadline else None
    text += ", and no window comes before its deadline"
    return Reason(limit=Limit.WINDOW, text=text, origin=origin, expires=deadline)


def ended_with_it(facts: CampaignFacts, status: CampaignStatus) -> Iterator[Reason]:
    """How the rest of a campaign ended of which nothing is left; nothing where all of it was sent."""
    if not status.complete or status.queued:
        return
    totals = {state: sum(count for (_, own), count in status.final.items() if own is state) for state in State}
    ends = (
        (State.CANCELLED, Limit.CANCELLED, "penstock cancel"),
        (State.EXPIRED, Limit.DEADLINE, f"deadline of campaign {facts.campaign}"),
    )
    for state, limit, origin in ends:
        if totals[state]:
            text = f"it ended with its campaign as {state}, as did {totals[state]:,} of {status.accepted:,}"
            yield Reason(limit=limit, text=text, origin=origin)
            return


def _said(doing: Condition) -> str:
    return printable("".join((f" by {doing.by}" if doing.by else "", f": {doing.why}" if doing.why else "")))


def _rate(facts: CampaignFacts, found: Found | None, now: float) -> Iterator[Reason]:
    """A limited rate binds where nothing is left of it: in the partition of the envelope, or else on any route."""
    waits = facts.waits
    budget = found.budget if found is not None else waits.budget if waits is not None and waits.aside else None
    if budget is None or (budget > 0 and found is not None):
        return
    domain = facts.spec.signing_domain if facts.spec is not None else ""
    shut = cap_reason(f"@{domain}", facts.identity, now) if facts.identity is not None else None
    if shut is not None:
        yield shut
        return
    rate = facts.spec.rate if facts.spec is not None else None
    text = "the campaign's rate is used up" + (f": {rate_text(rate)}" if rate else "")
    ahead = (found.ahead or 0) if found is not None else 0
    until = now + (ahead + 1) / float(rate) if rate else None
    yield Reason(limit=Limit.RATE, text=text, origin=f"rate of campaign {facts.campaign}", until=until)


def _waiting(facts: CampaignFacts, status: CampaignStatus, fleet: FleetFacts) -> Iterator[Reason]:
    """Nothing holds the campaign itself: its largest route does, or else its next retry."""
    waits = facts.waits
    if waits is None or not status.queued:
        return
    if waits.aside:
        yield out_of_line("it was" if _all_aside(waits) else f"on {counted(waits.aside, 'route')} it was")
    if waits.due is not None and (overdue(waits.due, fleet.now) or not waits.routes):
        some = "some of it" if waits.routes else "all that is left"
        yield retry_reason(waits.due, fleet.now, f"{some} waits for its next attempt", "retry.curve (penstock.toml)")
    if waits.routes and not _all_aside(waits):
        route = next(iter(waits.routes))
        where = f"{route}, its largest route: " if len(waits.routes) + waits.more > 1 else ""
        for reason in _binding(facts, fleet, route):
            yield replace(reason, text=f"{where}{reason.text}")


def _binding(facts: CampaignFacts, fleet: FleetFacts, route: Route) -> Iterator[Reason]:
    """What binds a route. A lane that is idle beside ready recipients may not take them: those are left to who warms up."""
    reasons = list(route_reasons(fleet, route))
    cold = facts.cold.get(route, frozenset())
    queued_at = facts.waits.oldest.get(route) if facts.waits is not None else None
    until = left_until(facts, route, queued_at) if queued_at is not None else FOR_EVER
    if cold and any(map(is_free, reasons)) and fleet.now < until:
        yield from no_longer(until, fleet.now, route_reasons(fleet.among(cold), route))
    else:
        yield from reasons


def _all_aside(waits: Waits | None) -> bool:
    """It waits on routes, and is out of line on each."""
    return waits is not None and bool(waits.routes) and waits.aside >= len(waits.routes) + waits.more


def _counts(facts: CampaignFacts, status: CampaignStatus) -> str:
    text = f"{status.accepted:,} = {status.finished:,} final + {status.queued:,} queued"
    if facts.waits is not None and status.queued:
        text += f" ({facts.waits.ready:,} of them ready)"
    if not status.complete:
        text += f"; {counted(status.waiting_batches, 'batch')} in the inbox, more may come"
    if status.parked:
        text += f"; {status.parked:,} in doubt: penstock doubts list {facts.campaign}"
    return text


def _routes(facts: CampaignFacts, fleet: FleetFacts, *, held: bool) -> Iterator[Note]:
    """Where it waits; and where it is not held as a whole, what binds each route."""
    waits = facts.waits
    if waits is None:
        return
    for route, envelopes in waits.routes.items():
        why = "" if held else "".join(f": {reason.text}" for reason in bound(_binding(facts, fleet, route))[:1])
        yield Note(name=str(route), text=f"{envelopes:,} ready{why}")
    if waits.more:
        yield Note(name="more routes", text=f"{waits.more:,}")
    if waits.later:
        yield Note(name="for later", text=f"{counted(waits.later, 'pack')}; the first is due", at=waits.due)
