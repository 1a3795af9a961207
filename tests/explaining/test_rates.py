"""Rates of counters that somebody else counts."""

from sender.explaining.rates import Growth, Rates


def test_nothing_can_be_said_of_one_look() -> None:
    rates = Rates(10.0)
    assert rates.take("a", 100.0, 5000) is None
    assert rates.take("a", 102.0, 5100) == 50.0


def test_only_the_last_seconds_count() -> None:
    rates = Rates(10.0)
    for second in range(20):
        rates.take("a", float(second), 100 * second)
    for second in range(20, 31):
        last = rates.take("a", float(second), 2000)
    assert last == 0.0, "for ten seconds nothing has come"


def test_a_total_of_the_same_moment_is_as_fast_as_it_was() -> None:
    rates = Rates(10.0)
    rates.take("a", 1.0, 0)
    rates.take("a", 2.0, 10)
    assert rates.take("a", 2.0, 10) == 10.0, "looked at twice, and it has reported once"


def test_others_are_forgotten() -> None:
    rates = Rates(10.0)
    for name in ("a", "b"):
        rates.take(name, 1.0, 1)
    rates.keep(["b"])
    assert rates.take("a", 2.0, 2) is None
    assert rates.take("b", 2.0, 2) == 1.0
    assert repr(rates) == "<Rates of 2 totals over 10 s>"


def test_counters_that_begin_again_have_grown_from_nothing() -> None:
    growth = Growth()
    assert growth.take("a", 0.0, (1_000_000, 5)) == (0, 0), "at the first look nobody knows since when"
    assert growth.take("b", 0.0, (7,)) == (0,)
    assert growth.take("a", 1.0, (1_000_050, 5)) == (50, 0)
    assert growth.take("a", 2.0, (20, 9)) == (20, 9), "both of them, though the second one says more"


def test_one_that_was_not_there_before_is_new() -> None:
    growth = Growth()
    growth.take("a", 0.0, (1,))
    assert growth.take("b", 1.0, (6,)) == (6,)


def test_one_that_was_silent_for_a_while_is_not_new() -> None:
    growth = Growth()
    growth.take("a", 0.0, (1,))
    growth.take("b", 0.0, (1_000_000,))
    for second in (1.0, 100.0, 200.0):
        growth.take("a", second, (1,))
        growth.forget(second)
    assert growth.take("b", 201.0, (1_000_003,)) == (3,)
    growth.forget(600.0)
    assert repr(growth) == "<Growth of 0 lots of counters>"
