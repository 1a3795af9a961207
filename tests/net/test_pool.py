"""The pool's decisions: never over the limits, nobody starves, and what is spent goes."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from sender.net.pool import PoolLimits, PoolPlan, Seat, Waiting, plan

LIMITS = PoolLimits(connections=4, openings=100, messages=50, idle_s=60, worth=1)


def seat(
    number: int, destination: str, *, busy: bool = False, messages: int = 0, opened: float = 0.0, since: float = 0.0
) -> Seat:
    return Seat(id=number, destination=destination, busy=busy, messages=messages, opened_at=opened, since=since)


def wait(destination: str, messages: int = 100, since: float = 0.0) -> Waiting:
    return Waiting(destination=destination, messages=messages, since=since)


def test_what_waits_gets_connections_up_to_the_limit() -> None:
    assert plan([wait("a")], [], {}, LIMITS, 0.0).open == Counter(a=4)
    assert plan([wait("a", messages=2)], [], {}, LIMITS, 0.0).open == Counter(a=2)
    assert plan([wait("a")], [], {"a": 3}, LIMITS, 0.0).open == Counter(a=1)


def test_another_connection_must_be_worth_its_handshake() -> None:
    limits = PoolLimits(connections=10, openings=10, messages=50, idle_s=60, worth=5)
    assert plan([wait("a", messages=1)], [], {}, limits, 0.0).open == Counter(a=1)
    assert plan([wait("a", messages=11)], [], {}, limits, 0.0).open == Counter(a=3)


def test_destinations_share_what_there_is() -> None:
    assert plan([wait("a"), wait("b")], [], {}, LIMITS, 0.0).open == Counter(a=2, b=2)


def test_idle_sessions_are_used_first() -> None:
    decided = plan([wait("a", messages=1), wait("b", messages=1)], [seat(1, "a"), seat(2, "z")], {}, LIMITS, 1.0)
    assert [chosen.id for chosen in decided.reuse] == [1]
    assert decided.open == Counter(b=1)
    assert not decided.close


def test_the_last_used_session_is_the_first_used_again() -> None:
    decided = plan([wait("a", messages=1)], [seat(1, "a", since=1), seat(2, "a", since=5)], {}, LIMITS, 6.0)
    assert [chosen.id for chosen in decided.reuse] == [2]


def test_spent_sessions_are_closed() -> None:
    seats = [
        seat(1, "a", messages=50, since=100, opened=90),
        seat(2, "a", since=30, opened=20),
        seat(3, "a", since=299, opened=-201),
        seat(4, "a", since=99, opened=90),
        seat(5, "a", busy=True, messages=500, since=0),
    ]
    assert [closed.id for closed in plan([], seats, {}, LIMITS, 100.0).close] == [3, 1, 2]


def test_a_smaller_limit_closes_idle_ones_and_asks_busy_ones_to_end() -> None:
    seats = [seat(1, "a", busy=True, since=3), seat(2, "a", busy=True, since=1), seat(3, "a", since=9)]
    decided = plan([wait("a")], seats, {}, PoolLimits(connections=1, openings=9, messages=50, idle_s=60), 10.0)
    assert [closed.id for closed in decided.close] == [3]
    assert [ended.id for ended in decided.end] == [2]
    assert not decided.open


def test_an_idle_session_nobody_needs_makes_room() -> None:
    limits = PoolLimits(connections=2, openings=9, messages=50, idle_s=60)
    decided = plan([wait("b")], [seat(1, "a", since=5), seat(2, "c", busy=True)], {}, limits, 6.0)
    assert [closed.id for closed in decided.close] == [1]
    assert decided.open == Counter(b=1)


def test_a_busy_destination_with_several_gives_one_up() -> None:
    limits = PoolLimits(connections=3, openings=9, messages=50, idle_s=60)
    seats = [seat(1, "a", busy=True, since=2), seat(2, "b", busy=True, since=0), seat(3, "a", busy=True, since=1)]
    assert [ended.id for ended in plan([wait("c")], seats, {}, limits, 3.0).end] == [3]


def test_a_session_keeps_its_turn_before_it_is_asked_to_end() -> None:
    limits = PoolLimits(connections=1, openings=9, messages=50, idle_s=60, turn_s=5)
    busy = [seat(1, "a", busy=True, since=0)]
    assert not plan([wait("b")], busy, {}, limits, 4.9).end
    assert [ended.id for ended in plan([wait("b")], busy, {}, limits, 5.0).end] == [1]


def test_an_ending_session_is_waited_for_not_asked_for_twice() -> None:
    limits = PoolLimits(connections=1, openings=9, messages=50, idle_s=60)
    ending = Seat(id=1, destination="a", busy=True, messages=1, opened_at=0, since=0, ending=True)
    assert plan([wait("b")], [ending], {}, limits, 100.0) == PoolPlan()


def test_no_connection_is_begun_beyond_what_may_be_opened_now() -> None:
    limits = PoolLimits(connections=10, openings=1, messages=50, idle_s=60)
    assert plan([wait("a"), wait("b")], [], {}, limits, 0.0).open == Counter(a=1)
    assert plan([wait("a")], [], {}, PoolLimits(connections=10, openings=0, messages=50, idle_s=60), 0.0) == PoolPlan()


names = st.sampled_from("abcdef")
seats_drawn = st.lists(
    st.builds(
        Seat,
        id=st.integers(0, 10_000),
        destination=names,
        busy=st.booleans(),
        messages=st.integers(0, 60),
        opened_at=st.floats(0, 400),
        since=st.floats(0, 400),
        ending=st.just(False),
    ),
    unique_by=lambda drawn: drawn.id,
    max_size=12,
)


@given(
    demands=st.dictionaries(names, st.tuples(st.integers(0, 30), st.floats(0, 400)), max_size=6),
    seats=seats_drawn,
    opening=st.dictionaries(names, st.integers(0, 3), max_size=3),
    connections=st.integers(1, 10),
    openings=st.integers(0, 10),
)
def test_no_plan_breaks_a_limit(
    demands: dict[str, tuple[int, float]], seats: list[Seat], opening: dict[str, int], connections: int, openings: int
) -> None:
    limits = PoolLimits(connections=connections, openings=openings, messages=50, idle_s=60)
    waiting = [wait(name, messages, since) for name, (messages, since) in demands.items()]
    decided = plan(waiting, seats, opening, limits, 400.0)
    before = len(seats) + sum(opening.values())
    after = before - len(decided.close) + decided.open.total()
    assert after <= max(connections, before - len(decided.close))
    assert decided.open.total() <= openings
    touched = [chosen.id for chosen in (*decided.reuse, *decided.close, *decided.end)]
    assert len(touched) == len(set(touched))
    assert not any(chosen.busy for chosen in (*decided.reuse, *decided.close))
    assert all(chosen.busy for chosen in decided.end)
    assert all(chosen.messages < 50 for chosen in decided.reuse)
    wanting = {demand.destination for demand in waiting if demand.messages}
    assert {chosen.destination for chosen in decided.reuse} <= wanting
    assert set(+decided.open) <= wanting


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(2, 8))
def test_everybody_is_served_in_turn_however_many_wait_without_end(connections: int, destinations: int) -> None:
    """Busy sessions never run out of messages and end only when asked; one tick is a second."""
    limits = PoolLimits(connections=connections, openings=100, messages=10**9, idle_s=60, age_s=10**9)
    served: dict[str, float] = {f"d{number}": 0.0 for number in range(destinations)}
    longest: Counter[str] = Counter()
    seats: dict[int, Seat] = {}
    number = 0
    for now in range(1, 400):
        waiting = [wait(name, since=since) for name, since in served.items()]
        decided = plan(waiting, list(seats.values()), {}, limits, float(now))
        for closed in (*decided.close, *decided.end):
            del seats[closed.id]
        for name in decided.open.elements():
            number += 1
            seats[number] = seat(number, name, busy=True, opened=now, since=now)
        assert len(seats) <= connections
        for at_work in seats.values():
            served[at_work.destination] = float(now)
        for name, since in served.items():
            longest[name] = max(longest[name], int(now - since))
    turn_s = limits.turn_s + 2
    assert max(longest.values()) <= turn_s * (destinations // connections + 2)
