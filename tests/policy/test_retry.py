"""When an envelope comes back, and how it ends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Category, Envelope, Outcome, Scope, State, Verdict
from sender.policy.retry import Decision, Final, Later, RetryCurve, decide, stays

CURVE = RetryCurve(steps_s=(300, 900, 3600), jitter=0.2, give_up_s=86_400, in_doubt_tries=2)
DEFERRED = Outcome(verdict=Verdict.DEFERRED)
IN_DOUBT = Outcome(verdict=Verdict.DEFERRED, in_doubt=True)
NOW = 1_000_000.0


def envelope(*, attempts: int = 0, doubts: int = 0, age_s: float | None = None) -> Envelope:
    """`age_s` is since its first try; without one it was not tried yet. It has been queued for a long time."""
    tried_at = 0.0 if age_s is None else NOW - age_s
    return Envelope(
        campaign="c", ordinal=1, address="a@example.net", attempts=attempts, doubts=doubts, queued_at=1.0, tried_at=tried_at
    )


def decided(one: Envelope, outcome: Outcome, *, chance: float = 0.5) -> Decision:
    return decide(CURVE, one, outcome, NOW, lambda: chance)


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 300), (1, 900), (2, 3600), (3, 3600), (50, 3600)])
def test_the_curve_and_its_last_step_that_repeats(attempts: int, wait_s: float) -> None:
    assert decided(envelope(attempts=attempts), DEFERRED) == Later(
        due=NOW + wait_s, attempts=attempts + 1, doubts=0, tried_at=NOW
    )


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
    last = Later(due=NOW + 400, attempts=10, doubts=0, tried_at=NOW - 86_000)
    assert decided(envelope(attempts=9, age_s=86_000), DEFERRED) == last
    assert decided(envelope(attempts=10, age_s=86_400), DEFERRED) == Final(state=State.EXPIRED)


def test_what_may_have_arrived_does_not_end_as_expired() -> None:
    assert decided(envelope(doubts=1, age_s=86_400), DEFERRED) == Final(state=State.UNKNOWN)


@pytest.mark.parametrize("tries", [1, 2, 5])
@pytest.mark.row("F26")
def test_so_many_attempts_may_end_in_doubt_and_then_it_is_parked(tries: int) -> None:
    curve, doubts, copies = replace(CURVE, in_doubt_tries=tries), 0, 0
    while True:
        copies += 1
        decision = decide(curve, envelope(attempts=doubts, doubts=doubts), IN_DOUBT, NOW, lambda: 0.5)
        if isinstance(decision, Final):
            break
        assert decision.doubts == doubts + 1
        doubts = decision.doubts
    assert (copies, decision) == (tries, Final(state=State.UNKNOWN))


def test_a_deferral_after_a_doubt_adds_none() -> None:
    assert decided(envelope(attempts=1, doubts=1), DEFERRED) == Later(due=NOW + 900, attempts=2, doubts=1, tried_at=NOW)


def test_a_bound_that_was_lowered_holds_for_what_is_beyond_it() -> None:
    assert decided(envelope(attempts=3, doubts=3), DEFERRED) == Final(state=State.UNKNOWN)


def test_what_waited_for_its_turn_is_not_old() -> None:
    """Queued for days behind a pause or a cap: the first answer begins the give-up age, whatever it is."""
    for outcome in (DEFERRED, IN_DOUBT, Outcome(verdict=Verdict.UNSENT)):
        later = decided(envelope(), outcome)
        assert isinstance(later, Later)
        assert later.tried_at == NOW
    later = decided(envelope(attempts=1, age_s=3600), DEFERRED)
    assert isinstance(later, Later)
    assert later.tried_at == NOW - 3600


@pytest.mark.parametrize("outcome", [DEFERRED, Outcome(verdict=Verdict.UNSENT)])
def test_what_is_in_doubt_does_not_wait_for_a_deadline_at_which_nothing_is_tried(outcome: Outcome) -> None:
    soon = replace(CURVE, not_after=NOW + 20)
    assert decide(soon, envelope(doubts=1), outcome, NOW, lambda: 0.5) == Final(state=State.UNKNOWN)
    assert isinstance(decide(soon, envelope(), outcome, NOW, lambda: 0.5), Later)
    assert isinstance(decide(replace(CURVE, not_after=NOW + 400), envelope(doubts=1), outcome, NOW, lambda: 0.5), Later)


def test_a_campaigns_deadline_ends_what_its_age_would_not() -> None:
    soon = replace(CURVE, not_after=NOW + 100)
    assert decide(soon, envelope(), DEFERRED, NOW, lambda: 0.5) == Later(due=NOW + 100, attempts=1, doubts=0, tried_at=NOW)
    over = replace(CURVE, not_after=NOW)
    assert decide(over, envelope(), DEFERRED, NOW, lambda: 0.5) == Final(state=State.EXPIRED)
    assert decide(over, envelope(), Outcome(verdict=Verdict.UNSENT), NOW, lambda: 0.5) == Final(state=State.EXPIRED)
    assert decide(over, envelope(), IN_DOUBT, NOW, lambda: 0.5) == Final(state=State.UNKNOWN)


def test_what_was_not_tried_keeps_its_counts_and_comes_back_after_a_moment() -> None:
    one, back = envelope(attempts=3, doubts=1), Later(due=NOW + 30, attempts=3, doubts=1, tried_at=NOW)
    assert decided(one, Outcome(verdict=Verdict.UNSENT, pause_s=3600)) == back
    assert decided(one, Outcome(verdict=Verdict.UNSENT, retry_s=5)) == replace(back, due=NOW + 5)
    assert decided(one, Outcome(verdict=Verdict.UNSENT, retry_s=0)) == back
    assert decided(envelope(age_s=86_400), Outcome(verdict=Verdict.UNSENT)) == Final(state=State.EXPIRED)


def test_final_outcomes() -> None:
    assert decided(envelope(), Outcome(verdict=Verdict.DELIVERED)) == Final(state=State.DELIVERED)
    assert decided(envelope(age_s=1e9), Outcome(verdict=Verdict.REJECTED)) == Final(state=State.REJECTED)


@given(
    attempts=st.integers(0, 1000),
    doubts=st.integers(0, 1),
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
        assert NOW <= decision.due <= one.tried_at + CURVE.give_up_s
        assert decision.attempts == attempts + 1
    else:
        assert one.tried_at + CURVE.give_up_s <= NOW


@pytest.mark.parametrize("steps", [(), (0.0,), (-1.0, 5.0)])
def test_a_curve_has_waits(steps: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not a curve"):
        RetryCurve(steps_s=steps)


def test_an_attempt_may_always_end_in_doubt() -> None:
    with pytest.raises(ValueError, match="not a bound on doubts: 0"):
        RetryCurve(steps_s=(1.0,), in_doubt_tries=0)


def test_decisions_are_readable() -> None:
    assert repr(Later(due=12.4, attempts=1, doubts=0, tried_at=NOW)) == "<Later 12 attempts=1 doubts=0>"
    assert repr(Final(state=State.EXPIRED)) == "<Final expired>"


def test_a_scale_shortens_every_wait_but_not_the_age() -> None:
    quick = RetryCurve(steps_s=(300,), jitter=0, give_up_s=86_400, scale=0.01)
    outcomes = (DEFERRED, Outcome(verdict=Verdict.DEFERRED, retry_s=600), Outcome(verdict=Verdict.UNSENT))
    waits = [decide(quick, envelope(), outcome, NOW, lambda: 0.5) for outcome in outcomes]
    assert [round(later.due - NOW, 6) for later in waits if isinstance(later, Later)] == [3.0, 6.0, 0.3]
    last = Later(due=NOW + 1, attempts=1, doubts=0, tried_at=NOW - 86_399)
    assert decide(quick, envelope(age_s=86_399), DEFERRED, NOW, lambda: 0.5) == last


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, category=Category.BLOCK), True),
        (Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, category=Category.RATE), True),
        (Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, category=Category.CONTENT), True),
        (Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, category=Category.CONNECTION_LIMIT), False),
        (Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, category=Category.NETWORK), False),
        (Outcome(verdict=Verdict.DEFERRED, scope=Scope.DOMAIN, category=Category.BLOCK), False),
        (Outcome(verdict=Verdict.DEFERRED, scope=Scope.RECIPIENT, category=Category.RATE), False),
        (Outcome(verdict=Verdict.UNSENT, scope=Scope.LANE, category=Category.BLOCK), False),
        (Outcome(verdict=Verdict.REJECTED, scope=Scope.LANE, category=Category.BLOCK), False),
    ],
)
def test_what_a_receiver_thinks_of_a_source_is_not_dodged(outcome: Outcome, expected: bool) -> None:
    """Another address is for what says nothing about this one, and for what was never tried."""
    assert stays(outcome) is expected
