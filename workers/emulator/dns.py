"""The world's name server: UDP, and TCP for what does not fit, on one loopback address. Bounded in connections and time."""

import contextlib
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.exception
import dns.flags
import dns.message
import trio

from workers.emulator.zone import Zone

_UDP_OCTETS = 512  # RFC 1035 section 4.2.1, where the question offers no more (EDNS)
_UDP_MOST = 1_232  # the DNS flag day 2020 size: what we send however much is offered
_TCP_CONNECTIONS = 64
_TCP_IDLE_S = 10.0
_PORT_TRIES = 50


@asynccontextmanager
async def serve_dns(zone: Zone, address: str, port: int = 0) -> AsyncIterator[tuple[str, int]]:
    """Answer from `zone` while the block runs; yields where. With port 0 a port is found that is free for UDP and TCP."""
    listener, udp = await bind_both(address, port)
    async with trio.open_nursery() as nursery:
        with udp:
            limiter = trio.Semaphore(_TCP_CONNECTIONS)
            nursery.start_soon(_serve_udp, udp, zone)
            nursery.start_soon(_serve_tcp, listener, zone, limiter)
            yield address, udp.getsockname()[1]
            nursery.cancel_scope.cancel()


async def bind_both(address: str, port: int = 0) -> tuple[trio.SocketListener, trio.socket.SocketType]:
    """TCP and UDP on one port of the address; with port 0 on one that is free for both.

    Raises OSError where the given port is taken for either, or none could be found.
    """
    for _ in range(1 if port else _PORT_TRIES):
        [listener] = await trio.open_tcp_listeners(port, host=address)
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        try:
            await udp.bind((address, listener.socket.getsockname()[1]))
        except OSError:  # whoever asks a question on this machine has some port for it, at all addresses
            udp.close()
            await listener.aclose()
            if port:
                raise
        else:
            return listener, udp
    raise OSError(errno.EADDRINUSE, "no port is free for both TCP and UDP")


async def _serve_udp(udp: trio.socket.SocketType, zone: Zone) -> None:
    while True:
        wire, peer = await udp.recvfrom(4_096)
        reply = answer_udp(zone, wire)
        if reply is not None:
            with contextlib.suppress(OSError):  # a client that is gone already
                await udp.sendto(reply, peer)


async def _serve_tcp(listener: trio.SocketListener, zone: Zone, limiter: trio.Semaphore) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream, limiter:
            with trio.move_on_after(_TCP_IDLE_S), contextlib.suppress(trio.BrokenResourceError):
                await _answer_tcp(stream, zone)

    await trio.serve_listeners(serve, [listener])


async def _answer_tcp(stream: trio.SocketStream, zone: Zone) -> None:
    buffer = b""
    while data := await stream.receive_some():
        buffer += data
        while len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2], "big"):
            end = 2 + int.from_bytes(buffer[:2], "big")
            wire, buffer = buffer[2:end], buffer[end:]
            reply = _answer(zone, wire)
            if reply is None:
                return
            octets = reply.to_wire(max_size=65_535)
            await stream.send_all(len(octets).to_bytes(2, "big") + octets)


def answer_udp(zone: Zone, wire: bytes) -> bytes | None:
    """The datagram that answers `wire`, cut (TC) when it is too long for one; None when it is no question."""
    if zone.well and (made_up := zone.made_up(wire)) is not None:
        return made_up or None
    query = _parse(wire)
    reply = None if query is None else zone.answer(query)
    if query is None or reply is None:
        return None
    room = min(max(query.payload, _UDP_OCTETS), _UDP_MOST) if query.edns >= 0 else _UDP_OCTETS
    try:
        return reply.to_wire(max_size=room)
    except dns.exception.TooBig:
        cut = dns.message.make_response(query)
        cut.flags |= dns.flags.AA | dns.flags.TC
        return cut.to_wire()


def _answer(zone: Zone, wire: bytes) -> dns.message.Message | None:
    query = _parse(wire)
    return None if query is None else zone.answer(query)


def _parse(wire: bytes) -> dns.message.Message | None:
    try:
        query = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return None
    return None if query.flags & dns.flags.QR else query
