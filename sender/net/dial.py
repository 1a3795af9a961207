"""One TCP connection from a source to an address, judged before it is made.

The address is a literal that came out of resolution: it is checked and then connected to as it stands, so that no later
answer of DNS can lead elsewhere.
"""

import errno
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address

import trio

from sender.errors import TransportError, TransportKind
from sender.model import Source, Step
from sender.net.addresses import Targets
from sender.net.stream import Stream, translate
from sender.net.turnstile import Turnstile

# Linux: choose the port at connect, when the peer is known, so that a source has 28,000 ports per peer and not in all.
_IP_BIND_ADDRESS_NO_PORT = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialer:
    """Connects to port `port` of addresses that `targets` lets pass."""

    targets: Targets
    port: int = 25
    turnstile: Turnstile | None = None  # of the sessions of this process

    async def connect(self, source: Source, address: str, within_s: float) -> Stream:
        """A connection bound to the source's address, made in `within_s` seconds.

        Raises TransportError at step CONNECT, with nothing left open.
        """
        refusal = self.targets.refusal(address)
        if refusal is not None:
            raise TransportError(Step.CONNECT, TransportKind.FORBIDDEN, refusal)
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        if is_own(family, address) and not self.targets.allowed(address):
            raise TransportError(Step.CONNECT, TransportKind.FORBIDDEN, f"{address} is forbidden: our own address")
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise translate(Step.CONNECT, error) from None
        with ExitStack() as undo:
            undo.callback(sock.close)
            try:
                _prepare(sock, family, source)
                with trio.fail_after(within_s):
                    await _connect(sock, (address, self.port))
            except trio.TooSlowError:
                raise TransportError(Step.CONNECT, TransportKind.TIMEOUT, f"no answer in {within_s:g} s") from None
            except OSError as error:
                raise _failed(source, error) from None
            undo.pop_all()  # connected: the socket is the stream's
            return Stream(sock, peer=address, turnstile=self.turnstile)


def is_own(family: socket.AddressFamily, address: str) -> bool:
    """True where the address is this machine's: the kernel would then send from it. Nothing goes out for the question."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
    except OSError:
        return False  # no route, or no descriptor: the connect will say so itself


def _prepare(sock: socket.socket, family: socket.AddressFamily, source: Source) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # we write whole groups: Nagle would only hold back the last
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # a mapped IPv4 address is no detour
    if source.address:
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source.address, 0))


async def _connect(sock: socket.socket, to: tuple[str, int]) -> None:
    await trio.lowlevel.checkpoint_if_cancelled()
    code = sock.connect_ex(to)
    if code == errno.EINPROGRESS:
        await trio.lowlevel.wait_writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    else:
        await trio.lowlevel.checkpoint()
    if code:
        raise OSError(code, os.strerror(code))


def _failed(source: Source, error: OSError) -> TransportError:
    failure = translate(Step.CONNECT, error)
    if failure.kind is TransportKind.RESOURCES and source.address:
        return TransportError(Step.CONNECT, failure.kind, f"{failure.detail} (from {source.address})")
    return failure
