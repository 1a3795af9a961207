"""The world's SMTP receivers: listeners on loopback, one task per connection, the dialogue doing all the thinking."""

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import trio

from workers.emulator.certificates import Authority
from workers.emulator.channel import Channel, accept, listen
from workers.emulator.dialogue import Dialogue, Message
from workers.emulator.visit import Office, Visit
from workers.emulator.world import Host

_IDLE_S = 300.0  # RFC 5321 section 4.5.3.2.7 asks for 5 minutes at least
_PORT_TRIES = 50
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BREATH_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A host of a receiver, and the office behind it."""

    host: Host
    office: Office


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What all connections share."""

    authority: Authority
    clock: Callable[[], float]  # Unix seconds, or virtual ones
    deliver: Callable[[Message], Awaitable[None]]  # called for each taken message before its 250 goes: may hold it back


def bind_all(addresses: Sequence[str], port: int = 0) -> tuple[int, list[socket.socket]]:
    """Listen on one port at every address; with port 0 on one that is free at all of them.

    Raises OSError when the given port is taken somewhere, or no common one could be found.
    """
    for _ in range(1 if port else _PORT_TRIES):
        listeners: list[socket.socket] = []
        try:
            for address in addresses:
                listeners.append(listen(address, port or (listeners[0].getsockname()[1] if listeners else 0)))
        except OSError:
            for listener in listeners:
                listener.close()
            if port:
                raise
        else:
            return listeners[0].getsockname()[1], listeners
    raise OSError(errno.EADDRINUSE, "no port is free on all addresses of the emulated receivers")


async def serve_smtp(stations: Sequence[Station], listeners: Sequence[socket.socket], service: Service) -> None:
    """Receive mail until cancelled; the listeners are closed then."""
    async with AsyncExitStack() as stack:
        for listener in listeners:
            stack.callback(listener.close)
        async with trio.open_nursery() as nursery:
            for station, listener in zip(stations, listeners, strict=True):
                nursery.start_soon(_serve_station, station, listener, service, nursery)


async def _serve_station(station: Station, listener: socket.socket, service: Service, nursery: trio.Nursery) -> None:
    while True:
        try:
            channel = await accept(listener)
        except OSError as error:
            if error.errno not in _OUT_OF_DESCRIPTORS:
                raise
            await trio.sleep(_BREATH_S)  # the clients wait in the backlog
        else:
            nursery.start_soon(_serve_connection, station, channel, service)


async def _serve_connection(station: Station, channel: Channel, service: Service) -> None:
    try:
        source = channel.source
    except OSError:  # gone before it was accepted
        channel.close()
        return
    visit = Visit(station.office, source=source, host=station.host.name)
    try:
        await _converse(Dialogue(visit), channel, station, service)
    except (OSError, ssl.SSLError):
        pass  # the client broke off: nothing that was taken is lost
    finally:
        visit.leave()
        channel.close()


async def _converse(dialogue: Dialogue, channel: Channel, station: Station, service: Service) -> None:
    reply_s = station.office.behaviour.reply_s
    with trio.move_on_after(_IDLE_S) as idle:
        dialogue.open(service.clock())
        await channel.send(dialogue.take_output())
        while not dialogue.closing:
            data = await channel.receive()
            if not data:
                return
            starts_tls = False
            for event in dialogue.receive(data, service.clock()):
                if isinstance(event, Message):
                    await service.deliver(event)
                    if reply_s:
                        await trio.sleep(reply_s)
                else:
                    starts_tls = True
            await channel.send(dialogue.take_output())
            if starts_tls:
                await channel.start_tls(service.authority.context(station.host.name))
                dialogue.tls_started()
            idle.deadline = trio.current_time() + _IDLE_S
        await channel.finish()
