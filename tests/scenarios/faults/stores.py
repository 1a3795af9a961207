"""Where a row's store stands: the fleet's own, the same behind a proxy, a master with Sentinels, or a Cluster."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tests.redis.stores import ClusterStore, SentinelStore, cluster_store, sentinel_store
from tests.scenarios.faults.proxy import Proxy, proxy
from tests.scenarios.stage import Stage
from workers.embedded import embedded_valkey

Place = Proxy | SentinelStore | ClusterStore | None


@asynccontextmanager
async def _own(room: Stage) -> AsyncIterator[Place]:
    yield None


@asynccontextmanager
async def _proxied(room: Stage) -> AsyncIterator[Place]:
    """The store runs beside the fleet, which reaches it through the proxy alone."""
    async with embedded_valkey(room.socket.parent), proxy(room.socket) as running:
        _point(room, f"redis://127.0.0.1:{running.port}")
        yield running


@asynccontextmanager
async def _sentinel(room: Stage) -> AsyncIterator[Place]:
    async with sentinel_store(room.directory / "store") as store:
        _point(room, store.url)
        room.store_url = store.url
        yield store


@asynccontextmanager
async def _cluster(room: Stage) -> AsyncIterator[Place]:
    async with cluster_store(room.directory / "store", replicas=1) as store:
        _point(room, store.url)
        room.store_url = store.url
        yield store


def _point(room: Stage, url: str) -> None:
    """Tell the fleet where its store is."""
    penstock = room.config / "penstock.toml"
    penstock.write_text(penstock.read_text().replace("[redis]\n", f'[redis]\nurl = "{url}"\n'))


STORES: Mapping[str, Callable[[Stage], AbstractAsyncContextManager[Place]]] = {
    "own": _own,
    "proxied": _proxied,
    "sentinel": _sentinel,
    "cluster": _cluster,
}
