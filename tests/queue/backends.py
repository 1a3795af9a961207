"""On which backends a test of the contract runs: all of them, if it says nothing."""

import pytest

_TWO = ["memory", pytest.param("valkey", marks=pytest.mark.integration)]

ALL = [*_TWO, *(pytest.param(name, marks=pytest.mark.integration) for name in ("cluster", "redis-7.0"))]

# For long histories: what they prove does not depend on how a store is run, and they would cost most of the time.
on_one_server = pytest.mark.parametrize("backend", _TWO, indirect=True)
