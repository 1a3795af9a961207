"""A scripted receiver on the loopback: speaks proper SMTP, except where a test says otherwise."""

import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

Behaviour = bytes | Callable[["Connection"], Awaitable[None]]

_PROPER = {
    "HELO": b"250 mx.test\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
    "DOT": b"250 2.0.0 queued\r\n",
    "BDAT": b"250 2.0.0 queued\r\n",
    "RSET": b"250 2.0.0 ok\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
    "STARTTLS": b"220 2.0.0 ready\r\n",
}


_NEEDS = {"RCPT": {"MAIL"}, "DATA": {"MAIL", "RCPT"}}


class Closed(Exception):
    """The script ends this connection."""


async def close(connection: "Connection") -> None:
    raise Closed


async def reset(connection: "Connection") -> None:
    connection.sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.sock.close()
    raise Closed


async def hang(connection: "Connection") -> None:
    await trio.sleep_forever()


def then_close(data: bytes) -> Behaviour:
    async def behave(connection: "Connection") -> None:
        await connection.send(data)
        raise Closed

    return behave


@dataclass(slots=True)
class Receiver:
    """What the receiver does: `script[verb]` is used up one behaviour per command, then it is proper again."""

    port: int = 0
    keywords: list[str] = field(default_factory=lambda: ["PIPELINING", "8BITMIME"])
    greeting: bytes = b"220 mx.test ESMTP\r\n"
    tls: ssl.SSLContext | None = None
    script: defaultdict[str, deque[Behaviour]] = field(default_factory=lambda: defaultdict(deque))
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: list["Connection"] = field(default_factory=list)

    def plan(self, verb: str, *behaviours: Behaviour) -> None:
        self.script[verb].extend(behaviours)


class Connection:
    def __init__(self, receiver: Receiver, stream: trio.SocketStream) -> None:
        self.receiver, self.sock = receiver, stream.socket
        self.stream: trio.abc.Stream = stream
        self.held = b""
        self.encrypted = False
        self.accepted: set[str] = set()

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def until(self, mark: bytes) -> bytes:
        while mark not in self.held:
            data = await self.stream.receive_some(65536)
            if not data:
                raise Closed
            self.held += data
        found, _, self.held = self.held.partition(mark)
        return found

    async def exactly(self, octets: int) -> bytes:
        while len(self.held) < octets:
            data = await self.stream.receive_some(65536)
            if not data:
                raise Closed
            self.held += data
        found, self.held = self.held[:octets], self.held[octets:]
        return found

    async def behave(self, verb: str, proper: bytes) -> bool:
        """Do what the script says, or be proper; whether that was consent."""
        planned = self.receiver.script[verb]
        behaviour = planned.popleft() if planned else proper
        if isinstance(behaviour, bytes):
            await self.send(behaviour)
        else:
            await behaviour(self)
        return isinstance(behaviour, bytes) and behaviour[:1] in (b"2", b"3")

    async def run(self) -> None:
        await self.behave("GREETING", self.receiver.greeting)
        while True:
            line = (await self.until(b"\r\n")).decode("ascii")
            self.receiver.commands.append(line)
            await self.obey(line.partition(" ")[0].upper(), line)

    async def obey(self, verb: str, line: str) -> None:
        if verb == "EHLO":
            offers = ["mx.test", *self.receiver.keywords]
            if self.receiver.tls is not None and not self.encrypted:
                offers.append("STARTTLS")
            lines = [f"250{'-' if place < len(offers) - 1 else ' '}{offer}" for place, offer in enumerate(offers)]
            await self.behave(verb, ("\r\n".join(lines) + "\r\n").encode())
        elif verb == "BDAT":
            content = await self.exactly(int(line.split()[1]))
            self.accepted.clear()
            self.receiver.messages.append(content)
            await self.behave(verb, _PROPER[verb])
        elif verb not in _PROPER:
            await self.send(b"502 5.5.2 unknown\r\n")
        elif verb in _NEEDS and not _NEEDS[verb] <= self.accepted:
            await self.send(b"503 5.5.1 out of order\r\n")
        elif await self.behave(verb, _PROPER[verb]):
            self.accepted.add(verb)
            await self.after(verb)

    async def after(self, verb: str) -> None:
        if verb == "DATA":
            content = await self.until(b"\r\n.\r\n")
            self.accepted.clear()
            self.receiver.messages.append(content)
            await self.behave("DOT", _PROPER["DOT"])
        elif verb == "RSET":
            self.accepted.clear()
        elif verb == "STARTTLS":
            await self.start_tls()
        elif verb == "QUIT":
            raise Closed

    async def start_tls(self) -> None:
        assert self.receiver.tls is not None
        secure = trio.SSLStream(self.stream, self.receiver.tls, server_side=True, https_compatible=True)
        await secure.do_handshake()
        self.stream, self.encrypted = secure, True


@asynccontextmanager
async def receiver(*, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    server = Receiver(tls=tls)

    async def serve(stream: trio.SocketStream) -> None:
        connection = Connection(server, stream)
        server.connections.append(connection)
        try:
            async with stream:
                await connection.run()
        except (Closed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host=address)
        server.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield server
        nursery.cancel_scope.cancel()
