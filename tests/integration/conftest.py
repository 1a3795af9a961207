"""The servers, started once a session."""

from collections.abc import Iterator

import pytest

from tests.integration import world


@pytest.fixture(scope="session")
def site() -> Iterator[world.Site]:
    with world.site() as started:
        yield started
