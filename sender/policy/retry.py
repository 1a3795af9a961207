"""When an envelope is tried again, or how it ends: a curve of waits, a give-up age, a bound on doubts.

The age counts from when a try first came to anything, if only to UNSENT: what waits for its turn does not grow old, and what
had a turn does not wait for ever. A campaign's deadline ends what the age would not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from sender.model import Category, Envelope, Outcome, Scope, State, Verdict

UNSENT_S = 30.0  # where an outcome names no wait; what a lane lets go of untried does not come here, and is ready at once


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryCurve:
    """Waits after the first, second ... attempt that cost something; the last one repeats."""

    steps_s: tuple[float, ...]
    jitter: float = 0.2  # of a wait, to either side, so that what failed together does not come back together
    give_up_s: float = 345_600.0  # 4 days: RFC 5321 section 4.5.4.1 asks for 4 to 5
    in_doubt_tries: int = 2  # so many attempts may end in doubt, and so many copies may exist: then it is parked
    scale: float = 1.0  # multiplies every wait but not the give-up age
    not_after: float = float("inf")  # Unix seconds: the campaign's deadline, whatever the age

    def __post_init__(self) -> None:
        if not self.steps_s or min(self.steps_s) <= 0 or not 0 <= self.jitter < 1:
            raise ValueError(f"not a curve: steps {self.steps_s}, jitter {self.jitter}")
        if self.in_doubt_tries < 1:
            raise ValueError(f"not a bound on doubts: {self.in_doubt_tries}; an attempt may always end in doubt")

    def wait_s(self, attempts: int) -> float:
        """The wait after so many attempts (1 or more), without jitter."""
        return self.scale * self.steps_s[min(attempts, len(self.steps_s)) - 1]

    def ends_at(self, tried_at: float) -> float:
        """When an envelope whose first try was then is given up, Unix seconds."""
        return min(tried_at + self.give_up_s, self.not_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Try again at `due` (Unix seconds), with these counts."""

    due: float
    attempts: int
    doubts: int
    tried_at: float

    def __repr__(self) -> str:
        return f"<Later {self.due:.0f} attempts={self.attempts} doubts={self.doubts}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The envelope has reached this state."""

    state: State

    def __repr__(self) -> str:
        return f"<Final {self.state}>"


Decision = Later | Final

# What a receiver may think of a source, as against how many connections it takes or what the network does.
_REPUTATION = frozenset({Category.BLOCK, Category.CONTENT, Category.POLICY, Category.RATE})

_DELIVERED = Final(state=State.DELIVERED)
_REJECTED = Final(state=State.REJECTED)
_EXPIRED = Final(state=State.EXPIRED)
_UNKNOWN = Final(state=State.UNKNOWN)


def decide(curve: RetryCurve, envelope: Envelope, outcome: Outcome, now: float, rng: Callable[[], float]) -> Decision:
    """What becomes of an envelope after this outcome. `rng` gives numbers in [0, 1), like `random.random`."""
    match outcome.verdict:
        case Verdict.DELIVERED:
            return _DELIVERED
        case Verdict.REJECTED:
            return _REJECTED
        case Verdict.DEFERRED:
            return _deferred(curve, envelope, outcome, now, rng)
        case Verdict.UNSENT:
            return _unsent(curve, envelope, outcome, now)
        case _ as never:
            assert_never(never)


def stays(outcome: Outcome) -> bool:
    """Whether the next try must be from the same source: it was deferred because of what the receiver thinks of that one.

    The same mail from another address would dodge the answer, and spread what was thought to that address.
    """
    return outcome.verdict is Verdict.DEFERRED and outcome.scope is Scope.LANE and outcome.category in _REPUTATION


def _deferred(curve: RetryCurve, envelope: Envelope, outcome: Outcome, now: float, rng: Callable[[], float]) -> Decision:
    attempts, doubts = envelope.attempts + 1, envelope.doubts + outcome.in_doubt
    tried_at = envelope.tried_at or now
    deadline = curve.ends_at(tried_at)
    if doubts >= curve.in_doubt_tries:
        return _UNKNOWN
    if now >= deadline:
        return _too_old(doubts)
    if outcome.retry_s is not None:
        wait_s = curve.scale * outcome.retry_s * (1 + curve.jitter * rng())  # a named delay is a floor: jitter only adds
    else:
        wait_s = curve.wait_s(attempts) * (1 + curve.jitter * (2 * rng() - 1))
    due = min(now + wait_s, deadline)  # the last try is at the deadline itself
    return _again(curve, Later(due=due, attempts=attempts, doubts=doubts, tried_at=tried_at))


def _unsent(curve: RetryCurve, envelope: Envelope, outcome: Outcome, now: float) -> Decision:
    """Back after a moment: it costs no attempt, so nothing else would end a round of refusals."""
    tried_at = envelope.tried_at or now
    if now >= curve.ends_at(tried_at):
        return _too_old(envelope.doubts)
    wait_s = curve.scale * (outcome.retry_s or UNSENT_S)
    return _again(curve, Later(due=now + wait_s, attempts=envelope.attempts, doubts=envelope.doubts, tried_at=tried_at))


def _again(curve: RetryCurve, later: Later) -> Decision:
    """Nothing is tried at a campaign's deadline: what would wait for it and may have arrived ends now, while that is known."""
    return _UNKNOWN if later.doubts and later.due >= curve.not_after else later


def _too_old(doubts: int) -> Final:
    """An envelope that may have arrived is not reported as one that did not."""
    return _UNKNOWN if doubts else _EXPIRED
