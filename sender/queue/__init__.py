"""The queue: what waits, where, and what became of it. `base` is the contract, `open_queue` the way in.

`redis` and `memory` keep the contract, `pack` is how envelopes travel, WIRE.md is what other programs may write.
"""

from collections.abc import Awaitable, Callable, Mapping

import trio

from sender.errors import ConfigError
from sender.queue.base import Queue
from sender.queue.client import OnCall, unobserved
from sender.queue.memory import MemoryQueue
from sender.queue.redis import open_redis
from sender.settings.store_url import SCHEMES


async def _open_memory(url: str, partitions: int, durable: bool, on_call: OnCall) -> Queue:
    await trio.lowlevel.checkpoint()
    return MemoryQueue()


BACKENDS: Mapping[str, Callable[[str, int, bool, OnCall], Awaitable[Queue]]] = {
    "memory": _open_memory,
    **dict.fromkeys(SCHEMES, open_redis),
}


async def open_queue(url: str, *, partitions: int = 16, durable: bool = False, on_call: OnCall = unobserved) -> Queue:
    """Open the queue a URL names: "memory:", or one of the forms in sender/settings/store_url.py.

    A `durable` one confirms a submission only when no crash and no failover of the store can take it back. `on_call` hears
    of every call to a store. Raises ConfigError for a URL that is none, a store laid out otherwise or one that can't be
    durable, BackendError where it can't be reached.
    """
    scheme, colon, _ = url.strip().partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in BACKENDS:
        raise ConfigError("redis", "url", f"{scheme!r} is no queue backend; allowed are {', '.join(BACKENDS)}")
    return await BACKENDS[scheme](url, partitions, durable, on_call)
