"""The receiving side: connections without a network, and a receiver that accepts all and answers what came with one write.

Socket pairs in place of TCP: what is written is there at once, so that nothing depends on when a kernel delivers it.
"""

import socket
import ssl
from collections import Counter
from collections.abc import Sequence

import trio

from sender.model import Destination, MxHost, Source
from sender.net.stream import Stream
from sender.net.turnstile import Turnstile

RTT_S = 0.005  # virtual; as to a receiver in the same country
_READ = 65_536
_HELLO = b"250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 104857600\r\n250-ENHANCEDSTATUSCODES\r\n"
_REPLIES = {
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"DATA": b"354 go\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
    b"STARTTLS": b"220 2.0.0 Ready\r\n",
}
_TAKEN = b"250 2.0.0 Ok: queued as 0123456789\r\n"
_END = b"\r\n.\r\n"


class Countable(Stream):
    """A connection of ours that counts its calls to the socket."""

    def __init__(self, sock: socket.socket, turnstile: Turnstile | None, counts: Counter[str]) -> None:
        super().__init__(sock, peer="192.0.2.1", turnstile=turnstile)
        self._counts = counts

    def send_nowait(self, data: memoryview) -> int:
        self._counts["SMTP writes"] += 1
        return super().send_nowait(data)

    def receive_nowait(self) -> bytes | None:
        self._counts["SMTP reads"] += 1
        return super().receive_nowait()


class Receiver:
    """One connection of the receiver: octets in, the replies to all of them out."""

    def __init__(self) -> None:
        self._held, self._in_content = b"", False
        self.messages = 0
        self.encrypted = self.starting = self.over = False

    def answer(self, data: bytes) -> bytes:
        self._held += data
        replies = []
        while (reply := self._next()) is not None:
            replies.append(reply)
        return b"".join(replies)

    def _next(self) -> bytes | None:
        """The reply to what comes first; None where more octets are needed."""
        end = _END if self._in_content else b"\r\n"
        piece, found, rest = self._held.partition(end)
        if not found:
            return None
        self._held = rest
        if self._in_content:
            self._in_content = False
            self.messages += 1
            return _TAKEN
        return self._obey(piece.partition(b" ")[0].upper())

    def _obey(self, verb: bytes) -> bytes:
        self._in_content = verb == b"DATA"
        self.starting, self.over = verb == b"STARTTLS", verb == b"QUIT"
        if verb == b"EHLO":
            return _HELLO + (b"250 SMTPUTF8\r\n" if self.encrypted else b"250 STARTTLS\r\n")
        return _REPLIES[verb]


class Wires:
    """Stands for the dialer and the resolver: every domain has one MX of its own, and every address leads to a receiver."""

    def __init__(self, nursery: trio.Nursery, context: ssl.SSLContext, counts: Counter[str]) -> None:
        self._context, self._counts = context, counts
        self._turnstile: Turnstile | None = None
        self._called, calls = trio.open_memory_channel[socket.socket](1_000)
        nursery.start_soon(self._welcome, calls)

    def dialer(self, *, turnstile: Turnstile, **_: object) -> "Wires":
        """In place of the real one's constructor."""
        self._turnstile = turnstile
        return self

    def destination_nowait(self, domain: str) -> Destination:
        return Destination(hosts=(MxHost(name=f"mx.{domain}", preference=10),))

    async def destination(self, domain: str) -> Destination:
        await trio.lowlevel.checkpoint()
        return self.destination_nowait(domain)

    async def addresses(self, host: str, bound_to: str = "") -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return ("192.0.2.1",)

    async def connect(self, source: Source, address: str, within_s: float) -> Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
        self._called.send_nowait(theirs)
        return Countable(ours, self._turnstile, self._counts)

    async def _welcome(self, calls: trio.MemoryReceiveChannel[socket.socket]) -> None:
        """Receivers are tasks of this one: what they do is not counted as ours."""
        async with trio.open_nursery() as nursery:
            async for sock in calls:
                nursery.start_soon(self._serve, sock)

    async def _serve(self, sock: socket.socket) -> None:
        receiver, output = Receiver(), b"220 mx ESMTP\r\n"
        while True:
            if output:
                await trio.sleep(RTT_S)
                sock.send(output)
                self._counts["round trips"] += 1
            if receiver.starting:
                sock = await self._encrypted(sock)
                receiver.encrypted = True
            if receiver.over or not (data := await _received(sock)):
                break
            output = receiver.answer(data)
        self._counts["messages taken"] += receiver.messages
        sock.close()

    async def _encrypted(self, sock: socket.socket) -> ssl.SSLSocket:
        secure = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        while True:
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(secure)
            else:
                return secure


async def _received(sock: socket.socket) -> bytes:
    while True:
        try:
            return sock.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError):
            await trio.lowlevel.wait_readable(sock)
