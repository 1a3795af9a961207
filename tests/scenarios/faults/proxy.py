"""A TCP proxy before the store, which can cut every connection between a request and its reply."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio


class _Link:
    """One connection through the proxy."""

    def __init__(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        self._client, self._server = client, server
        self.doomed = False  # no reply passes any more, to what has been asked or to what is asked next

    async def run(self) -> bool:
        """Pass octets both ways until one side ends it, or it is cut; whether it was cut."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, self._client, self._server, nursery.cancel_scope)
            nursery.start_soon(self._pass, self._server, self._client, nursery.cancel_scope)
        return self.doomed

    async def _pass(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            async for data in source:
                if not self.doomed or sink is self._server:
                    await sink.send_all(data)
                if self.doomed:
                    break
        scope.cancel()


class Proxy:
    """Passes everything on, until told to cut."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._links: set[_Link] = set()
        self.port = 0
        self.cuts = 0  # connections that were cut behind a request

    def cut(self) -> None:
        """Cut each open connection at its next request: the store does what it asks, and nobody hears of it."""
        for link in self._links:
            link.doomed = True

    async def serve(self, client: trio.SocketStream) -> None:
        """One connection, to its end."""
        with suppress(OSError):  # the store is away
            async with await trio.open_unix_socket(str(self._store)) as server:
                link = _Link(client, server)
                self._links.add(link)
                try:
                    self.cuts += await link.run()
                finally:
                    self._links.discard(link)


@asynccontextmanager
async def proxy(store: Path) -> AsyncIterator[Proxy]:
    """Run one before the store's unix socket while the block runs."""
    running = Proxy(store)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    running.port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, running.serve, [listener])
        yield running
        nursery.cancel_scope.cancel()
