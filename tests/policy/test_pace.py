"""Rates: exact over time, small bursts, slowed and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Category
from sender.policy.pace import Gcra, Pace, Pause


def sent_within(pace: Pace, start: float, seconds: float) -> int:
    """How many messages go when each is sent as soon as it may."""
    now, count = start, 0
    while (now := max(now, pace.next_message_at(now))) < start + seconds:
        pace.take_message(now, pace.share(now))
        count += 1
    return count


def test_a_rate_is_held_after_a_small_burst() -> None:
    rate = Gcra(rate=2, burst=3)
    went = []
    now = 100.0
    for _ in range(6):
        now = rate.next_at(now)
        went.append(now - 100)
        rate.take(now)
    assert went == [0, 0, 0, 0.5, 1.0, 1.5]


def test_idle_time_is_not_saved_up() -> None:
    rate = Gcra(rate=1)
    rate.take(0)
    assert rate.next_at(1000) == 1000
    rate.take(1000)
    assert rate.next_at(1000) == 1001


@given(rate=st.floats(0.01, 1000), burst=st.floats(1, 50), waits=st.lists(st.floats(0, 10), min_size=1, max_size=100))
def test_no_window_of_time_sees_more_than_rate_and_burst(rate: float, burst: float, waits: list[float]) -> None:
    gcra, now, times = Gcra(rate=rate, burst=burst), 0.0, []
    for wait in waits:
        now = gcra.next_at(now + wait)
        gcra.take(now)
        times.append(now)
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= (times[last] - start) * rate + burst + 1e-6 * len(times) + 1e-6 * rate * now


def test_messages_and_connections_have_their_own_rates() -> None:
    pace = Pace.of(messages_per_second=100, connections_per_minute=60)
    assert sent_within(pace, 0, 10) == pytest.approx(1000, abs=12)
    pace.take_connection(0)
    assert pace.next_connection_at(0) == 1.0
    pace.hold_connections(90)
    assert pace.next_connection_at(0) == 90


def test_a_slow_rate_sends_one_at_a_time() -> None:
    pace = Pace.of(messages_per_second=0.5, connections_per_minute=1)
    pace.take_message(0)
    assert pace.next_message_at(0) == 2.0


def test_slowing_halves_holds_and_returns() -> None:
    pace = Pace.of(messages_per_second=100, connections_per_minute=60)
    pace.slow(0, hold_s=1000)
    assert [pace.share(at) for at in (0, 999, 1000 + 1800)] == [0.5, 0.5, 0.75]
    assert sent_within(pace, 0, 10) == pytest.approx(500, abs=12)
    pace.slow(500)
    assert pace.share(500) == 0.25
    assert repr(pace) == "<Pace 100 messages/s, 60 connections/min, slowed to 25% at 500>"
    assert pace.share(1000 + 3600) == 1.0
    assert repr(pace) == "<Pace 100 messages/s, 60 connections/min>"


def test_it_never_stops_altogether() -> None:
    pace = Pace.of(messages_per_second=1, connections_per_minute=1)
    for place in range(20):
        pace.slow(100.0 * place)
    assert pace.share(1900) == 1 / 16


def test_it_is_slowed_once_a_burst() -> None:
    pace = Pace.of(messages_per_second=100, connections_per_minute=60)
    for at in (0, 1, 9):
        pace.slow(at)
    assert pace.share(9) == pytest.approx(0.5, abs=0.01)
    pace.slow(10)
    assert pace.share(10) == pytest.approx(0.25, abs=0.01)


def test_slowed_again_for_a_shorter_time_it_is_back_no_sooner() -> None:
    pace = Pace.of(messages_per_second=100, connections_per_minute=60)
    pace.slow(0, hold_s=7200)
    pace.slow(60, hold_s=0, over_s=600)
    assert pace.share(7200) < pace.share(10_000) < 1
    assert pace.share(10_800) == 1


def test_connections_are_slowed_as_messages_are() -> None:
    pace = Pace.of(messages_per_second=100, connections_per_minute=60)
    pace.take_connection(0, 0.25)
    assert pace.next_connection_at(0) == 4.0


def test_a_pause_explains_itself() -> None:
    pause = Pause(until=1000.0, rule="yahoo/ts04", category=Category.RATE, reason="421 [TSS04]")
    assert repr(pause) == "<Pause until 1000: rate by yahoo/ts04: 421 [TSS04]>"


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_what_is_no_rate(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        Gcra(rate=rate, burst=burst)
