"""When a campaign may be sent: starts, deadlines and windows, through summer time, leap days and days that never were."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sender.policy.schedule import FOR_EVER, Closed, Outlook, Schedule, Shut, Window, closed

PARIS, NEW_YORK, APIA, KATHMANDU, LORD_HOWE = map(
    ZoneInfo, ["Europe/Paris", "America/New_York", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe"]
)
EVERY_DAY = frozenset(range(7))
WORKDAYS = frozenset(range(5))


def at(text: str) -> float:
    """Unix seconds of "2026-03-01T09:00+01:00"."""
    return datetime.fromisoformat(text).timestamp()


def window(opens: str, closes: str, days: frozenset[int] = EVERY_DAY) -> Window:
    first, last = (int(text[:2]) * 60 + int(text[3:]) for text in (opens, closes))
    return Window(days=days, opens=first, closes=last if last > first else last + 1440)


def office(days: frozenset[int] = WORKDAYS, zone: ZoneInfo = PARIS) -> Schedule:
    return Schedule(windows=(window("09:00", "18:00", days),), zone=zone)


def is_open(schedule: Schedule, now: float) -> bool:
    found = closed(schedule, now)
    return found is None or not found.covers(now)


def openings(schedule: Schedule, first: str, last: str) -> list[tuple[str, float]]:
    """When it opens between two times, in its own zone, and for how many hours."""
    now, found = at(first), []
    while now < at(last):
        shut = closed(schedule, now)
        assert shut is not None
        if shut.covers(now):
            now = shut.end
            continue
        found.append((f"{datetime.fromtimestamp(now, schedule.zone):%a %d %H:%M}", (shut.start - now) / 3600))
        now = shut.start
    return found


def test_without_times_nothing_is_ever_closed() -> None:
    assert Schedule().always
    assert closed(Schedule(), 0.0) is None


def test_before_its_start_it_is_closed_and_then_for_good_open() -> None:
    schedule = Schedule(start=1000.0)
    assert closed(schedule, 999.0) == Closed(start=0.0, end=1000.0, why=Shut.START)
    assert closed(schedule, 1000.0) is None
    assert not schedule.always


def test_a_deadline_is_known_before_it_comes() -> None:
    schedule = Schedule(start=1000.0, deadline=2000.0)
    assert closed(schedule, 1999.0) == Closed(start=2000.0, end=FOR_EVER, why=Shut.DEADLINE)
    assert closed(schedule, 2000.0) == Closed(start=0.0, end=FOR_EVER, why=Shut.DEADLINE)


def test_windows_of_office_days() -> None:
    assert openings(office(), "2026-06-05T00:00+02:00", "2026-06-09T00:00+02:00") == [("Fri 05 09:00", 9), ("Mon 08 09:00", 9)]


def test_inside_a_window_the_coming_night_is_told_and_at_night_the_morning() -> None:
    noon, evening, morning = at("2026-06-02T12:00+02:00"), at("2026-06-02T18:00+02:00"), at("2026-06-03T09:00+02:00")
    assert closed(office(), noon) == Closed(start=evening, end=morning, why=Shut.WINDOW)
    assert closed(office(), evening) == Closed(start=0.0, end=morning, why=Shut.WINDOW)


def test_a_start_between_windows_waits_for_the_first_one_behind_it() -> None:
    schedule = Schedule(start=at("2026-06-06T10:00+02:00"), windows=office().windows, zone=PARIS)  # a Saturday
    found = closed(schedule, at("2026-06-04T10:00+02:00"))
    assert found == Closed(start=0.0, end=at("2026-06-08T09:00+02:00"), why=Shut.START)
    assert closed(schedule, schedule.start) == Closed(start=0.0, end=at("2026-06-08T09:00+02:00"), why=Shut.WINDOW)


def test_after_the_last_window_before_the_deadline_it_is_closed_for_ever() -> None:
    schedule = Schedule(deadline=at("2026-06-03T08:00+02:00"), windows=office().windows, zone=PARIS)
    noon, evening = at("2026-06-02T12:00+02:00"), at("2026-06-02T18:00+02:00")
    assert closed(schedule, noon) == Closed(start=evening, end=FOR_EVER, why=Shut.WINDOW)
    assert closed(schedule, evening) == Closed(start=0.0, end=FOR_EVER, why=Shut.WINDOW)


def test_a_deadline_inside_a_window_ends_it() -> None:
    schedule = Schedule(deadline=at("2026-06-02T15:00+02:00"), windows=office().windows, zone=PARIS)
    found = closed(schedule, at("2026-06-02T12:00+02:00"))
    assert found == Closed(start=schedule.deadline, end=FOR_EVER, why=Shut.DEADLINE)


def test_a_window_past_midnight_belongs_to_the_day_it_opens_on() -> None:
    schedule = Schedule(windows=(window("22:00", "02:00", frozenset({4})),), zone=PARIS)
    assert openings(schedule, "2026-06-04T00:00+02:00", "2026-06-10T00:00+02:00") == [("Fri 05 22:00", 4)]
    assert is_open(schedule, at("2026-06-06T01:59+02:00"))
    assert not is_open(schedule, at("2026-06-05T01:59+02:00"))


def test_windows_that_touch_are_one() -> None:
    schedule = Schedule(windows=(window("08:00", "12:00"), window("12:00", "24:00"), window("00:00", "02:00")), zone=PARIS)
    assert openings(schedule, "2026-06-05T03:00+02:00", "2026-06-06T09:00+02:00") == [
        ("Fri 05 08:00", 18),
        ("Sat 06 08:00", 18),
    ]


@pytest.mark.row("F25")
@pytest.mark.parametrize("zone", [PARIS, NEW_YORK, LORD_HOWE, KATHMANDU])
def test_whole_days_on_all_days_are_never_closed_whatever_the_clocks_do(zone: ZoneInfo) -> None:
    schedule = Schedule(windows=(window("00:00", "24:00"),), zone=zone)
    for day in range(366):
        assert closed(schedule, at("2026-01-01T00:00+00:00") + day * 86_400) is None


@pytest.mark.row("F25")
def test_office_hours_keep_to_the_wall_when_summer_time_comes_and_goes() -> None:
    sunday = frozenset({6})
    spring = openings(office(sunday), "2026-03-22T00:00+01:00", "2026-04-01T00:00+02:00")
    autumn = openings(office(sunday), "2026-10-18T00:00+02:00", "2026-10-30T00:00+01:00")
    assert spring == [("Sun 22 09:00", 9), ("Sun 29 09:00", 9)]
    assert autumn == [("Sun 18 09:00", 9), ("Sun 25 09:00", 9)]
    assert openings(office(sunday), "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00") == [("Sun 29 09:00", 9)]


@pytest.mark.row("F25")
@pytest.mark.parametrize(
    ("opens", "closes", "expected"),
    [
        ("02:30", "03:30", [("Sun 29 03:00", 0.5)]),  # it begins inside the hour that is not there
        ("01:30", "02:30", [("Sun 29 01:30", 0.5)]),  # it ends there
        ("02:10", "02:50", []),  # it lies within
        ("01:00", "04:00", [("Sun 29 01:00", 2)]),  # it spans it
    ],
)
def test_the_hour_that_is_not_there_when_summer_time_begins(opens: str, closes: str, expected: list[tuple[str, float]]) -> None:
    schedule = Schedule(windows=(window(opens, closes),), zone=PARIS)
    assert openings(schedule, "2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00") == expected


@pytest.mark.row("F25")
@pytest.mark.parametrize(
    ("opens", "closes", "hours"),
    [("02:30", "03:30", 2), ("01:30", "02:30", 1), ("02:10", "02:50", 40 / 60), ("01:00", "04:00", 4)],
)
def test_the_hour_that_comes_twice_when_summer_time_ends(opens: str, closes: str, hours: float) -> None:
    schedule = Schedule(windows=(window(opens, closes),), zone=PARIS)
    found = openings(schedule, "2026-10-25T00:00+02:00", "2026-10-25T12:00+01:00")
    assert [when for when, _ in found] == [f"Sun 25 {opens}"]
    assert found[0][1] == pytest.approx(hours)


@pytest.mark.row("F25")
def test_leap_days_are_days() -> None:
    found = openings(
        Schedule(windows=(window("09:00", "10:00"),), zone=PARIS), "2028-02-28T00:00+01:00", "2028-03-02T00:00+01:00"
    )
    assert [when for when, _ in found] == ["Mon 28 09:00", "Tue 29 09:00", "Wed 01 09:00"]


@pytest.mark.row("F25")
def test_a_day_that_a_zone_skipped_has_no_window() -> None:
    friday = Schedule(windows=(window("09:00", "18:00", frozenset({4})),), zone=APIA)  # there was no 30 December 2011
    found = openings(friday, "2011-12-20T00:00-10:00", "2012-01-07T00:00+14:00")
    assert [when for when, _ in found] == ["Fri 23 09:00", "Fri 06 09:00"]


windows = st.builds(
    lambda days, opens, length: Window(days=days, opens=opens, closes=opens + length),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
)
schedules = st.builds(
    lambda start, length, some, zone: Schedule(start=start, deadline=start + length, windows=tuple(some), zone=zone),
    st.sampled_from([0.0, at("2026-03-20T10:20+00:00"), at("2026-10-20T10:20+00:00")]),
    st.sampled_from([FOR_EVER, 86_400.0 * 3, 86_400.0 * 60]),
    st.lists(windows, max_size=4),
    st.sampled_from([PARIS, NEW_YORK, LORD_HOWE, KATHMANDU, APIA]),
)
moments = st.integers(0, 400 * 1440).map(lambda minutes: at("2026-01-01T00:00+00:00") + 60.0 * minutes)


@settings(deadline=None)  # where nothing ever closes, forty days are looked at
@given(schedules, moments)
def test_an_answer_holds_until_its_end(schedule: Schedule, now: float) -> None:
    found = closed(schedule, now)
    if found is None:
        assert all(is_open(schedule, now + hours * 3600) for hours in range(0, 24 * 40, 5))
        return
    assert found.end > now
    assert found.start < found.end
    if found.end < FOR_EVER:
        assert is_open(schedule, found.end)
        assert not is_open(schedule, found.end - 1)
    else:
        assert not is_open(schedule, max(found.start, now) + 86_400 * 9)
    if found.start > now:
        assert is_open(schedule, now)
        assert is_open(schedule, found.start - 1)
    assert not is_open(schedule, max(found.start, now))


@given(schedules, moments)
def test_on_days_without_a_change_of_clocks_the_wall_decides(schedule: Schedule, now: float) -> None:
    local = datetime.fromtimestamp(now, schedule.zone)
    offsets = {
        (local + timedelta(hours=hours)).astimezone(UTC).astimezone(schedule.zone).utcoffset() for hours in range(-49, 26)
    }
    if len(offsets) > 1:
        return
    minute, day = local.hour * 60 + local.minute, local.weekday()
    inside = any(
        (day in one.days and one.opens <= minute < one.closes) or ((day - 1) % 7 in one.days and minute + 1440 < one.closes)
        for one in schedule.windows
    )
    expected = schedule.start <= now < schedule.deadline and (inside or not schedule.windows)
    assert is_open(schedule, now) is expected


def test_an_outlook_gives_the_same_answers_whichever_way_time_goes() -> None:
    outlook, first = Outlook(office()), at("2026-06-01T00:00+02:00")
    hours = [*range(0, 200), *range(200, 0, -3)]
    for now in (first + hour * 3600 for hour in hours):
        found = outlook.closed(now)
        fresh = closed(office(), now)
        assert found is not None
        assert fresh is not None
        assert (found.end, found.covers(now), outlook.covered(now)) == (fresh.end, fresh.covers(now), fresh.covers(now))
    assert not Outlook(Schedule()).covered(first)
