"""The connection window: slow start, growth, one halving a burst, and the way back from a connection limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.policy.window import Window


def deliver(window: Window, count: int) -> None:
    for _ in range(count):
        window.delivered()


def test_it_starts_low_and_grows_to_its_cap() -> None:
    window = Window(cap=5)
    assert window.allowed(0) == 2
    deliver(window, 8)
    assert window.allowed(0) == 3
    deliver(window, 1000)
    assert window.allowed(0) == 5


def test_trouble_halves_once_a_burst_and_growth_is_slow_after_it() -> None:
    window = Window(cap=20, size=16)
    window.troubled(100)
    window.troubled(101)
    assert window.allowed(101) == 8
    window.troubled(120)
    assert window.allowed(120) == 4
    deliver(window, 8)
    assert window.allowed(720) == 4  # additive: 8 messages earn a quarter of a connection now
    deliver(window, 40)
    assert window.allowed(720) == 5


def test_after_trouble_it_takes_an_hour_for_the_whole_cap_however_much_is_taken() -> None:
    window = Window(cap=20, size=16)
    window.troubled(100)
    deliver(window, 10_000)
    assert [window.allowed(100 + at) for at in (0, 179, 181, 1800, 2159, 2160)] == [8, 8, 9, 18, 19, 20]
    window.troubled(3000)
    assert window.allowed(3000) == 10


def test_trouble_on_the_way_back_makes_it_no_shorter() -> None:
    window = Window(cap=10, size=10)
    window.limited(0, 7200)
    deliver(window, 10_000)
    window.troubled(3600)
    assert window.allowed(3600) == 2
    deliver(window, 10_000)
    assert [window.allowed(at) for at in (5400, 7199, 7200)] == [6, 9, 10]


def test_to_begin_anew_is_one_connection_and_slow_start() -> None:
    window = Window(cap=20, size=16, threshold=8)
    window.restart()
    assert window.allowed(0) == 1
    deliver(window, 80)
    assert window.allowed(0) == 11


def test_it_never_falls_below_one() -> None:
    window = Window(cap=3)
    for place in range(10):
        window.troubled(100.0 * place)
    assert window.allowed(1000) == 1


def test_a_connection_limit_means_one_and_a_gradual_return() -> None:
    window = Window(cap=5, size=5)
    window.limited(1000)
    deliver(window, 1000)
    assert [window.allowed(1000 + at) for at in (0, 899, 900, 1800, 2700, 3600)] == [1, 1, 2, 3, 4, 5]
    assert repr(window) == "<Window 5.0 of 5>"
    window.limited(9000)
    assert repr(window) == "<Window 1.0 of 5, 1 at 9000, all by 12600>"


def test_a_small_cap_bounds_the_start() -> None:
    assert Window(cap=1).allowed(0) == 1
    with pytest.raises(ValueError, match="needs a connection"):
        Window(cap=0)


@given(st.integers(1, 50), st.lists(st.tuples(st.sampled_from("dtl"), st.floats(0, 5000)), max_size=200))
def test_whatever_happens_it_stays_between_one_and_the_cap(cap: int, events: list[tuple[str, float]]) -> None:
    window, now = Window(cap=cap), 0.0
    for kind, passed in events:
        now += passed
        if kind == "d":
            window.delivered()
        elif kind == "t":
            window.troubled(now)
        else:
            window.limited(now)
        assert 1 <= window.allowed(now) <= cap
