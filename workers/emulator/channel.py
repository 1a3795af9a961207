"""One TCP connection of a receiver, in clear or under TLS: non-blocking sockets with no stream layer between.

Raises OSError (of which ssl.SSLError is one) when the other side breaks the connection.
"""

import contextlib
import select
import socket
import ssl
import struct

import trio

_READ_OCTETS = 262_144
_GREEDY = 32  # reads in a row that may succeed at once before other connections get their turn
_LINGER_S = 2.0
_NO_LINGER = struct.pack("ii", 1, 0)


class Channel:
    """A connected, non-blocking socket; `start_tls` turns it into an encrypted one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket: socket.socket | ssl.SSLSocket = connected
        self._reads = 0
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def source(self) -> str:
        """The address the other side connected from."""
        return str(self._socket.getpeername()[0])

    @property
    def abandoned(self) -> bool:
        """Whether the other side has gone, be there something left to read or not."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    async def receive(self) -> bytes:
        """The next octets; b"" when the other side has ended the connection."""
        self._reads += 1
        if self._reads % _GREEDY == 0:
            await trio.lowlevel.checkpoint()
        while True:
            try:
                return self._socket.recv(_READ_OCTETS)
            except (BlockingIOError, ssl.SSLWantReadError):
                await trio.lowlevel.wait_readable(self._socket)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._socket)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await trio.lowlevel.wait_writable(self._socket)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._socket)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands as the server; nothing that was read before is carried over."""
        wrapped = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket = wrapped
        while True:
            try:
                wrapped.do_handshake()
                return
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(wrapped)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(wrapped)

    async def finish(self) -> None:
        """Hang up politely: closing with unread input would reset the connection and destroy the last reply on its way."""
        with contextlib.suppress(OSError), trio.move_on_after(_LINGER_S):
            if isinstance(self._socket, ssl.SSLSocket):
                with contextlib.suppress(ssl.SSLError):
                    self._socket.unwrap()  # sends close_notify; theirs is not awaited
            self._socket.shutdown(socket.SHUT_WR)
            while await self.receive():
                pass
        self.close()

    def reset(self) -> None:
        """Hang up rudely: the other side sees a reset."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.close()

    def close(self) -> None:
        """Close the socket; without effect when it is closed already."""
        if self._socket.fileno() < 0:
            return
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


def listen(address: str, port: int) -> socket.socket:
    """A non-blocking listening socket; raises OSError when the port is taken there."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1_024)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


async def accept(listener: socket.socket) -> Channel:
    """The next connection; raises OSError when the process is out of descriptors."""
    while True:
        try:
            connected, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            await trio.lowlevel.wait_readable(listener)
        else:
            return Channel(connected)
