"""One queue for all commands that a test calls, in place of the one that their configuration names."""

from typing import Any

import pytest

from sender.queue.base import Queue


def let_commands_open(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command that is called from now on finds this queue."""

    async def opened(*_: Any, **__: Any) -> Queue:
        return queue

    monkeypatch.setattr("workers.store.open_queue", opened)
