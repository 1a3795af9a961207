"""Sharing a rate out: nothing is made, nothing goes where it can't be used, and nobody hoards."""

from hypothesis import given
from hypothesis import strategies as st

from sender.queue.ration import Place, rooms, shares, surplus

PLACES = st.lists(st.builds(Place, ready=st.integers(0, 10_000), budget=st.integers(-5, 10_000)), max_size=20)


@given(st.integers(0, 100_000), st.lists(st.integers(0, 10_000), max_size=20))
def test_what_is_shared_out_is_all_there_is_and_nobody_gets_more_than_his_most(amount: int, most: list[int]) -> None:
    given_out = shares(amount, most)
    assert sum(given_out) == min(amount, sum(most))
    assert all(0 <= one <= limit for one, limit in zip(given_out, most, strict=True))


def test_shares_are_in_proportion() -> None:
    assert shares(10, [600, 300, 100]) == [6, 3, 1]
    assert shares(2, [100, 100, 101]) == [1, 0, 1]
    assert shares(1, [0, 5]) == [0, 1]


@given(PLACES)
def test_nobody_gives_back_what_he_has_not_and_the_hungry_give_nothing(places: list[Place]) -> None:
    for place, back in zip(places, surplus(places), strict=True):
        assert 0 <= back <= max(0, place.budget)
        assert not (place.hungry and back)


@given(PLACES)
def test_only_the_hungry_get_more_where_there_are_any(places: list[Place]) -> None:
    most = rooms(places)
    assert all(room <= place.room for room, place in zip(most, places, strict=True))
    if any(place.hungry for place in places):
        assert all(place.hungry for room, place in zip(most, places, strict=True) if room)


def test_who_has_nothing_ready_gives_all_back_and_who_can_not_send_half() -> None:
    idle, stuck, hungry = Place(ready=0, budget=9), Place(ready=500, budget=9), Place(ready=500, budget=0)
    assert surplus([idle, stuck, hungry]) == [9, 4, 0]
    assert surplus([idle, stuck]) == [9, 0]
