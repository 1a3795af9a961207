"""`penstock why`: what an envelope, a campaign or a lane waits for, which rule or setting says so, and until when."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import trio

from sender.errors import ConfigError
from sender.explaining.campaigns import explain_campaign
from sender.explaining.envelopes import explain_envelope
from sender.explaining.explanation import FOR_EVER, Explanation, Limit, Reason, span
from sender.explaining.facts import campaign_facts, envelope_facts, fleet_facts
from sender.explaining.lanes import explain_lane
from sender.model import LaneId, Route
from sender.queue.base import Queue
from sender.queue.inbox import campaign_id
from sender.settings import Settings
from workers.commands.options import config_option
from workers.store import open_configured_queue

_NARROWEST, _WIDEST = 10, 30  # the first column
_MESSAGE, _CAMPAIGN, _LANE = "campaign:ordinal, like spring:4711", "a campaign's id", "source/receiver, like s1/google"

Subject = tuple[str, int] | str | LaneId


@click.command()
@click.argument("subject", metavar="MESSAGE|CAMPAIGN|LANE")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; times in Unix seconds.")
@config_option
def command(subject: str, as_json: bool, config: Path | None) -> None:
    """Explain why a message, a campaign or a lane waits.

    MESSAGE is campaign:ordinal, like spring:4711; LANE is source/receiver, like s1/google. The answer says what holds it,
    which rule, setting or person says so, and until when. Exits with 1 where there is no such thing.
    """
    explanation, now = trio.run(_explain, read_subject(subject), config)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(as_document(explanation))).decode())
    else:
        click.echo("\n".join(lines(explanation, now)))
    if not explanation.known:
        click.get_current_context().exit(1)


def read_subject(text: str) -> Subject:
    """What the question is about; ConfigError where that can't be."""
    if "/" in text:
        source, _, receiver = text.partition("/")
        if source and receiver:
            return LaneId(source=source, receiver=receiver)
        raise _no_subject(text, f"a lane is {_LANE}")
    campaign, colon, ordinal = text.partition(":")
    try:
        campaign_id(campaign)
    except ValueError as error:
        raise _no_subject(text, str(error)) from error
    if not colon:
        return campaign
    if "@" in ordinal:
        why = "recipients are not found by their address: the queue keeps none outside of its packs"
        raise _no_subject(text, f"{why}. Give {_MESSAGE}: events and the log name it beside the address")
    if not ordinal.isdecimal() or len(ordinal) > 10:
        raise _no_subject(text, f"{ordinal[:40]!r} is no ordinal: a message is {_MESSAGE}")
    return campaign, int(ordinal)


def _no_subject(text: str, why: str) -> ConfigError:
    return ConfigError("MESSAGE|CAMPAIGN|LANE", text[:80], why)


async def _explain(subject: Subject, config: Path | None) -> tuple[Explanation, float]:
    async with open_configured_queue(config) as (settings, queue):
        return await explain(subject, queue, settings), await queue.time()


async def explain(subject: Subject, queue: Queue, settings: Settings) -> Explanation:
    """Gather the facts and explain them."""
    match subject:
        case (campaign, ordinal):
            return explain_envelope(await envelope_facts(queue, settings, campaign, ordinal))
        case LaneId() as lane:
            fleet = await fleet_facts(queue, settings)
            pool = next((source.pool for source in settings.sources if source.name == lane.source), "")
            route = Route(pool=pool, receiver=lane.receiver)
            own = route.own(lane.source)
            work = await queue.work_on([route, own])
            return explain_lane(fleet, lane, work[route], work[own])
        case str() as campaign:
            facts = await campaign_facts(queue, settings, campaign, with_waits=True)
            return explain_campaign(facts, await fleet_facts(queue, settings))


def lines(explanation: Explanation, now: float) -> Iterator[str]:
    """The answer for people: what, because of what, from where, until when; then what else is worth knowing."""
    yield f"{explanation.subject}: {explanation.state}"
    width = max([_NARROWEST, *(min(len(note.name), _WIDEST) for note in explanation.notes)])
    for name, text in (*_because(explanation, now), *_notes(explanation, now)):
        yield f"  {name:<{width}}  {text}"


def _because(explanation: Explanation, now: float) -> Iterator[tuple[str, str]]:
    for place, reason in enumerate(explanation.reasons):
        yield "because" if place == 0 else "and", reason.text
        if reason.origin:
            yield "", f"[{reason.origin}]"
        if reason.until is not None and now + 1 < reason.until < FOR_EVER and len(explanation.reasons) > 1:
            yield "", f"for {span(reason.until - now)} more, until {_stamp(reason.until, now)}"
    if explanation.reasons and (words := _next(explanation, now)):
        yield "next", words


def _notes(explanation: Explanation, now: float) -> Iterator[tuple[str, str]]:
    for note in explanation.notes:
        yield note.name, note.text + (f" ({_when(note.at, now)})" if note.at is not None else "")


def _next(explanation: Explanation, now: float) -> str:
    """When it can go at the earliest, as far as that is known; "" where there is nothing to say."""
    if explanation.expires is not None:
        return f"ends as expired at {_stamp(explanation.expires, now)}, in {span(explanation.expires - now)}"
    at, binding = explanation.next, explanation.reasons[0]
    if at is None:
        return _WITHOUT_END.get(binding.limit, "")
    if at == FOR_EVER:
        return "not before somebody acts"
    return f"{_when(at, now)}, at the earliest" if at > now + 1 else "at any moment"


_WITHOUT_END = {
    Limit.CANCELLED: "never: what is left ends as cancelled",
    Limit.DEADLINE: "never: what is left ends as expired",
    Limit.EXPANSION: "as soon as an expander has read on",
    Limit.SCHEDULER: "as soon as a scheduler has looked",
    Limit.NO_PROCESS: "within seconds",
    Limit.LANE: "as the lane goes on",
    Limit.RATE: "as the rate permits",
}


def _when(at: float, now: float) -> str:
    stamp = _stamp(at, now)
    return f"in {span(at - now)}, {stamp}" if at > now else f"{span(now - at)} ago, {stamp}"


def _stamp(at: float, now: float) -> str:
    moment = datetime.fromtimestamp(at).astimezone()
    return f"{moment:%H:%M:%S %z}" if abs(at - now) < 12 * 3600 else f"{moment:%Y-%m-%d %H:%M %z}"


def as_document(explanation: Explanation) -> dict[str, Any]:
    """The answer for scripts; null where a time is not known or only somebody's word ends it (`by_hand`)."""
    return {
        "subject": explanation.subject,
        "state": explanation.state,
        "reasons": [_as_reason(reason) for reason in explanation.reasons],
        "next": _known(explanation.next),
        "by_hand": explanation.next == FOR_EVER,
        "expires": explanation.expires,
        "notes": [{"name": note.name, "text": note.text, "at": note.at} for note in explanation.notes],
    }


def _as_reason(reason: Reason) -> dict[str, Any]:
    return {
        "limit": str(reason.limit),
        "detail": reason.detail,
        "text": reason.text,
        "origin": reason.origin,
        "until": _known(reason.until),
        "by_hand": reason.until == FOR_EVER,
    }


def _known(at: float | None) -> float | None:
    return at if at is not None and at < FOR_EVER else None
