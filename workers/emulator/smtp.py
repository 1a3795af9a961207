"""The world's SMTP receivers: listeners on loopback, one task per connection, the dialogue doing all the thinking."""

import errno
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from workers.emulator.certificates import Authority
from workers.emulator.channel import Channel, listen
from workers.emulator.dialogue import Dialogue, Event, Held, Message
from workers.emulator.doors import Doors
from workers.emulator.strikes import Does, Struck
from workers.emulator.visit import Office, Visit
from workers.emulator.world import Host

_IDLE_S = 300.0  # RFC 5321 section 4.5.3.2.7 asks for 5 minutes at least
_PORT_TRIES = 50
_LOOK_S = 0.05  # how often one that is held up looks whether the other side is still there


class _Over(Exception):
    """A strike, or the other side, has ended the connection."""


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


def doors(stations: Sequence[Station], listeners: Sequence[socket.socket], service: Service) -> Doors:
    """The stations' doors, one listener each: `run` them to receive mail."""
    by_host = {station.host.name: station for station in stations}

    async def serve(host: str, channel: Channel) -> None:
        await _serve_connection(by_host[host], channel, service)

    return Doors(dict(zip(by_host, listeners, strict=True)), serve)


async def _serve_connection(station: Station, channel: Channel, service: Service) -> None:
    try:
        source = channel.source
    except OSError:  # gone before it was accepted
        channel.close()
        return
    visit = Visit(station.office, source=source, host=station.host.name)
    try:
        await _Talk(Dialogue(visit), channel, station, service).converse()
    except (_Over, OSError, ssl.SSLError):
        pass  # the client broke off, or we were to: nothing that was taken is lost
    finally:
        visit.leave()
        channel.close()


class _Talk:
    """One connection: what the dialogue asks for, done on the channel."""

    def __init__(self, dialogue: Dialogue, channel: Channel, station: Station, service: Service) -> None:
        self._dialogue, self._channel, self._service = dialogue, channel, service
        self._reply_s, self._name = station.office.behaviour.reply_s, station.host.name

    async def converse(self) -> None:
        """From the greeting to the end."""
        dialogue, clock = self._dialogue, self._service.clock
        with trio.move_on_after(_IDLE_S) as idle:
            await self._attend(dialogue.open(clock()))
            while not dialogue.closing:
                data = await self._channel.receive()
                if not data:
                    return
                await self._attend(dialogue.receive(data, clock()))
                idle.deadline = trio.current_time() + _IDLE_S
            await self._channel.finish()

    async def _attend(self, events: Sequence[Event]) -> None:
        """Do what has to be done before the reply, and send the reply."""
        starts_tls, left = False, deque(events)
        while left:
            event = left.popleft()
            if isinstance(event, Message):
                await self._service.deliver(event)
                if self._reply_s:
                    await trio.sleep(self._reply_s)
            elif isinstance(event, Held):
                await self._channel.send(event.before)
                await self._befall(event.struck)
                left.extend(self._dialogue.resume(self._service.clock()))
            else:
                starts_tls = True
        await self._channel.send(self._dialogue.take_output())
        if starts_tls:
            await self._channel.start_tls(self._service.authority.context(self._name))
            self._dialogue.tls_started()

    async def _befall(self, struck: Struck) -> None:
        """Do what the strike does; returns where the connection goes on after it."""
        match struck.strike.does:
            case Does.HOLD:
                await self._hold(struck.healed)
            case Does.WAIT:
                await trio.sleep(struck.strike.wait_s)
            case Does.SILENCE:
                while await self._channel.receive():
                    pass
                raise _Over
            case Does.DEAF:
                await self._hold(trio.Event())
            case Does.CLOSE:
                await self._channel.finish()
                raise _Over
            case Does.RESET:
                self._channel.reset()
                raise _Over

    async def _hold(self, until: trio.Event) -> None:
        """Wait, reading nothing: what the client sends meanwhile fills the window."""
        while not until.is_set():
            if self._channel.abandoned:
                raise _Over
            with trio.move_on_after(_LOOK_S):
                await until.wait()
