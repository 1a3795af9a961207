"""Every backend behind one fixture: memory, and real servers that are started once a session (see `backends`)."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from tests.queue.backends import ALL
from tests.queue.feeding import conserved
from tests.redis.background import held_open
from tests.redis.stores import cluster_store
from tests.redis.tls import Guarded, guarded_server
from workers.embedded import embedded_valkey


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with held_open(embedded_valkey(tmp_path_factory.mktemp("valkey"))) as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with held_open(cluster_store(tmp_path_factory.mktemp("cluster"))) as store:
        yield store.url


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with held_open(guarded_server(tmp_path_factory.mktemp("guarded"))) as guarded:
        yield guarded


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Client]:
    """A door to an empty store."""
    client = Client(valkey_url)
    await client.run([("FLUSHALL",)])
    yield client
    await client.aclose()


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a queue is, and by which URL its store may be emptied."""

    url: str
    admin_url: str


@pytest.fixture(params=ALL)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Memory; the Valkey we bring; a Cluster; the oldest Redis we promise, over TLS, as the user of deploy/README.md."""
    if request.param == "memory":
        return Backend("memory:", "")
    if request.param == "redis-7.0":
        guarded: Guarded = request.getfixturevalue("guarded")
        return Backend(guarded.url, guarded.admin_url)
    url: str = request.getfixturevalue("cluster_url" if request.param == "cluster" else "valkey_url")
    return Backend(url, url)


@pytest.fixture
def queue_url(backend: Backend) -> str:
    return backend.url


@pytest.fixture
async def queue(backend: Backend) -> AsyncIterator[Queue]:
    """An empty queue; whatever a test does with it, nothing may be lost or doubled in the end."""
    if backend.admin_url:
        client = Client(backend.admin_url)
        await client.everywhere([("FLUSHALL",)])
        await client.aclose()
    queue = await open_queue(backend.url)
    yield queue
    await conserved(queue)
    await queue.aclose()
