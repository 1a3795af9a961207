"""A TCP connection, in clear or under TLS, with the errors of trio, ssl and the system turned into TransportError.

Plain and TLS are one class because a session changes from one to the other half way. The socket is non-blocking, and `ssl`
sits directly on it: no task between the session and the kernel, and no copy of what goes out. It is used by one task at a time.
"""

import errno
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable

import trio

from sender.errors import TransportError, TransportKind
from sender.model import Step
from sender.net import tls
from sender.net.turnstile import Turnstile

_READ = 16_384  # a TLS record: what OpenSSL has decrypted never stays behind where no wait would notice it
# What TLS is given at a time, one record (RFC 8446 section 5.1): of more, OpenSSL says nothing until all of it has gone, and
# nobody could tell how much the peer has of a write that got stuck.
_RECORD = 16_384

_KINDS = {
    errno.ECONNREFUSED: TransportKind.REFUSED,
    errno.ECONNRESET: TransportKind.RESET,
    errno.EPIPE: TransportKind.RESET,
    errno.ECONNABORTED: TransportKind.RESET,
    errno.ETIMEDOUT: TransportKind.TIMEOUT,
    errno.EMFILE: TransportKind.RESOURCES,
    errno.ENFILE: TransportKind.RESOURCES,
    errno.ENOBUFS: TransportKind.RESOURCES,
    errno.ENOMEM: TransportKind.RESOURCES,
    errno.EADDRNOTAVAIL: TransportKind.RESOURCES,  # no free port, or the source address is not this machine's
    errno.EADDRINUSE: TransportKind.RESOURCES,
    errno.EACCES: TransportKind.FORBIDDEN,  # a local firewall
    errno.EPERM: TransportKind.FORBIDDEN,
}


class _Inlet(threading.local):
    """Where octets arrive before a stream takes its own, which are few: 16 KiB made for each read leave holes in the heap.

    One for all streams of a thread: nothing else runs there between filling and copying.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_READ))


_INLET = _Inlet()


def translate(step: Step, error: OSError) -> TransportError:
    """What happened, in our words; `ssl.SSLError` is an OSError too."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TransportError(step, TransportKind.CLOSED, "connection closed")
    if isinstance(error, ssl.SSLError):
        return TransportError(step, TransportKind.TLS, tls.words(error))
    kind = _KINDS.get(error.errno or 0, TransportKind.UNREACHABLE)
    return TransportError(step, kind, error.strerror or type(error).__name__)


class Stream:
    """One connected socket. Every error is a TransportError that names `step`, which the session keeps up to date."""

    def __init__(self, sock: socket.socket, *, peer: str, turnstile: Turnstile | None = None) -> None:
        """What has been waited for is read when `turnstile` lets it."""
        self._sock, self._turnstile = sock, turnstile
        self._at_once: int | None = None  # octets of one write; None: as many as there are
        self.peer = peer  # the literal it is connected to
        self.step = Step.CONNECT
        self.tls_version = ""  # as `ssl` names it: "TLSv1.3"; "" in clear
        self.cipher = ""
        self.resumed = False
        self.closed = False  # by us

    def __repr__(self) -> str:
        return f"<Stream {self.peer} {self.tls_version or 'clear'}{' closed' if self.closed else ''}>"

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """What a later handshake with the same host may resume; under TLS 1.3 only known once something was read."""
        return self._sock.session if isinstance(self._sock, ssl.SSLSocket) else None

    def send_nowait(self, data: memoryview) -> int:
        """Hand octets to the kernel: how many it took, 0 where it would block. Then offer the same octets again.

        What it has not taken can't be read by the peer: half a TLS record tells nothing.
        """
        try:
            return self._sock.send(data[: self._at_once])
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError as error:
            raise translate(self.step, error) from None

    def receive_nowait(self) -> bytes | None:
        """What has arrived: None where nothing has, b"" where the peer has closed."""
        try:
            return bytes(_INLET.view[: self._sock.recv_into(_INLET.view)])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError:  # closed without TLS's own goodbye, as many servers do
            return b""
        except OSError as error:
            raise translate(self.step, error) from None

    async def receive_some(self) -> bytes:
        """Wait for octets; b"" is the end."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self._sock)
            except OSError as error:
                raise translate(self.step, error) from None
            if self._turnstile is not None and not self._turnstile.enter_nowait():
                await self._turnstile.wait()
            data = self.receive_nowait()
            if data is not None:
                return data

    async def wait_readable(self) -> None:
        await self._wait(trio.lowlevel.wait_readable)

    async def wait_writable(self) -> None:
        await self._wait(trio.lowlevel.wait_writable)

    async def wait_either(self) -> None:
        """Until there is something to read or room to write: for a peer that answers without reading on."""
        async with trio.open_nursery() as nursery:

            async def first(wait: Callable[[], Awaitable[None]]) -> None:
                await wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, self.wait_readable)
            nursery.start_soon(first, self.wait_writable)

    async def _wait(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        try:
            await wait(self._sock)
        except OSError as error:  # a descriptor the kernel will not watch
            raise translate(self.step, error) from None

    async def start_tls(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None = None) -> None:
        """Turn the connection into TLS for `host`; whatever goes wrong closes it."""
        self.step = Step.TLS
        try:
            wrapped = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False, session=session)
            self._sock, self._at_once = wrapped, _RECORD
            await self._handshake(wrapped)
        except (OSError, ValueError) as error:  # ValueError: a host name that can't be a server name
            self.close()
            raise _handshake_failed(error) from None
        except trio.Cancelled:
            self.close()
            raise
        self.tls_version = wrapped.version() or ""
        self.cipher = (wrapped.cipher() or ("",))[0]
        self.resumed = bool(wrapped.session_reused)

    async def _handshake(self, wrapped: ssl.SSLSocket) -> None:
        while True:
            try:
                wrapped.do_handshake()
                return
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(wrapped)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(wrapped)

    def close(self) -> None:
        """Let go of the socket, at once and without a word."""
        self.closed = True
        self._sock.close()


def _handshake_failed(error: OSError | ValueError) -> TransportError:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return TransportError(Step.TLS, TransportKind.TLS, "validation-failure: connection closed in the handshake")
    if isinstance(error, ssl.SSLError):
        return TransportError(Step.TLS, TransportKind.TLS, tls.reason(error))
    return TransportError(Step.TLS, TransportKind.TLS, f"validation-failure: {error}")
