"""A webhook receiver: a real HTTP server on the loopback that notes what it is sent, and answers as the test says."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
import trio

_MOST = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    target: str
    headers: dict[str, str]
    body: bytes
    at: float  # trio's clock

    @property
    def name(self) -> str:
        return self.headers["webhook-id"]

    @property
    def ids(self) -> list[str]:
        if self.headers["content-type"] == "application/json":
            return [event["id"] for event in json.loads(self.body)]
        return [json.loads(line)["id"] for line in self.body.splitlines()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None  # in place of an answer; the connection ends with it
    wait_s: float = 0.0


OK = Reply()


@dataclass
class Receiver:
    """What it was sent, in order; `answer` is asked for each request."""

    answer: Callable[[Request], Reply] = lambda request: OK
    requests: list[Request] = field(default_factory=list)
    keeps: bool = True  # the requests; a long run has too many
    port: int = 0
    _listener: trio.SocketListener | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [name for request in self.requests for name in request.ids]

    @contextmanager
    def away(self) -> Iterator[None]:
        """It has a port that nobody else can be given, and listens there only where it is opened meanwhile."""
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(("127.0.0.1", self.port))
            self.port = place.getsockname()[1]
            yield

    @asynccontextmanager
    async def open(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Receiver"]:
        """Listen, on the port it had before if it had any, until the block ends; then all its connections are gone."""
        (listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        served: list[Any] = [trio.SSLListener(listener, context, https_compatible=True) if context else listener]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, self._serve, served))
            yield self
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):  # the client has gone
                await self._talk(stream, h11.Connection(h11.SERVER))

    async def _talk(self, stream: trio.abc.Stream, connection: h11.Connection) -> None:
        while (request := await _read(stream, connection)) is not None:
            if self.keeps:
                self.requests.append(request)
            reply = self.answer(request)
            await trio.sleep(reply.wait_s)
            if reply.raw is not None:
                await stream.send_all(reply.raw)
                return
            headers = [*reply.headers.items(), ("content-length", str(len(reply.body)))]
            parts = [h11.Response(status_code=reply.status, headers=headers), h11.Data(data=reply.body), h11.EndOfMessage()]
            await stream.send_all(b"".join(connection.send(part) or b"" for part in parts))
            if connection.our_state is not h11.DONE:
                return
            connection.start_next_cycle()


async def _read(stream: trio.abc.Stream, connection: h11.Connection) -> Request | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_MOST)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Request(target=head.target.decode(), headers=headers, body=body, at=trio.current_time())
        else:
            return None
