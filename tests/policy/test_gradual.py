"""The ways back: a straight line, and doubling."""

from sender.policy.gradual import Doubling, Slope


def test_a_slope_is_low_for_a_while_and_rises_evenly() -> None:
    slope = Slope(low=1, high=5, since=100, hold_s=60, over_s=400)
    assert [slope.at(at) for at in (0, 100, 160, 260, 560, 900)] == [1, 1, 1, 2, 5, 5]
    assert slope.ends == 560


def test_doubling_begins_with_one_and_has_no_end_that_overflows() -> None:
    doubling = Doubling(since=100, every_s=60)
    assert [doubling.at(at) for at in (0, 100, 160, 220)] == [1, 1, 2, 4]
    assert doubling.at(1e12) == 2.0**30
    assert doubling.reaches(4) == 340
