"""When an envelope comes back, and how it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Envelope, Outcome, State, Verdict
from sender.policy.retry import Decision, Final, Later, RetryCurve, decide

CURVE = RetryCurve(steps_s=(300, 900, 3600), jitter=0.2, give_up_s=86_400, in_doubt_tries=2)
DEFERRED = Outcome(verdict=Verdict.DEFERRED)
IN_DOUBT = Outcome(verdict=Verdict.DEFERRED, in_doubt=True)
NOW = 1_000_000.0


def envelope(*, attempts: int = 0, doubts: int = 0, age_s: float = 0) -> Envelope:
    return Envelope(campaign="c", ordinal=1, address="a@example.net", attempts=attempts, doubts=doubts, queued_at=NOW - age_s)


def decided(one: Envelope, outcome: Outcome, *, chance: float = 0.5) -> Decision:
    return decide(CURVE, one, outcome, NOW, lambda: chance)


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 300), (1, 900), (2, 3600), (3, 3600), (50, 3600)])
def test_the_curve_and_its_last_step_that_repeats(attempts: int, wait_s: float) -> None:
    assert decided(envelope(attempts=attempts), DEFERRED) == Later(due=NOW + wait_s, attempts=attempts + 1, doubts=0)


@pytest.mark.parametrize(("chance", "wait_s"), [(0.0, 240), (0.5, 300), (1.0, 360)])
def test_jitter_goes_both_ways(chance: float, wait_s: float) -> None:
    later = decided(envelope(), DEFERRED, chance=chance)
    assert isinstance(later, Later)
    assert later.due == pytest.approx(NOW + wait_s)


@pytest.mark.parametrize(("chance", "wait_s"), [(0.0, 120), (1.0, 144)])
def test_a_named_delay_is_a_floor(chance: float, wait_s: float) -> None:
    later = decided(envelope(attempts=2), Outcome(verdict=Verdict.DEFERRED, retry_s=120), chance=chance)
    assert isinstance(later, Later)
    assert later.due == pytest.approx(NOW + wait_s)


def test_the_last_try_is_at_the_give_up_age_and_then_it_is_over() -> None:
    assert decided(envelope(attempts=9, age_s=86_000), DEFERRED) == Later(due=NOW + 400, attempts=10, doubts=0)
    assert decided(envelope(attempts=10, age_s=86_400), DEFERRED) == Final(state=State.EXPIRED)


def test_what_may_have_arrived_does_not_end_as_expired() -> None:
    assert decided(envelope(doubts=1, age_s=86_400), DEFERRED) == Final(state=State.UNKNOWN)


def test_doubts_are_counted_and_bounded() -> None:
    assert decided(envelope(), IN_DOUBT) == Later(due=NOW + 300, attempts=1, doubts=1)
    assert decided(envelope(attempts=1, doubts=1), IN_DOUBT) == Later(due=NOW + 900, attempts=2, doubts=2)
    assert decided(envelope(attempts=2, doubts=2), IN_DOUBT) == Final(state=State.UNKNOWN)
    assert decided(envelope(attempts=2, doubts=2), DEFERRED) == Later(due=NOW + 3600, attempts=3, doubts=2)


def test_what_was_not_tried_keeps_its_counts_and_comes_back_after_a_moment() -> None:
    one = envelope(attempts=3, doubts=1)
    assert decided(one, Outcome(verdict=Verdict.UNSENT, pause_s=3600)) == Later(due=NOW + 30, attempts=3, doubts=1)
    assert decided(one, Outcome(verdict=Verdict.UNSENT, retry_s=5)) == Later(due=NOW + 5, attempts=3, doubts=1)
    assert decided(one, Outcome(verdict=Verdict.UNSENT, retry_s=0)) == Later(due=NOW + 30, attempts=3, doubts=1)
    assert decided(envelope(age_s=86_400), Outcome(verdict=Verdict.UNSENT)) == Final(state=State.EXPIRED)


def test_final_outcomes() -> None:
    assert decided(envelope(), Outcome(verdict=Verdict.DELIVERED)) == Final(state=State.DELIVERED)
    assert decided(envelope(age_s=1e9), Outcome(verdict=Verdict.REJECTED)) == Final(state=State.REJECTED)


@given(
    attempts=st.integers(0, 1000),
    doubts=st.integers(0, 2),
    age_s=st.floats(0, 200_000),
    chance=st.floats(0, 1),
    retry_s=st.none() | st.floats(0, 86_400),
)
def test_a_deferred_envelope_never_comes_back_in_the_past_nor_after_its_age(
    attempts: int, doubts: int, age_s: float, chance: float, retry_s: float | None
) -> None:
    one = envelope(attempts=attempts, doubts=doubts, age_s=age_s)
    decision = decided(one, Outcome(verdict=Verdict.DEFERRED, retry_s=retry_s), chance=chance)
    if isinstance(decision, Later):
        assert NOW <= decision.due <= one.queued_at + CURVE.give_up_s
        assert decision.attempts == attempts + 1
    else:
        assert one.queued_at + CURVE.give_up_s <= NOW


@pytest.mark.parametrize("steps", [(), (0.0,), (-1.0, 5.0)])
def test_a_curve_has_waits(steps: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not a curve"):
        RetryCurve(steps_s=steps)


def test_decisions_are_readable() -> None:
    assert repr(Later(due=12.4, attempts=1, doubts=0)) == "<Later 12 attempts=1 doubts=0>"
    assert repr(Final(state=State.EXPIRED)) == "<Final expired>"


def test_a_scale_shortens_every_wait_but_not_the_age() -> None:
    quick = RetryCurve(steps_s=(300,), jitter=0, give_up_s=86_400, scale=0.01)
    outcomes = (DEFERRED, Outcome(verdict=Verdict.DEFERRED, retry_s=600), Outcome(verdict=Verdict.UNSENT))
    waits = [decide(quick, envelope(), outcome, NOW, lambda: 0.5) for outcome in outcomes]
    assert [round(later.due - NOW, 6) for later in waits if isinstance(later, Later)] == [3.0, 6.0, 0.3]
    assert decide(quick, envelope(age_s=86_399), DEFERRED, NOW, lambda: 0.5) == Later(due=NOW + 1, attempts=1, doubts=0)
