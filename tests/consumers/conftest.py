"""What tests of consumers share."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import trio

T = TypeVar("T")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The virtual clock would run on while one is waited for."""

    async def inline(work: Callable[..., T], *arguments: object) -> T:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr("trio.to_thread.run_sync", inline)
