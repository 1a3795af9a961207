"""Stages, and the days of a plan's zone: through summer time, over midnights that come twice and dates that never were."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import UNLIMITED, Cap
from sender.policy.plan import Day, Plan, Shares, Stage, date_of

ZONES = ["UTC", "Europe/Paris", "America/New_York", "America/St_Johns", "America/Havana", "America/Sao_Paulo", "Pacific/Apia"]


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def hours(zone: str, moment: str) -> float:
    day = Day.of(ZoneInfo(zone), at(moment))
    return (day.ends - day.starts) / 3600


@pytest.mark.parametrize(
    ("day", "hour", "minute"), [(1, 1, 1), (50, 10, 1), (200, 40, 2), (1_000, 200, 10), (1_000_000, 200_000, 10_000)]
)
def test_a_day_is_spread_over_hours_and_minutes(day: int, hour: int, minute: int) -> None:
    assert Stage.of(day, shares=Shares()) == Stage(day=day, hour=hour, minute=minute)


def test_an_hour_is_no_more_than_its_day_and_a_minute_no_more_than_its_hour() -> None:
    assert Stage.of(100, 500, 700, shares=Shares()) == Stage(day=100, hour=100, minute=100)


@pytest.mark.parametrize(
    ("zone", "moment", "long"),
    [
        ("UTC", "2026-03-29T12:00+00:00", 24),
        ("Europe/Paris", "2026-03-29T12:00+00:00", 23),  # summer time begins
        ("Europe/Paris", "2026-10-25T12:00+00:00", 25),  # and ends
        ("America/Sao_Paulo", "2018-11-04T12:00+00:00", 23),  # it begins at midnight: 00:00 never is
        ("America/Sao_Paulo", "2018-02-17T12:00+00:00", 25),  # and ends at midnight: 23:00 comes twice
        ("America/Havana", "2026-11-01T12:00+00:00", 25),  # 00:00 comes twice
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_of_its_zone(zone: str, moment: str, long: float) -> None:
    assert hours(zone, moment) == long


def test_a_clock_put_back_over_midnight_begins_no_day_twice() -> None:
    """Newfoundland put it back at 00:01, until 2011: the 7th had begun, and the clock showed the 6th again for an hour."""
    zone = ZoneInfo("America/St_Johns")
    begun, again = Day.of(zone, at("2010-11-07T02:30:30+00:00")), Day.of(zone, at("2010-11-07T03:00:00+00:00"))
    assert date_of(begun.number).isoformat() == "2010-11-07"
    assert again == begun


def test_a_date_that_never_was_is_no_day() -> None:
    """Samoa went from the 29th to the 31st of December 2011."""
    zone = ZoneInfo("Pacific/Apia")
    before, after = Day.of(zone, at("2011-12-30T09:59+00:00")), Day.of(zone, at("2011-12-30T10:00+00:00"))
    assert (date_of(before.number).day, date_of(after.number).day) == (29, 31)
    assert before.ends == after.starts


def test_the_last_moment_before_midnight_is_of_the_day_that_ends() -> None:
    midnight = at("2035-01-01T00:00+00:00")
    assert Day.of(ZoneInfo("UTC"), math.nextafter(midnight, 0.0)).ends == midnight


@given(st.sampled_from(ZONES), st.floats(at("2005-01-01T00:00+00:00"), at("2035-01-01T00:00+00:00")))
def test_days_cover_all_time_and_do_not_overlap(zone: str, now: float) -> None:
    day = Day.of(ZoneInfo(zone), now)
    assert day.starts <= now < day.ends
    following = Day.of(ZoneInfo(zone), day.ends)
    assert following.starts == day.ends
    assert following.number > day.number
    assert Day.of(ZoneInfo(zone), day.starts) == day


def test_caps_of_a_day() -> None:
    day = Day.of(ZoneInfo("UTC"), at("2026-11-28T12:00+00:00"))
    assert day.cap(Stage(day=100, hour=20, minute=1)) == Cap(
        day=datetime(2026, 11, 28, tzinfo=UTC).toordinal(),
        starts=at("2026-11-28T00:00+00:00"),
        ends=at("2026-11-29T00:00+00:00"),
        per_day=100,
        per_hour=20,
        per_minute=1,
    )
    assert day.shut().per_day == 0
    assert day.open().per_minute == UNLIMITED
    assert not day.open().limits
    assert day.shut().limits


def test_where_a_volume_stands() -> None:
    plan = Plan(name="p", stages=tuple(Stage.of(day, shares=Shares()) for day in (100, 200, 400)))
    assert [plan.at_volume(day) for day in (1, 100, 199, 200, 400, 9_999)] == [0, 0, 0, 1, 2, 2]
    assert [plan.volume(number) for number in range(5)] == [100, 200, 400, 400, 400]
    assert plan.stage(3) is None
    assert repr(plan) == "<Plan p: 3 stages, 100 to 400 a day, UTC>"
