"""What a campaign will come to: by day and source, what holds it, when it ends. Figures that one can work out by hand."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from sender.policy.forecast import (
    AccountOutlook,
    Bind,
    Expectation,
    LaneOutlook,
    Others,
    RouteOutlook,
    Scenario,
    Speed,
)
from sender.policy.forecast_flow import fill, forecast
from sender.policy.gates import Tally
from sender.policy.plan import Plan, Stage
from sender.policy.progress import Progress, What, Word
from sender.policy.receivers import Limits
from sender.policy.retry import RetryCurve
from sender.policy.schedule import FOR_EVER, Schedule, Window

NOW = datetime.fromisoformat("2026-03-02T00:00+00:00").timestamp()  # a Monday
TODAY = datetime.fromtimestamp(NOW, ZoneInfo("UTC")).toordinal()
HOUR, DAY = 3_600.0, 86_400.0
CURVE = RetryCurve(steps_s=(300, 900, 3600), jitter=0)
SURE = Expectation(delivered=1.0)
# An hour takes a quarter of a day's cap, and a quarter of an hour: stages of 240, 480, 960 a day.
PLAN = Plan(name="p", stages=tuple(Stage(day=day, hour=day // 4, minute=day // 60) for day in (240, 480, 960)))
WARM = LaneOutlook(source="warm", speed=Speed(per_second=1.0, bind=Bind.MESSAGE_RATE))
COLD = LaneOutlook(source="cold", speed=Speed(per_second=1.0, bind=Bind.MESSAGE_RATE), account="cold/google")


def account(**other: Any) -> AccountOutlook:
    return AccountOutlook(name="cold/google", plan=PLAN, **other)


def route(envelopes: int, *lanes: LaneOutlook, receiver: str = "google", **other: Any) -> RouteOutlook:
    return RouteOutlook(**{"receiver": receiver, "envelopes": envelopes, "lanes": lanes, "expectation": SURE, **other})


def scenario(*routes: RouteOutlook, **other: Any) -> Scenario:
    return Scenario(**{"now": NOW, "routes": routes, "accounts": {"cold/google": account()}, "curve": CURVE, **other})


def about(value: float, **tolerance: Any) -> Any:
    return pytest.approx(value, **tolerance)


def after(moment: float) -> float:
    """Hours from the beginning."""
    return (moment - NOW) / HOUR


def test_a_warm_source_takes_what_its_limits_let_it() -> None:
    found = forecast(scenario(route(3600, WARM)))
    assert after(found.eta) == about(1.0)
    (google,) = found.routes
    assert (google.delivered, google.spilled, google.binding) == (about(3600), 0, Bind.MESSAGE_RATE)


def test_a_cold_source_takes_a_stage_a_day_and_spreads_it_over_hours_and_minutes() -> None:
    (google,) = forecast(scenario(route(240 + 480 + 100, COLD))).routes
    assert [(day.day - TODAY, round(day.delivered), day.cap) for day in google.days] == [
        (0, 240, 240),
        (1, 480, 480),
        (2, 100, 960),
    ]
    # 16 a minute for the last hundred of the third day
    assert after(google.eta) == about(48 + 100 / 16 / 60, abs=0.01)
    assert google.binding is Bind.PLAN_DAY


def test_hours_bind_where_there_is_no_day_to_wait_for() -> None:
    (google,) = forecast(scenario(route(200, COLD))).routes
    assert google.binding is Bind.PLAN_HOUR
    assert after(google.eta) == about(3 + 20 / 4 / 60, abs=0.02)


def test_past_its_last_stage_a_source_is_warm() -> None:
    (google,) = forecast(scenario(route(240 + 480 + 960 + 3600, COLD))).routes
    assert [day.cap for day in google.days] == [240, 480, 960, None]
    assert after(google.eta) == about(72 + 1, abs=0.01)


def test_a_stage_that_is_not_used_up_is_not_passed() -> None:
    days = Schedule(start=NOW + DAY - 600)  # ten minutes of the first day: 40 of 240
    (google,) = forecast(scenario(route(40 + 240 + 10, COLD), schedule=days)).routes
    assert [day.cap for day in google.days] == [240, 240, 480]


def test_what_was_used_today_is_gone_and_what_was_delivered_counts_for_the_stage() -> None:
    progress = Progress(plan="p", stage=1, volume=480, since=TODAY, day=TODAY, active=TODAY)
    used = account(progress=progress, tally=Tally(delivered=400, used=400), day=400)
    (google,) = forecast(scenario(route(100, COLD), accounts={"cold/google": used})).routes
    assert [(round(day.delivered), day.cap) for day in google.days] == [(80, 480), (20, 960)]


def test_an_hour_that_is_used_up_is_waited_for() -> None:
    (google,) = forecast(scenario(route(10, COLD), accounts={"cold/google": account(day=60, hour=60)})).routes
    assert after(google.begins) == about(1)


def test_what_others_send_beside_it_uses_the_cap_and_passes_the_stage() -> None:
    others = (Others(priority=5, envelopes=120),)
    (google,) = forecast(scenario(route(500, COLD, others=others))).routes
    assert [(round(day.delivered), day.cap) for day in google.days] == [(120, 240), (380, 480)]


def test_a_lane_that_is_held_does_not_go_on_and_one_that_is_stopped_sends_nothing() -> None:
    progress = Progress(plan="p", stage=0, volume=240, since=TODAY, day=TODAY, active=TODAY)
    held = structs.replace(progress, held=Word(what=What.HELD, why="wait", at=NOW, by="ann@host"))
    (google,) = forecast(scenario(route(500, COLD), accounts={"cold/google": account(progress=held)})).routes
    assert [day.cap for day in google.days] == [240, 240, 240]
    stopped = structs.replace(progress, stopped=TODAY + 2)
    (google,) = forecast(scenario(route(100, COLD), accounts={"cold/google": account(progress=stopped)})).routes
    assert (after(google.begins), google.binding) == (48, Bind.STOPPED)


def test_a_lane_that_an_operator_holds_waits_for_the_end_of_it() -> None:
    (google,) = forecast(scenario(route(3600, replace(WARM, held=NOW + 2 * HOUR)))).routes
    assert (after(google.begins), after(google.eta), google.binding) == (2, about(3), Bind.HELD)
    (google,) = forecast(scenario(route(3600, replace(WARM, held=FOR_EVER)))).routes
    assert (google.eta, google.binding) == (FOR_EVER, Bind.HELD)


def test_what_does_not_fit_spills_to_warm_sources_at_once_later_or_never() -> None:
    def played(spill_s: float) -> tuple[float, float]:
        (google,) = forecast(scenario(route(720, WARM, COLD), spill_s=spill_s)).routes
        return after(google.eta), round(google.spilled)

    assert played(0.0) == (about(0.19, abs=0.01), 675)  # cold takes 4 a minute of it
    assert played(6 * HOUR) == (about(6.13, abs=0.01), 480)  # cold has had its 240 by then
    late = Schedule(start=NOW + 12 * HOUR)
    (google,) = forecast(scenario(route(720, WARM, COLD), spill_s=6 * HOUR, schedule=late)).routes
    assert after(google.eta) == about(18.13, abs=0.01)
    assert played(FOR_EVER) == (about(27.25), 0)  # a day's 240, and four hours of 120


def test_those_that_were_engaged_too_little_are_kept_to_warm_sources() -> None:
    (google,) = forecast(scenario(route(340, WARM, COLD, reserved=100), spill_s=FOR_EVER)).routes
    taken = {day.source: round(day.delivered) for day in google.days}
    assert taken == {"warm": 100, "cold": 240}
    (alone,) = forecast(scenario(route(340, COLD, reserved=100))).routes
    assert (round(alone.delivered), round(alone.left), alone.eta) == (240, 100, FOR_EVER)


def test_nobody_sends_outside_of_the_campaign_s_windows() -> None:
    office = Schedule(windows=(Window(days=frozenset(range(5)), opens=9 * 60, closes=10 * 60),))
    found = forecast(scenario(route(5400, WARM), schedule=office))
    assert after(found.eta) == about(24 + 9.5)
    assert found.routes[0].binding is Bind.WINDOW


def test_nobody_sends_before_the_start() -> None:
    found = forecast(scenario(route(3600, WARM), schedule=Schedule(start=NOW + 5 * HOUR)))
    assert (after(found.routes[0].begins), after(found.eta)) == (5, about(6))
    assert found.routes[0].binding is Bind.START


def test_what_the_deadline_overtakes_expires() -> None:
    (google,) = forecast(scenario(route(7200, WARM), schedule=Schedule(deadline=NOW + HOUR))).routes
    assert (google.delivered, google.expired) == (about(3600), about(3600))
    assert after(google.eta) == 1


def test_the_campaign_s_rate_is_shared_out_by_what_receivers_still_have() -> None:
    found = forecast(scenario(route(600, WARM), route(1200, WARM, receiver="orange"), rate=0.5))
    assert [after(route.eta) for route in found.routes] == [about(1.0), about(1.0)]
    assert {route.binding for route in found.routes} == {Bind.CAMPAIGN_RATE}


def test_the_sending_domain_s_plan_holds_all_sources_together() -> None:
    domain = AccountOutlook(name="@shop.example", plan=PLAN)
    found = forecast(
        scenario(
            route(120, WARM), route(240, WARM, receiver="orange"), accounts={"@shop.example": domain}, identity="@shop.example"
        )
    )
    assert sum(day.delivered for route in found.routes for day in route.days if day.day == TODAY) == about(240)
    assert found.routes[1].binding is Bind.IDENTITY


def test_deferred_mail_comes_back_as_the_curve_says_and_the_last_of_it_decides_the_end() -> None:
    """As many deferrals as deliveries: everybody is greylisted. Three times as many: most of it is put off more than once."""
    (google,) = forecast(scenario(route(8, WARM, expectation=Expectation(delivered=0.5)))).routes
    assert google.eta - NOW == about(8 + 300 + 8, abs=1)
    (google,) = forecast(scenario(route(8, WARM, expectation=Expectation(delivered=0.25)))).routes
    # 8 are put off, and each time two thirds of them again, until less than half a one is left: 5, 15 and 60 minutes each
    assert google.eta - NOW == about(300 + 900 + 5 * 3600, abs=60)
    assert google.tried - NOW == about(8)
    assert (google.binding, google.delivered) == (Bind.MESSAGE_RATE, about(8))
    assert google.bound[Bind.RETRY] > 0.99


def test_of_many_that_are_put_off_the_last_one_comes_back_as_late_as_jitter_permits() -> None:
    curve = replace(CURVE, jitter=0.2)
    (google,) = forecast(scenario(route(100, WARM, expectation=Expectation(delivered=0.9)), curve=curve)).routes
    assert google.eta - NOW == about(100 + 360 + 11, abs=1)


PUT_OFF_ONCE = Expectation(delivered=0.5)


def test_what_comes_back_goes_before_what_was_never_tried() -> None:
    """Of 60 an hour: one hour's are put off, the next hour has them again, the third has new ones."""
    (google,) = forecast(scenario(route(120, COLD, expectation=PUT_OFF_ONCE))).routes
    assert (after(google.tried), after(google.eta)) == (about(2.25), about(3.25))


