"""The quantiles that the benchmarks print are those that Prometheus would show."""

import math

import pytest

from tests.scraping import NOTHING, Histogram

SPREAD = Histogram(counts={0.1: 10, 0.2: 30, 1.0: 40, math.inf: 40})


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.1), (0.5, 0.15), (0.75, 0.2), (1.0, 1.0), (0.125, 0.05)])
def test_a_quantile_lies_evenly_within_its_bucket(share: float, seconds: float) -> None:
    assert SPREAD.quantile(share) == pytest.approx(seconds)


def test_beyond_the_last_bound_it_is_that_bound_and_of_nothing_it_is_none() -> None:
    assert Histogram(counts={0.1: 0, math.inf: 5}).quantile(0.99) == 0.1
    assert math.isnan(NOTHING.quantile(0.5))


def test_what_came_since_and_what_two_processes_saw() -> None:
    assert (SPREAD - SPREAD).count == 0
    assert (SPREAD + SPREAD).count == 80
    assert (NOTHING + SPREAD - NOTHING).counts == SPREAD.counts
