import pytest

from sender.model import Action, Category, Envelope, Outcome, Scope, Verdict
from sender.policy.retry import Later, RetryCurve, decide
from sender.policy.stops import Stops

NOW = 1_700_000_000.0


def refusal(*actions: Action, pause_s: float | None = 600.0) -> Outcome:
    return Outcome(
        verdict=Verdict.DEFERRED,
        scope=Scope.DOMAIN,
        category=Category.AUTHENTICATION,
        rule="google/dkim-domain",
        actions=actions,
        pause_s=pause_s,
    )


def test_a_refusal_of_the_domain_stops_it_at_that_receiver_alone() -> None:
    stops = Stops()
    stops.after(refusal(Action.STOP_DOMAIN), "google", "shop.example", "spring", NOW, "421 4.7.28 your DKIM domain")
    stop = stops.find("google", "shop.example", "another", NOW + 1)
    assert stop is not None
    assert "your DKIM domain" in repr(stop)
    assert stops.find("yahoo", "shop.example", "spring", NOW + 1) is None
    assert stops.find("google", "other.example", "spring", NOW + 1) is None


def test_a_refused_campaign_waits_and_others_of_its_domain_go_on() -> None:
    stops = Stops()
    stops.after(refusal(Action.PAUSE_CAMPAIGN), "orange", "shop.example", "spring", NOW, "OFR_506")
    assert stops.find("orange", "shop.example", "spring", NOW + 1) is not None
    assert stops.find("orange", "shop.example", "summer", NOW + 1) is None


def test_a_stop_ends_by_itself() -> None:
    stops = Stops()
    stops.after(refusal(Action.STOP_DOMAIN), "google", "shop.example", "spring", NOW, "")
    assert stops.find("google", "shop.example", "spring", NOW + 599) is not None
    assert stops.find("google", "shop.example", "spring", NOW + 600) is None


def test_a_rule_without_a_time_stops_for_an_hour() -> None:
    stops = Stops()
    stops.after(refusal(Action.STOP_DOMAIN, pause_s=None), "google", "shop.example", "spring", NOW, "")
    assert stops.find("google", "shop.example", "spring", NOW + 3599) is not None


def test_other_actions_stop_nothing_here() -> None:
    stops = Stops()
    stops.after(refusal(Action.PAUSE, Action.HALVE, Action.STOP_SOURCE), "google", "shop.example", "spring", NOW, "")
    assert stops.find("google", "shop.example", "spring", NOW) is None


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_what_is_stopped_comes_back_when_the_stop_ends_and_paid_nothing(scale: float) -> None:
    stops = Stops(scale)
    stops.after(refusal(Action.STOP_DOMAIN), "google", "shop.example", "spring", NOW, "")
    stop = stops.find("google", "shop.example", "spring", NOW)
    assert stop is not None
    envelope = Envelope(campaign="spring", ordinal=1, address="ann@gmail.com", attempts=2, queued_at=NOW)
    curve = RetryCurve(steps_s=(300.0,), jitter=0.0, scale=scale)
    fate = decide(curve, envelope, stops.outcome(stop, NOW), NOW, lambda: 0.0)
    assert isinstance(fate, Later)
    assert fate.attempts == 2
    assert fate.due == pytest.approx(stop.until)


def test_memory_is_bounded() -> None:
    stops = Stops()
    for number in range(10_050):
        stops.after(refusal(Action.STOP_DOMAIN, pause_s=1.0), "google", f"d{number}.example", "spring", NOW + number, "")
    assert repr(stops) == "<Stops 10000>"
