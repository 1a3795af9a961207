"""Explains why one envelope waits. Pure: facts in, words and times out.

Where it is decides what is asked: final, so nothing waits; leased, so its lane binds; for later, so its retry does; ready,
so the lanes of its route do; in the inbox, so the expander does. What binds its campaign is asked of all that are not final.
"""

import re
from collections.abc import Iterator
from typing import assert_never

from sender.events import Event
from sender.explaining.campaigns import OVER, campaign_reasons, ended_with_it, expansion, unknown_campaign
from sender.explaining.explanation import (
    FOR_EVER,
    Explanation,
    Limit,
    Note,
    Reason,
    bound,
    counted,
    out_of_line,
    printable,
    retry_reason,
)
from sender.explaining.facts import EnvelopeFacts
from sender.explaining.lanes import closed_reasons, lane_reason, route_reasons, work_words
from sender.explaining.spill import nobody_takes, sooner, takers
from sender.explaining.spill import notes as spill_notes
from sender.model import State
from sender.queue.base import BATCH_ROWS
from sender.queue.finding import Whereabouts

_NOT_FOUND = "not found"


def explain_envelope(facts: EnvelopeFacts) -> Explanation:
    """Why this envelope is where it is."""
    match facts.found.where:
        case Whereabouts.FINAL:
            state, reasons = _final(facts)
        case Whereabouts.UNKNOWN:
            state, reasons = _nowhere(facts)
        case Whereabouts.INBOX:
            state, reasons = "in the inbox", tuple(_inbox(facts))
        case Whereabouts.LEASED:
            state, reasons = "with a lane", tuple(_leased(facts))
        case Whereabouts.LATER:
            state, reasons = "waits for its next attempt", tuple(_later(facts))
        case Whereabouts.READY:
            state, reasons = "ready", tuple(_ready(facts))
        case _ as never:
            assert_never(never)
    return Explanation(
        subject=_subject(facts), state=state, reasons=bound(reasons), notes=tuple(_notes(facts)), known=state != _NOT_FOUND
    )


def _subject(facts: EnvelopeFacts) -> str:
    return f"{facts.campaign.campaign}:{facts.ordinal}"


def _final(facts: EnvelopeFacts) -> tuple[str, tuple[Reason, ...]]:
    state = facts.found.state or State.UNKNOWN
    if state is not State.UNKNOWN:
        return str(state), ()
    text = "its end of data was sent and no reply came: the receiver may have it"
    if facts.parked is False:
        text, origin = f"{text}; it is not kept for an operator (any more)", "penstock doubts drop, or more than are kept"
        return f"{state}: in doubt", (Reason(limit=Limit.DOUBT, text=text, origin=origin),)
    origin = f"penstock doubts resend {_subject(facts)}"
    return f"{state}: in doubt", (Reason(limit=Limit.DOUBT, text=text, origin=origin, until=FOR_EVER),)


def _nowhere(facts: EnvelopeFacts) -> tuple[str, tuple[Reason, ...]]:
    """Nobody has it: no such recipient, or one that ended together with all others, without a note about each."""
    campaign = facts.campaign
    if campaign.status is None:
        return "announced" if campaign.announced else _NOT_FOUND, (unknown_campaign(campaign),)
    read = facts.ordinal < campaign.status.accepted
    over = [reason for reason in campaign_reasons(campaign, None, facts.fleet.now) if reason.limit in OVER]
    if not over and read:
        over = list(ended_with_it(campaign, campaign.status))
    if over:
        state = State.CANCELLED if over[0].limit is Limit.CANCELLED else State.EXPIRED
        return str(state) if read else f"{state}, if there was such a recipient", tuple(over)
    rest = "" if campaign.status.complete else f"; {campaign.status.waiting_batches:,} batches wait in the inbox"
    text = f"the queue knows no recipient {facts.ordinal:,} of this campaign: {campaign.status.accepted:,} were read{rest}"
    origin = f"ordinals are batch * {BATCH_ROWS} + line, both from 0"
    return _NOT_FOUND, (Reason(limit=Limit.NOTHING, text=text, origin=origin),)


def _inbox(facts: EnvelopeFacts) -> Iterator[Reason]:
    campaign = facts.campaign
    if campaign.status is None:
        yield unknown_campaign(campaign)
        return
    yield from campaign_reasons(campaign, None, facts.fleet.now)
    held = list(expansion(campaign))
    if not held:
        batch = facts.ordinal // BATCH_ROWS
        waiting = counted(campaign.status.waiting_batches, "batch")
        text = f"its batch, number {batch}, was not read yet: {waiting} in the inbox"
        held = [Reason(limit=Limit.EXPANSION, text=text, origin="penstock run expander")]
    yield from held


