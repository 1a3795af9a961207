"""Fixtures of the rows."""

import pytest
import trio.testing


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """Jumps like the autojump clock, but only once real sockets have had a moment to deliver."""
    return trio.testing.MockClock(autojump_threshold=0.02)
