"""Who of a pool may take an envelope that is ready: some stay with one source, some are left to sources that warm up."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace

from sender.explaining.explanation import FOR_EVER, Limit, Note, Reason, joined
from sender.explaining.facts import CampaignFacts, EnvelopeFacts
from sender.leasing import Warming
from sender.model import Choice, Envelope, Route
from sender.policy.engagement import FLOORS, band_of
from sender.queue.base import Spill


def takers(facts: EnvelopeFacts) -> Set[str] | None:
    """The sources whose lanes may take it now; None where nothing sets any of the pool apart."""
    found = facts.found
    if found.route is not None and found.route.source:
        return {found.route.source}
    if found.envelope is None or all(warming.choice is Choice.OLDEST for warming in facts.warming.values()):
        return None
    until, envelope = _until(facts), found.envelope
    return {name for name, warming in facts.warming.items() if _takes(warming, envelope, until <= facts.fleet.now)}


def _takes(warming: Warming, envelope: Envelope, spilled: bool) -> bool:
    floor = FLOORS[band_of(envelope.fields)]
    match warming.choice:
        case Choice.OLDEST:
            return True
        case Choice.ENGAGED:
            return floor >= warming.engagement_min
        case Choice.REST:
            return spilled or floor < warming.engagement_min


def _until(facts: EnvelopeFacts) -> float:
    """When warm sources may take it, Unix seconds."""
    envelope = facts.found.envelope
    return left_until(facts.campaign, facts.found.route, envelope.queued_at) if envelope is not None else -FOR_EVER


def left_until(facts: CampaignFacts, route: Route | None, queued_at: float) -> float:
    """When warm sources may take what the campaign had queued then on this route, Unix seconds."""
    spec = facts.spec
    if spec is None or not spec.spill or (route is not None and route.source):
        return -FOR_EVER
    start = spec.start.timestamp() if spec.start is not None else 0.0
    return Spill(after_s=float(spec.spill), start=start).until(queued_at)


def sooner(facts: EnvelopeFacts, reasons: Iterable[Reason]) -> Iterator[Reason]:
    """What binds the sources that it is left to binds for no longer than it is left to them."""
    return no_longer(_until(facts), facts.fleet.now, reasons)


def no_longer(until: float, now: float, reasons: Iterable[Reason]) -> Iterator[Reason]:
    """What binds until then at the most: after it others may take it."""
    for reason in reasons:
        yield replace(reason, until=until) if now < until < reason.last else reason


def nobody_takes(facts: EnvelopeFacts) -> Reason:
    """All sources of its pool warm up, and none of them writes to who is so little engaged."""
    least = min(warming.engagement_min for warming in facts.warming.values())
    text = f"all sources of its pool warm up, and write to nobody with an engagement below {least}"
    return Reason(limit=Limit.LANE, text=text, origin="engagement_min of their warmup plans", detail="engagement")


def notes(facts: EnvelopeFacts) -> Iterator[Note]:
    """What sets some sources of its pool apart for it."""
    found = facts.found
    if found.route is not None and found.route.source:
        yield Note(name="stays with", text=f"{found.route.source}, since its receiver deferred it because of that source")
    elif (until := _until(facts)) > facts.fleet.now:
        cold = sorted(name for name, warming in facts.warming.items() if warming.choice is Choice.ENGAGED)
        if cold:
            ends = "for as long as they do" if until == FOR_EVER else "then to all of its pool"
            text = f"{joined(cold)}, warming up; {ends} [spill, in the campaign's file]"
            yield Note(name="left to", text=text, at=until if until < FOR_EVER else None)
