"""Gates: which marks count for whom, from which share on a gate asks for something, and how little says nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Mark
from sender.policy.gates import Gate, Gates, Tally, Weight, percent

EVERY_MARK = dict.fromkeys(Mark, 1)


def test_a_lane_is_judged_by_its_own_answers() -> None:
    tally = Tally.of(EVERY_MARK | {Mark.DELIVERED: 10}, complaints=2)
    assert tally == Tally(delivered=10, deferred=1, blocked=2, bounced=2, unknown=1, complaints=2, used=17)
    assert tally.judged == 15


def test_an_identity_is_judged_by_what_names_its_domain_and_by_its_recipients() -> None:
    tally = Tally.of(EVERY_MARK | {Mark.DELIVERED: 10, Mark.DOMAIN: 3}, identity=True)
    assert tally == Tally(delivered=10, deferred=0, blocked=3, bounced=2, unknown=1, used=19)


def test_connection_limits_and_the_network_count_nowhere() -> None:
    assert Tally.of({Mark.LIMITED: 1_000}) == Tally()
    assert Tally.of({Mark.DOUBTED: 7}) == Tally(used=7)


@pytest.mark.parametrize(
    ("events", "weight"),
    [(1, None), (2, None), (19, None), (20, Weight.HOLD), (49, Weight.HOLD), (50, Weight.BACK), (99, Weight.BACK)],
)
def test_the_heaviest_threshold_that_is_reached_decides(events: int, weight: Weight | None) -> None:
    assert Gate(hold=0.02, back=0.05, stop=0.1).weigh(events, 1_000) is weight


def test_a_threshold_that_is_left_out_asks_for_nothing() -> None:
    assert Gate().weigh(1_000, 1_000) is None
    assert Gate(stop=0.5).weigh(499, 1_000) is None
    assert Gate(stop=0.5).weigh(500, 1_000) is Weight.STOP


def test_a_single_event_is_chance_unless_the_gate_says_otherwise() -> None:
    assert Gate(hold=0.001).weigh(1, 50) is None
    assert Gate(hold=0.001, least=1).weigh(1, 50) is Weight.HOLD


def test_too_few_attempts_are_not_judged() -> None:
    assert Gates().worst(Tally(delivered=44, deferred=5)) is None
    worst = Gates().worst(Tally(delivered=45, deferred=5))
    assert worst is not None
    assert str(worst) == "deferral 10.00% (5 of 50), the limit is 2%"


def test_a_door_that_is_shut_is_noticed_at_once() -> None:
    assert Gates().worst(Tally(blocked=4)) is None
    worst = Gates().worst(Tally(blocked=5))
    assert worst is not None
    assert (worst.name, worst.weight) == ("block", Weight.STOP)


def test_complaints_are_a_share_of_what_was_delivered() -> None:
    worst = Gates().worst(Tally(delivered=1_000, deferred=10, complaints=3))
    assert worst is not None
    assert (worst.weight, str(worst)) == (Weight.BACK, "complaint 0.30% (3 of 1,000), the limit is 0.3%")


def test_of_several_gates_the_heaviest_is_named() -> None:
    worst = Gates().worst(Tally(delivered=1_000, deferred=100, bounced=70))
    assert worst is not None
    assert worst.name == "bounce"


def test_a_ratio_stands_at_nought_until_it_is_more_than_chance() -> None:
    few = Tally(delivered=30, deferred=10, complaints=9)
    assert set(Gates().ratios(few).values()) == {0.0}
    enough = Tally(delivered=94, deferred=5, blocked=1, complaints=2)
    assert Gates().ratios(enough) == {
        "deferral": 0.05,
        "block": 0.01,
        "bounce": 0.0,
        "unknown_user": 0.0,
        "complaint": 0.0,  # two are chance
    }
    assert Gates().ratios(Tally(delivered=1000, complaints=3))["complaint"] == 0.003


def test_limits_are_where_a_gate_begins_to_ask_for_something() -> None:
    assert Gates(bounce=Gate()).limits == {"deferral": 0.02, "block": 0.001, "unknown_user": 0.02, "complaint": 0.001}


def test_shares_as_people_write_them() -> None:
    assert [percent(share) for share in (0.02, 0.001, 0.005, 1.0, 0.0008)] == ["2%", "0.1%", "0.5%", "100%", "0.08%"]


@given(st.lists(st.dictionaries(st.sampled_from(Mark), st.integers(0, 1_000)), max_size=5))
def test_tallies_add_up(days: list[dict[Mark, int]]) -> None:
    total = Tally()
    for marks in days:
        total += Tally.of(marks)
    summed = {mark: sum(marks.get(mark, 0) for marks in days) for mark in Mark}
    assert total == Tally.of(summed)
    assert total.judged <= total.used + sum(marks.get(Mark.TURNED_AWAY, 0) for marks in days)
