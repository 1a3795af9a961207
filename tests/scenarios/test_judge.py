"""The judge of the fault matrix: it finds what must not be, and nothing else."""

from collections import Counter
from typing import Any

import pytest

from sender.model import State
from tests.scenarios.faults.judge import Evidence, Verdict, first_traceback, sentences
from tests.scenarios.faults.report import table
from tests.scenarios.faults.row import NOBODY, PARKED, Row
from tests.scenarios.faults.scene import Doubt, Scene


async def _nothing(scene: Scene) -> Doubt:
    return NOBODY


ROW = Row(name="nothing happens", inject=_nothing)


def evidence(**changes: Any) -> Evidence:
    """Two recipients, both reached once at 10.0 and recorded at 10.1."""
    ordinary: dict[str, Any] = {
        "recipients": frozenset({"ann", "bob"}),
        "states": Counter({State.DELIVERED: 2}),
        "copies": {"ann": [10.0], "bob": [10.0]},
        "ends": {"ann": {"delivered"}, "bob": {"delivered"}},
        "delivered_at": {"ann": 10.1, "bob": 10.1},
    }
    return Evidence(**{**ordinary, **changes})


def test_a_row_that_holds_is_not_faulted() -> None:
    assert sentences(ROW, evidence(), NOBODY) == []
    twice = evidence(copies={"ann": [10.0], "bob": [5.0, 10.0]})
    assert sentences(ROW, twice, frozenset({"bob"})) == []
    assert twice.doubled() == {"bob"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"copies": {"ann": [10.0]}, "delivered_at": {"ann": 10.1}}, "lost: 1, as ['bob']"),
        ({"copies": {"ann": [10.0]}}, "recorded as delivered, and no receiver knows of it: 1, as ['bob']"),
        ({"copies": {"ann": [10.0], "bob": [9.0, 10.0]}}, "two copies without a doubt: 1, as ['bob']"),
        ({"copies": {"ann": [10.0, 10.0, 10.0], "bob": [10.0]}}, "more than two copies: 1, as ['ann']"),
        ({"copies": {"ann": [10.0], "bob": [10.0, 12.0]}}, "another copy after the delivery was recorded: 1, as ['bob']"),
        ({"ends": {"ann": {"delivered", "expired"}, "bob": {"delivered"}}}, "more than one final state: 1, as ['ann']"),
        ({"copies": {"ann": [10.0], "bob": [10.0], "eve": [10.0]}}, "copies for somebody else: 1, as ['eve']"),
        ({"states": Counter({State.DELIVERED: 1, State.UNKNOWN: 1})}, "ended otherwise than allowed: 1, as ['unknown']"),
    ],
)
def test_each_thing_that_must_not_be_is_found(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in sentences(ROW, evidence(**changes), NOBODY)


def test_who_ended_as_unknown_and_was_never_reached_is_not_lost() -> None:
    parked = evidence(
        states=Counter({State.DELIVERED: 1, State.UNKNOWN: 1}),
        copies={"ann": [10.0]},
        ends={"ann": {"delivered"}, "bob": {"unknown"}},
        delivered_at={"ann": 10.1},
    )
    assert sentences(Row(name="parked", inject=_nothing, ends=PARKED), parked, NOBODY) == []


def test_the_table_says_what_came_of_each_row() -> None:
    verdict = Verdict(
        name="a fault", recipients=1_200, lost=0, doubled=1, bound=2, parked=0, seconds=1.25, wrong=("something",)
    )
    assert list(table([verdict])) == [
        "fault   recipients       lost    doubled      bound     parked    seconds",
        "a fault      1,200          0          1          2          0        1.2",
        "    WRONG: something",
    ]


def test_of_a_traceback_the_end_is_shown_which_says_what_happened() -> None:
    short = ["Traceback (most recent call last):", "  here", "ValueError: why"]
    assert first_traceback("\n".join(['{"event":"started"}', *short, '{"event":"ended"}', *short])) == "\n".join(short)
    long = [short[0], *["  deeper"] * 100, short[-1]]
    shown = first_traceback("\n".join(long)).splitlines()
    assert (len(shown), shown[0], shown[-1]) == (61, "…", "ValueError: why")
