"""A cable to a server that can be cut at a chosen moment: before a request gets through, or before its answer comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from functools import partial

import trio

from tests.redis.servers import HOST, Server

_CHUNK = 65_536


class Cut(Enum):
    NEVER = "never"
    BEFORE = "the next request is lost"
    AFTER = "the next request gets through, its answer is lost"
    LATE = "the answer to the next request comes when somebody asks again"


class Relay:
    """`cut` holds for the next request that comes; then the cable is whole again for whoever connects anew."""

    def __init__(self, server: Server) -> None:
        self.cut, self.connections, self.port = Cut.NEVER, 0, 0
        self._asked_again = trio.Event()
        self._server = server

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    async def carry(self, client: trio.SocketStream) -> None:
        self.connections += 1
        async with client, await trio.open_tcp_stream(HOST, self._server.port) as server, trio.open_nursery() as nursery:
            nursery.start_soon(self._answers, server, client, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError):
                while data := await client.receive_some(_CHUNK):
                    self._asked_again.set()
                    if self.cut is Cut.BEFORE:
                        self.cut = Cut.NEVER
                        break
                    await server.send_all(data)
            nursery.cancel_scope.cancel()

    async def _answers(self, server: trio.SocketStream, client: trio.SocketStream, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            while data := await server.receive_some(_CHUNK):
                if self.cut is Cut.AFTER:  # the server has done what was asked
                    self.cut = Cut.NEVER
                    break
                if self.cut is Cut.LATE:
                    self.cut, self._asked_again = Cut.NEVER, trio.Event()
                    await self._asked_again.wait()
                await client.send_all(data)
        scope.cancel()


@asynccontextmanager
async def relay(server: Server) -> AsyncIterator[Relay]:
    """A relay on a port of its own."""
    cable = Relay(server)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, cable.carry, 0, host=HOST))
        cable.port = listeners[0].socket.getsockname()[1]
        yield cable
        nursery.cancel_scope.cancel()
