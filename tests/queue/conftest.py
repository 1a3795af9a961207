"""Every backend behind one fixture. The Redis one talks to a real Valkey, started once by workers/embedded."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from tests.queue.feeding import conserved
from workers.embedded import embedded_valkey


class _Server(threading.Thread):
    """A trio run of its own, because a fixture of the session outlives every test's."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__()
        self.url = ""
        self.ready = threading.Event()
        self._state_dir = state_dir
        self._end: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def run(self) -> None:
        try:
            trio.run(self._serve)
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        async with embedded_valkey(self._state_dir) as url:
            self._end, self._token, self.url = trio.Event(), trio.lowlevel.current_trio_token(), url
            self.ready.set()
            await self._end.wait()

    def stop(self) -> None:
        if self._end is not None and self._token is not None:
            self._token.run_sync_soon(self._end.set)
        self.join()


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = _Server(tmp_path_factory.mktemp("valkey"))
    server.start()
    server.ready.wait()
    assert server.url, "the embedded server did not start"
    yield server.url
    server.stop()


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Client]:
    """A door to an empty store."""
    client = Client(valkey_url)
    await client.run([("FLUSHALL",)])
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def queue_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory:"
    url: str = request.getfixturevalue("valkey_url")
    return url


@pytest.fixture
async def queue(queue_url: str) -> AsyncIterator[Queue]:
    """An empty queue; whatever a test does with it, nothing may be lost or doubled in the end."""
    if queue_url != "memory:":
        client = Client(queue_url)
        await client.run([("FLUSHALL",)])
        await client.aclose()
    queue = await open_queue(queue_url)
    yield queue
    await conserved(queue)
    await queue.aclose()