def test_what_is_kept_to_warm_sources_comes_back_to_them() -> None:
    (google,) = forecast(scenario(route(100, WARM, COLD, reserved=100, expectation=PUT_OFF_ONCE))).routes
    assert {day.source for day in google.days} == {"warm"}


@pytest.mark.parametrize(
    ("apart_s", "envelopes", "eta_s"),
    [
        (30, 60, 45 + 300 + 60 / 2),  # within a fifth of the wait: all come back with the last of them
        (200, 400, 300 + 300 + 200 / 2),  # not so: the first 200 are there at 500 s, and done when the others are
    ],
)
def test_what_is_put_off_at_about_the_same_time_comes_back_together(apart_s: float, envelopes: int, eta_s: float) -> None:
    late = replace(WARM, source="late", held=NOW + apart_s)  # two steps: alone, then both
    (google,) = forecast(scenario(route(envelopes, WARM, late, expectation=PUT_OFF_ONCE))).routes
    assert google.eta - NOW == about(eta_s, abs=0.1)


def test_what_is_deferred_for_too_long_is_given_up() -> None:
    curve = replace(CURVE, give_up_s=HOUR)
    (google,) = forecast(scenario(route(1000, WARM, expectation=Expectation(delivered=0.01)), curve=curve)).routes
    assert google.expired == about(1000 * (1 - 1 / 99) ** 3, rel=0.01)  # put off, and then three times again
    assert google.delivered + google.expired == about(1000)


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    (google,) = forecast(scenario(route(1000, WARM, expectation=Expectation(delivered=0.9, rejected=0.1)))).routes
    assert (google.delivered, google.rejected) == (about(900), about(100))
    assert google.eta == google.tried


