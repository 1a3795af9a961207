"""Who of a pool may take an envelope that is ready: some stay with one source, some are left to sources that warm up."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace

from sender.explaining.explanation import FOR_EVER, Limit, Note, Reason, joined
from sender.explaining.facts import EnvelopeFacts
from sender.leasing import Warming
from sender.model import Choice, Envelope
from sender.policy.engagement import FLOORS, band_of
from sender.queue.base import Spill


def takers(facts: EnvelopeFacts) -> Set[str] | None:
    """The sources whose lanes may take it now; None where nothing sets any of the pool apart."""
    found = facts.found
    if found.route is not None and found.route.source:
        return {found.route.source}
    if found.envelope is None or all(warming.choice is Choice.OLDEST for warming in facts.warming.values()):
        return None
    until, envelope = _until(facts, found.envelope), found.envelope
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


def _until(facts: EnvelopeFacts, envelope: Envelope) -> float:
    """When warm sources may take it, Unix seconds."""
    spec = facts.campaign.spec
    if spec is None or not spec.spill:
        return -FOR_EVER
    start = spec.start.timestamp() if spec.start is not None else 0.0
    return Spill(after_s=float(spec.spill), start=start).until(envelope.queued_at)


def sooner(facts: EnvelopeFacts, reasons: Iterable[Reason]) -> Iterator[Reason]:
    """What binds the sources that it is left to binds for no longer than it is left to them."""
    until = _until(facts, facts.found.envelope) if facts.found.envelope is not None else -FOR_EVER
    for reason in reasons:
        left = facts.fleet.now < until < reason.last
        yield replace(reason, until=until) if left and not (facts.found.route and facts.found.route.source) else reason


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
    elif found.envelope is not None and (until := _until(facts, found.envelope)) > facts.fleet.now:
        cold = sorted(name for name, warming in facts.warming.items() if warming.choice is Choice.ENGAGED)
        if cold:
            ends = "for as long as they do" if until == FOR_EVER else "then to all of its pool"
            text = f"{joined(cold)}, warming up; {ends} [spill, in the campaign's file]"
            yield Note(name="left to", text=text, at=until if until < FOR_EVER else None)
