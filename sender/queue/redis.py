"""The queue in Redis or Valkey: every state change is one script in lua/, one batch of scripts is one round trip.

The parts: `redis_inbox` takes campaigns in and expands them, `redis_delivery` leases and settles, `redis_control` and
`redis_lane_holds` hold back, `redis_warmups` keeps caps and what they count, `redis_upkeep` returns what is due or orphaned,
`redis_doubts` keeps what may have arrived, `redis_views` and `redis_finding` look,
`redis_groups` hands events to their readers.
WIRE.md documents what other programs may write and read.
"""

from sender.errors import ConfigError
from sender.queue.client import Client, OnCall, unobserved
from sender.queue.keys import LAYOUT, LAYOUT_VERSION, Layout
from sender.queue.node import Denied
from sender.queue.redis_control import RedisControl
from sender.queue.redis_delivery import RedisDelivery
from sender.queue.redis_finding import RedisFinding
from sender.queue.redis_groups import RedisGroups
from sender.queue.redis_inbox import RedisInbox
from sender.queue.redis_lane_holds import RedisLaneHolds
from sender.queue.redis_warmups import RedisWarmups


class RedisQueue(RedisInbox, RedisControl, RedisDelivery, RedisFinding, RedisGroups, RedisLaneHolds, RedisWarmups):
    """See `sender.queue.base.Queue`."""

    async def aclose(self) -> None:
        await self._client.aclose()

    def __repr__(self) -> str:
        return f"<RedisQueue {self._client!r} {self._layout}>"


async def open_redis(url: str, partitions: int, durable: bool = False, on_call: OnCall = unobserved) -> RedisQueue:
    """Connect to a store, or begin a new one.

    Raises BackendError where it can't be reached, ConfigError for a URL that is none, a store with another layout, one
    that does not let us in, and one that can't be `durable`.
    """
    layout, client = Layout(partitions), Client(url, durable=durable, on_call=on_call)
    try:
        await _check_layout(client, layout)
        await client.check_durable()
    except Denied as error:
        await client.aclose()
        raise ConfigError("redis", "url", str(error)) from error
    except BaseException:
        await client.aclose()
        raise
    return RedisQueue(client, layout)


async def _check_layout(client: Client, layout: Layout) -> None:
    """Claim an empty store for this layout; ConfigError where another one was there first.

    A store that has its layout is only read: one that is full, and takes no more, must open to be drained.
    """
    wanted = f"{LAYOUT_VERSION} {len(layout.partitions)}"
    (found,) = await client.run([("GET", LAYOUT)])
    if found is None:
        _, found = await client.run([("SET", LAYOUT, wanted, "NX"), ("GET", LAYOUT)])
    if found.decode() != wanted:
        version, _, number = found.decode().partition(" ")
        why = f"the store is laid out as version {version} with {number} partitions; configured is {layout}"
        raise ConfigError("redis", "partitions", why)
