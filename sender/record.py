"""From an outcome to everything that must know of it: the settlement, the event, the metrics and the attempt's log line.

The only place where an envelope's fate is decided: retry or final state, by the campaign's curve.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from sender.backlog import Held
from sender.events import NOT_DUE, Event
from sender.model import LaneId, Outcome, Reply, State, Step, Verdict
from sender.policy.retry import Final, Later, decide
from sender.queue.base import Again
from sender.settling import Settler


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
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


class Counts(Protocol):
    """What the metrics must offer."""

    def attempt(self, source: str, receiver: str, outcome: Outcome) -> None: ...
    def finished(self, source: str, receiver: str, state: State) -> None: ...
    def in_doubt(self, receiver: str) -> None: ...


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
    ) -> None:
        self._settler, self._counts, self._label = settler, counts, label
        self._clock, self._rng, self._on_attempt = clock, rng, on_attempt

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
        """An attempt came to this outcome: settle, count, tell. What was not tried is not told."""
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
        )
        label = self._label(lane.receiver)
        self._counts.attempt(lane.source, label, outcome)
        if outcome.in_doubt:
            self._counts.in_doubt(label)
        if isinstance(fate, Final):
            self._counts.finished(lane.source, label, fate.state)
            self._settler.final(held.lease, held.position, fate.state, _event(attempt, str(fate.state)))
        else:
            told = None if outcome.verdict is Verdict.UNSENT else _event(attempt, "deferred")
            self._settler.again(held.lease, _again(held, fate, tried=told is not None), told)
        if outcome.verdict is not Verdict.UNSENT:
            self._on_attempt(attempt)

    def unusable(self, lane: LaneId, held: Held, why: str) -> None:
        """No message can be made for this recipient: it ends as INVALID, and nothing was sent."""
        envelope = held.envelope
        event = Event(
            id=f"{envelope.id}:{envelope.attempts}:{State.INVALID}",
            type=str(State.INVALID),
            at=self._clock(),
            campaign=envelope.campaign,
            ordinal=envelope.ordinal,
            to=envelope.address,
            fields=held.campaign.extras(envelope.fields),
            receiver=lane.receiver,
            source=lane.source,
            why=why,
        )
        self._counts.finished(lane.source, self._label(lane.receiver), State.INVALID)
        self._settler.final(held.lease, held.position, State.INVALID, event.encode())

    def release(self, held: Held) -> None:
        """The lane lets go of an envelope it never tried: ready at once, for whoever asks next."""
        self._settler.again(held.lease, Again(position=held.position, envelope=held.envelope, due=0.0, tried=False))


def _again(held: Held, later: Later, *, tried: bool) -> Again:
    envelope = replace(held.envelope, attempts=later.attempts, doubts=later.doubts)
    return Again(position=held.position, envelope=envelope, due=later.due, tried=tried)


def _event(attempt: Attempt, kind: str) -> bytes:
    envelope, outcome, reply = attempt.held.envelope, attempt.outcome, attempt.reply
    return Event(
        id=f"{envelope.id}:{envelope.attempts + 1}:{kind}",
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
        reply=reply.text if reply else "",
        category=outcome.category,
        scope=outcome.scope,
        rule=outcome.rule,
        due=attempt.next.due if isinstance(attempt.next, Later) else NOT_DUE,
        why=attempt.why,
    ).encode()
