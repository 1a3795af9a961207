"""What is remembered of hosts, for how long, and that it stays small."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Pipelining
from sender.net.hosts import Hosts, HostsOptions


def hosts(*, size: int = 100) -> Hosts:
    return Hosts(HostsOptions(size=size), Random(1))


def test_a_dead_address_rests_longer_each_time_and_is_forgiven_at_once() -> None:
    known, now, pauses = hosts(), 0.0, []
    for _ in range(7):
        until = known.note_dead("s", "a", now)
        assert known.is_dead("s", "a", (now + until) / 2)
        assert not known.is_dead("s", "a", until)
        pauses.append(until - now)
        now = until
    for pause, expected in zip(pauses, (30, 60, 120, 240, 480, 600, 600), strict=True):
        assert expected * 0.75 <= pause <= expected * 1.25
    known.note_alive("s", "a")
    assert known.note_dead("s", "a", now) - now <= 30 * 1.25


@pytest.mark.row("F35")
def test_the_pause_is_jittered_so_that_nobody_comes_back_together() -> None:
    known = hosts()
    assert len({known.note_dead("s", str(number), 0.0) for number in range(50)}) == 50


def test_many_failures_at_one_time_count_once() -> None:
    known = hosts()
    assert len({known.note_dead("s", "a", 1.0) for _ in range(100)}) == 1


def test_death_is_known_per_source() -> None:
    known = hosts()
    known.note_dead("s1", "a", 0.0)
    assert not known.is_dead("s2", "a", 1.0)


def test_broken_tls_is_remembered_for_an_hour() -> None:
    known = hosts()
    known.note_tls_broken("mx", 0.0)
    assert known.is_tls_broken("mx", 3599)
    assert not known.is_tls_broken("mx", 3600)
    known.note_tls_broken("mx", 0.0)
    known.note_tls_works("mx")
    assert not known.is_tls_broken("mx", 1)


@pytest.mark.row("F32")
def test_chaining_is_earned_and_an_anomaly_takes_it_back() -> None:
    known = hosts()
    steps = []
    for _ in range(4):
        steps.append(known.pipelining("mx", Pipelining.CHAIN, 0.0))
        known.note_good("mx")
    assert steps == [Pipelining.GROUP, Pipelining.GROUP, Pipelining.GROUP, Pipelining.CHAIN]
    known.note_anomaly("mx", 0.0)
    known.note_good("mx", 100)
    assert known.pipelining("mx", Pipelining.CHAIN, 3599) is Pipelining.LOCKSTEP
    assert known.pipelining("mx", Pipelining.LOCKSTEP, 3601) is Pipelining.LOCKSTEP


def test_an_anomaly_is_not_outlived_by_what_was_earned_before() -> None:
    known = hosts()
    known.note_good("mx", 3)
    known.note_anomaly("mx", 0.0)
    assert known.pipelining("mx", Pipelining.CHAIN, 3601) is Pipelining.GROUP


@given(st.lists(st.tuples(st.sampled_from(["dead", "tls", "good", "anomaly"]), st.integers(0, 500)), max_size=200))
def test_memory_is_bounded(notes: list[tuple[str, int]]) -> None:
    known = hosts(size=20)
    for note, number in notes:
        name = f"mx{number}"
        if note == "dead":
            known.note_dead("s", name, 0.0)
        elif note == "tls":
            known.note_tls_broken(name, 0.0)
        elif note == "good":
            known.note_good(name)
        else:
            known.note_anomaly(name, 0.0)
    counts = [int(word) for word in repr(known).replace("<", " ").split() if word.isdigit()]
    assert len(counts) == 3
    assert max(counts) <= 20
