"""How processes and commands get at the configured queue. Nothing else is imported here: a command should not wait for what
only a fleet's processes need."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from sender.errors import BackendError
from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import OnCall, unobserved
from sender.queue.standing import check
from sender.settings import Settings, load
from workers.places import embedded_elsewhere, redis_url

_RECONNECT_S = 0.25


@asynccontextmanager
async def connected(
    settings: Settings, patience_s: float, *, fit: bool = False, on_call: OnCall = unobserved
) -> AsyncIterator[Queue]:
    """The configured queue; a store that is not there yet is waited for, `patience_s` at most, then BackendError.

    `fit` is for those that entrust mail to it: ConfigError where a setting of the store could lose some.
    """
    deadline = trio.current_time() + patience_s
    while True:
        try:
            queue = await _open(settings, fit, on_call)
        except BackendError as error:
            if trio.current_time() >= deadline:
                if embedded_elsewhere(settings):
                    raise BackendError(f"{error}; is `penstock run` running?") from error
                raise
            await trio.sleep(_RECONNECT_S)
        else:
            break
    try:
        yield queue
    finally:
        with trio.move_on_after(2.0, shield=True):
            await queue.aclose()


async def _open(settings: Settings, fit: bool, on_call: OnCall) -> Queue:
    redis = settings.redis
    queue = await open_queue(redis_url(settings), partitions=redis.partitions, durable=redis.durable, on_call=on_call)
    try:
        if fit:
            check(await queue.standing())
    except BaseException:
        with trio.move_on_after(2.0, shield=True):
            await queue.aclose()
        raise
    return queue


@asynccontextmanager
async def open_configured_queue(config: Path | None, *, patience_s: float = 0.0) -> AsyncIterator[tuple[Settings, Queue]]:
    """Settings and queue for a command."""
    settings = load(config)
    async with connected(settings, patience_s) as queue:
        yield settings, queue