def test_others_of_a_better_priority_go_first_and_equals_share() -> None:
    def eta(priority: int) -> float:
        found = forecast(scenario(route(3600, WARM, others=(Others(priority=priority, envelopes=1800),))))
        return after(found.eta)

    assert [eta(4), eta(5), eta(6)] == [about(1.5), about(1.5), about(1.0)]
    (first,) = forecast(scenario(route(3600, WARM, others=(Others(priority=4, envelopes=1800),)))).routes
    assert after(first.begins) == about(0.5)


def test_those_of_a_worse_priority_take_nothing_from_those_of_a_better_one() -> None:
    others = (Others(priority=4, envelopes=600), Others(priority=6, envelopes=600))
    (google,) = forecast(scenario(route(600, WARM, others=others))).routes
    assert (google.begins - NOW, google.eta - NOW) == (about(600), about(1200))


def test_without_a_source_it_comes_to_no_end() -> None:
    (google,) = forecast(scenario(route(10))).routes
    assert (google.eta, google.left, google.binding) == (FOR_EVER, 10, Bind.NO_SOURCE)


def test_several_receivers_in_one_end_when_the_largest_of_them_does() -> None:
    (tail,) = forecast(scenario(route(3600, WARM, parallel=4.0))).routes
    assert after(tail.eta) == about(0.25)