def _leased(facts: EnvelopeFacts) -> Iterator[Reason]:
    yield from campaign_reasons(facts.campaign, None, facts.fleet.now)
    lane, owner, fleet = facts.found.lane, facts.found.owner, facts.fleet
    if lane is None:
        return
    if owner not in fleet.owners:
        text = f"lane {lane} had it, and its process {owner} is gone: it comes back within seconds"
        yield Reason(limit=Limit.NO_PROCESS, text=text, origin="the scheduler gives back what the dead held")
    elif lane in fleet.lanes and fleet.lanes[lane].limit != "nothing to send":
        yield lane_reason(fleet, fleet.lanes[lane])
    else:
        yield Reason(limit=Limit.LANE, text=f"lane {lane} has just got it", origin=f"process {owner}", until=fleet.now)


def _later(facts: EnvelopeFacts) -> Iterator[Reason]:
    found, now = facts.found, facts.fleet.now
    yield from campaign_reasons(facts.campaign, None, now)
    if found.due is None or found.envelope is None:
        yield Reason(limit=Limit.RETRY, text="it waits for its next attempt, deep in a long list")
        return
    if found.envelope.attempts:
        doubts = f" ({found.envelope.doubts} in doubt)" if found.envelope.doubts else ""
        text, origin = f"attempt {found.envelope.attempts} was deferred{doubts}", "retry.curve (penstock.toml)"
    else:
        text, origin = "it was not tried: something that it needs was not there, or was stopped", "the process's log"
    yield retry_reason(found.due, now, text, origin)
    if found.route is not None:
        only = takers(facts)
        able = facts.fleet if only is None else facts.fleet.among(only)
        yield from closed_reasons(able, found.route, found.due)


def _ready(facts: EnvelopeFacts) -> Iterator[Reason]:
    found, fleet = facts.found, facts.fleet
    held = list(campaign_reasons(facts.campaign, found, fleet.now))
    if not held and (found.aside or (found.hold is not None and found.hold.start <= fleet.now < found.hold.end)):
        held = [out_of_line("it was")]
    yield from held
    if found.route is None:
        yield Reason(limit=Limit.TURN, text="it is deep in a long list")
        return
    only = takers(facts)
    able = fleet if only is None else fleet.among(only)
    if held:
        yield from closed_reasons(able, found.route, max(reason.last for reason in held))
    elif only is not None and not only:
        yield nobody_takes(facts)
    else:
        yield from sooner(facts, route_reasons(able, found.route, found.ahead))


def _notes(facts: EnvelopeFacts) -> Iterator[Note]:
    """Who it is for, where it goes, and how its last attempt ended."""
    found, last = facts.found, facts.last
    address = found.envelope.address if found.envelope is not None else last.to if last is not None else ""
    if address:
        yield Note(name="recipient", text=printable(address))
    if found.route is not None:
        work = f", {work_words(facts.work)}" if facts.work is not None and facts.work.ready else ""
        yield Note(name="route", text=f"{found.route}{work}")
    yield from spill_notes(facts)
    if found.ahead:
        yield Note(name="before it", text=f"about {found.ahead:,} of its campaign")
    if last is not None:
        yield Note(name=f"attempt {last.attempt}" if last.attempt else "it ended", text=printable(_last(last)), at=last.at)


def _last(last: Event) -> str:
    """The newest event in words: what it came to, where, and what was said."""
    place, why = _placed(last)
    words = " ".join(part for part in (str(last.code or ""), last.enhanced, last.reply) if part) or why
    way = "".join((f" from {last.source}" if last.source else "", f" at {place}" if place else ""))
    step = f", {last.step}" if last.step and last.type != State.DELIVERED else ""
    rule = f" [rule {last.rule}]" if last.rule and last.type != State.DELIVERED else ""
    return f"{last.type}{way}{step}" + (f": {words}" if words else "") + rule


def _placed(last: Event) -> tuple[str, str]:
    """Host and reason: what happened to a connection begins with its host, address and step, which are said once."""
    match = re.match(re.escape(last.mx) + r"(\[[^]]*\])? ", last.why) if last.mx else None
    if match is None:
        return last.mx, last.why
    return match[0].rstrip(), last.why[match.end() :].removeprefix(f"{last.step}: ")
