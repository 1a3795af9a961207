"""From an outcome to everything that must know of it: journal, settlement, event, metrics and the attempt's log line.

The only place where an envelope's fate is decided: retry or final state, by the campaign's curve.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Protocol

import trio
from msgspec import Struct

from sender.backlog import Held
from sender.events import NOT_DUE, Event, change_id
from sender.model import Envelope, LaneId, Mark, Outcome, Reply, State, Step, Verdict
from sender.policy.marks import mark
from sender.policy.retry import Final, Later, decide, stays
from sender.policy.suppression import UNKNOWN_USER, Digests, nobody_there
from sender.queue.base import Again
from sender.queue.doubts import Parked
from sender.queue.journaling import NO_JOURNAL, Journaling
from sender.queue.suppressions import Suppression
from sender.settling import Settler
from sender.withdrawal import Withdrawn

_MOMENT_S = 5.0  # what must not be sent now comes back after this: at once, it would be leased again in a hot loop
_REPLY_MOST = 4_000  # characters that are told of a reply: a hostile one has 64 KiB


class Attempt(Struct, frozen=True, kw_only=True):
    """One finished attempt, as the log shows it."""

    at: float
    held: Held
    lane: LaneId
    mx: str
    step: Step
    reply: Reply | None
    why: str  # where there is no reply: the reason in words
    outcome: Outcome
    next: Final | Later
    seconds: float
    mark: Mark | None = None  # what it counts as in the lane's statistics


class Counts(Protocol):
    """What the metrics must offer."""

    def attempt(self, source: str, receiver: str, outcome: Outcome) -> None: ...
    def finished(self, source: str, receiver: str, state: State) -> None: ...
    def in_doubt(self, receiver: str) -> None: ...
    def replied(self, verdict: Verdict, seconds: float, envelope: Envelope) -> None: ...


class Recorder:
    """Settles envelopes and tells the world."""

    def __init__(
        self,
        settler: Settler,
        counts: Counts,
        label: Callable[[str], str],
        clock: Callable[[], float],
        rng: Random,
        on_attempt: Callable[[Attempt], None],
        digests: Digests | None = None,
        journal: Journaling = NO_JOURNAL,
    ) -> None:
        """Without `digests` nobody is suppressed for not existing."""
        self._settler, self._counts, self._label = settler, counts, label
        self._clock, self._rng, self._on_attempt = clock, rng, on_attempt
        self._digests, self._journal = digests, journal

    def attempt(
        self,
        lane: LaneId,
        held: Held,
        outcome: Outcome,
        *,
        step: Step,
        reply: Reply | None = None,
        why: str = "",
        mx: str = "",
        seconds: float = 0.0,
    ) -> None:
        """An attempt came to this outcome: settle, count, tell. What was not tried is not told, but for a rule in shadow."""
        now = self._clock()
        fate = decide(held.campaign.curve, held.envelope, outcome, now, self._rng.random)
        attempt = Attempt(
            at=now,
            held=held,
            lane=lane,
            mx=mx,
            step=step,
            reply=reply,
            why=why,
            outcome=outcome,
            next=fate,
            seconds=seconds,
            mark=mark(outcome, step, replied=reply is not None),
        )
        label = self._label(lane.receiver)
        self._counts.attempt(lane.source, label, outcome)
        if outcome.in_doubt:
            self._counts.in_doubt(label)
        if reply is not None and outcome.verdict is not Verdict.UNSENT:
            self._counts.replied(outcome.verdict, trio.current_time() - held.leased_at, held.envelope)
        if isinstance(fate, Final):
            self._counts.finished(lane.source, label, fate.state)
            self._end(attempt, fate.state, reply)
        else:
            self._put_back(attempt, fate)
        self._settler.mark(held.ticket, held.position, attempt.mark, f"@{held.campaign.identity.domain}")
        if outcome.verdict is not Verdict.UNSENT or outcome.shadow is not None:
            self._on_attempt(attempt)

    def _end(self, attempt: Attempt, state: State, reply: Reply | None) -> None:
        held, event = attempt.held, event_of(attempt, str(state))
        why, refused = _why(attempt) if state is State.UNKNOWN else "", None
        if self._digests is not None and nobody_there(attempt.outcome, reply):
            refused = _nobody(self._digests, attempt)
        key = (held.ticket.id, held.position)
        self._journal.ended(key, state, event, at=attempt.at, why=why, refused=refused, mark=attempt.mark)
        self._settler.final(held.ticket, held.position, state, event)
        if refused is not None:
            self._settler.suppress(held.ticket, refused)
        if why:
            self._park(held, _tried(held.envelope, attempt.outcome), attempt.at, why)

    def _park(self, held: Held, envelope: Envelope, at: float, why: str) -> None:
        self._settler.park(held.ticket, Parked(position=held.position, envelope=envelope, at=at, why=why))

    def _put_back(self, attempt: Attempt, later: Later) -> None:
        held, tried = attempt.held, attempt.outcome.verdict is not Verdict.UNSENT
        source = attempt.lane.source if stays(attempt.outcome) else ""
        again, event = _again(held, later, tried=tried, source=source), event_of(attempt, "deferred") if tried else None
        if event is None:
            self._journal.untried((held.ticket.id, held.position))
        else:
            self._journal.back((held.ticket.id, held.position), again, event, mark=attempt.mark)
        self._settler.again(held.ticket, again, event)

    def unusable(self, lane: LaneId, held: Held, why: str) -> None:
        """No message can be made for this recipient: it ends as INVALID, and nothing was sent."""
        self._end_untried(lane, held, State.INVALID, why)

    def withdraw(self, lane: LaneId, held: Held, withdrawn: Withdrawn) -> None:
        """The envelope must not be sent any more: it ends, or goes back to the queue; no attempt is counted."""
        if withdrawn.state is None:
            self._hand_back(held, self._clock() + _MOMENT_S)
        else:
            self._end_untried(lane, held, withdrawn.state, withdrawn.why)

    def _end_untried(self, lane: LaneId, held: Held, state: State, why: str) -> None:
        envelope = held.envelope
        event = Event(
            id=change_id(envelope, envelope.attempts, state),
            type=str(state),
            at=self._clock(),
            campaign=envelope.campaign,
            ordinal=envelope.ordinal,
            to=envelope.address,
            fields=held.campaign.extras(envelope.fields),
            receiver=lane.receiver,
            source=lane.source,
            why=why,
        )
        self._counts.finished(lane.source, self._label(lane.receiver), state)
        self.not_tried(held)
        self._settler.final(held.ticket, held.position, state, event.encode())
        if state is State.UNKNOWN:  # an earlier attempt ended in doubt
            self._park(held, envelope, event.at, why)

    def not_tried(self, held: Held) -> None:
        """Its end of data was about to go out, and did not: another session may still send it."""
        self._journal.untried((held.ticket.id, held.position))

    def release(self, held: Held) -> None:
        """The lane lets go of an envelope it never tried: ready at once, for whoever asks next."""
        self._hand_back(held, 0.0)

    def _hand_back(self, held: Held, due: float) -> None:
        self.not_tried(held)
        self._settler.again(held.ticket, Again(position=held.position, envelope=held.envelope, due=due, tried=False))


def _again(held: Held, later: Later, *, tried: bool, source: str) -> Again:
    envelope = replace(held.envelope, attempts=later.attempts, doubts=later.doubts, tried_at=later.tried_at)
    return Again(position=held.position, envelope=envelope, due=later.due, tried=tried, source=source)


def _tried(envelope: Envelope, outcome: Outcome) -> Envelope:
    """The envelope with this attempt in its counts."""
    tried = outcome.verdict is not Verdict.UNSENT
    return replace(envelope, attempts=envelope.attempts + tried, doubts=envelope.doubts + outcome.in_doubt)


def _why(attempt: Attempt) -> str:
    """Host and what happened; the words about a lost connection begin with the host."""
    what = str(attempt.reply or attempt.why)
    return what if attempt.mx and what.startswith((f"{attempt.mx}[", f"{attempt.mx} ")) else f"{attempt.mx}: {what}"


def _nobody(digests: Digests, attempt: Attempt) -> Suppression:
    envelope, for_s = attempt.held.envelope, attempt.outcome.suppress_s
    expires = 0.0 if for_s is None else attempt.at + for_s
    return Suppression(
        digest=digests.of(envelope.address), reason=UNKNOWN_USER, source=envelope.id, at=attempt.at, expires=expires
    )


def event_of(attempt: Attempt, kind: str) -> bytes:
    """What the world is told of it, as JSON; `kind`: the state it came to, or "deferred"."""
    envelope, outcome, reply = attempt.held.envelope, attempt.outcome, attempt.reply
    return Event(
        id=change_id(envelope, envelope.attempts + 1, kind),
        type=kind,
        at=attempt.at,
        campaign=envelope.campaign,
        ordinal=envelope.ordinal,
        to=envelope.address,
        fields=attempt.held.campaign.extras(envelope.fields),
        attempt=envelope.attempts + 1,
        receiver=attempt.lane.receiver,
        source=attempt.lane.source,
        mx=attempt.mx,
        step=attempt.step,
        code=reply.code if reply else 0,
        enhanced=(reply.enhanced or "") if reply else "",
        reply=reply.text[:_REPLY_MOST] if reply else "",
        category=outcome.category,
        scope=outcome.scope,
        rule=outcome.rule,
        due=attempt.next.due if isinstance(attempt.next, Later) else NOT_DUE,
        why=attempt.why,
    ).encode()
