"""The decisions of a lane about one message stay cheap: calls are counted, since no test may rely on a processor's speed.

`python -m tests.bench lane` measures the same in microseconds.
"""

import sys
from types import FrameType

import pytest
from trio.testing import MockClock

from tests.bench.lane import Desk

MESSAGES = 200
CALLS_MOST = 95  # of functions, Python's and C's, for one message; 70 to 85 were 6 to 8 µs


@pytest.mark.parametrize("slowed", [False, True])
async def test_a_message_costs_a_bounded_number_of_calls(autojump_clock: MockClock, slowed: bool) -> None:
    desk, calls = Desk.of(MESSAGES, slowed=slowed), 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        desk.decide()
    finally:
        sys.setprofile(None)
    print(f"{calls / MESSAGES:.1f} calls a message")
    assert calls / MESSAGES <= CALLS_MOST
