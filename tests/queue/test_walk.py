"""A walk shows every route, whatever the rows look like and however few may be shown at a time."""

from hypothesis import given
from hypothesis import strategies as st

from sender.queue.walk import Walk


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any), st.integers(1, 40))
def test_every_place_is_seen_once_in_a_walk(lengths: list[int], limit: int) -> None:
    walk = Walk()
    total, seen = sum(lengths), list[tuple[int, int]]()
    for _ in range(2 * total):
        found = [
            (row, start + step)
            for row, (start, count) in enumerate(walk.stretches(lengths, limit))
            for step in range(min(count, lengths[row] - start))
        ][:limit]
        assert found
        walk.shown([sum(row == place for place, _ in found) for row in range(len(lengths))])
        seen += found
        if len(seen) >= 2 * total:
            break
    assert sorted(seen[:total]) == [(row, place) for row, length in enumerate(lengths) for place in range(length)]
    assert sorted(seen[total:]) == sorted(seen[:total])


def test_it_asks_for_no_more_than_a_share_of_each_row() -> None:
    stretches = Walk().stretches([1000, 3000, 0, 4000], 800)
    assert [count for _, count in stretches] == [100, 300, 0, 400]


def test_rows_that_come_and_go_end_no_walk_for_good() -> None:
    walk = Walk()
    walk.stretches([10, 10], 5)
    walk.shown([3, 2])
    assert walk.stretches([2, 10], 5) == [(3, 0), (2, 5)]
    walk.shown([0, 5])
    assert walk.stretches([2, 7], 5) == [(0, 2), (0, 4)]
    assert walk.stretches([0, 0], 5) == [(0, 0), (0, 0)]