@pytest.mark.parametrize(
    ("limits", "latency_s", "per_second", "bind"),
    [
        (Limits(connections=5, messages_per_connection=50), 0.2, 5 * 50 / (56 * 0.2), Bind.CONNECTIONS),
        (Limits(messages_per_second=3), 0.2, 3, Bind.MESSAGE_RATE),
        (Limits(connections=50, connections_per_minute=6, messages_per_connection=2), 0.2, 0.2, Bind.CONNECTION_RATE),
        (Limits(connections=1, messages_per_connection=1000), 3.0, 100 / (106 * 3), Bind.CONNECTIONS),  # a session lasts 300 s
    ],
)
def test_how_fast_a_lane_goes(limits: Limits, latency_s: float, per_second: float, bind: Bind) -> None:
    found = Speed.of(limits, latency_s)
    assert (found.per_second, found.bind) == (about(per_second), bind)


def test_shares_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not shares of one: 0.9 delivered, 0.2 rejected"):
        Expectation(delivered=0.9, rejected=0.2)


amounts = st.floats(min_value=0, max_value=1e6)


@given(st.lists(st.tuples(amounts, st.just(0.0) | st.floats(0.1, 1e6)), max_size=6), amounts)
def test_what_is_shared_out_is_all_there_is_and_no_more_than_wanted(both: list[tuple[float, float]], amount: float) -> None:
    wants, weights = [want for want, _ in both], [weight for _, weight in both]
    given_out = fill(amount, wants, weights)
    assert all(part <= want * (1 + 1e-9) + 1e-9 for part, want in zip(given_out, wants, strict=True))
    able = sum(want for want, weight in both if weight > 0)
    assert sum(given_out) == about(min(amount, able), rel=1e-6, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    envelopes=st.integers(1, 20_000),
    reserved=st.integers(0, 5_000),
    delivered=st.floats(0.05, 1.0),
    spill_s=st.sampled_from([0.0, HOUR, FOR_EVER]),
    rate=st.sampled_from([0.0, 0.05, 10.0]),
    deadline=st.sampled_from([FOR_EVER, NOW + 3 * HOUR]),
)
def test_nobody_is_lost_or_doubled_and_no_cap_is_exceeded(
    envelopes: int, reserved: int, delivered: float, spill_s: float, rate: float, deadline: float
) -> None:
    google = route(envelopes, WARM, COLD, reserved=min(reserved, envelopes), expectation=Expectation(delivered=delivered))
    found = forecast(scenario(google, spill_s=spill_s, rate=rate, schedule=Schedule(deadline=deadline))).routes[0]
    assert found.delivered + found.rejected + found.expired + found.left == about(envelopes)
    assert sum(day.delivered for day in found.days) == about(found.delivered, abs=1)
    assert all(day.cap is None or day.delivered <= day.cap + 1e-3 for day in found.days)
    assert found.spilled <= found.delivered + 1e-6
    assert sum(found.bound.values()) == about(1.0)
