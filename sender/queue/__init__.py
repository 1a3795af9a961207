"""The queue: what waits, where, and what became of it. `base` is the contract, `open_queue` the way in.

`redis` and `memory` keep the contract, `pack` is how envelopes travel, WIRE.md is what other programs may write.
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

import trio

from sender.errors import ConfigError
from sender.queue.base import Queue
from sender.queue.memory import MemoryQueue
from sender.queue.redis import open_redis


async def _open_memory(url: str, partitions: int) -> Queue:
    await trio.lowlevel.checkpoint()
    return MemoryQueue()


BACKENDS: Mapping[str, Callable[[str, int], Awaitable[Queue]]] = {
    "memory": _open_memory,
    "redis": open_redis,
    "rediss": open_redis,
    "unix": open_redis,
    "valkey": open_redis,
    "valkeys": open_redis,
}


async def open_queue(url: str, *, partitions: int = 16) -> Queue:
    """Open the queue a URL names: "memory:", "redis://host:port/0", "unix:///path", "valkey://…".

    Raises ConfigError for a URL that is none or a store laid out otherwise, BackendError where it can't be reached.
    """
    scheme = urlsplit(url).scheme
    if scheme not in BACKENDS:
        raise ConfigError("redis", "url", f"{scheme!r} is no queue backend; allowed are {', '.join(BACKENDS)}")
    return await BACKENDS[scheme](url, partitions)
