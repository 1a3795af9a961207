"""The doors of the world's hosts: a listening socket each, which can be shut and opened again while the world runs."""

import errno
import socket
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase

import trio

from workers.emulator.channel import Channel, accept, listen

_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BREATH_S = 0.1

Serve = Callable[[str, Channel], Awaitable[None]]  # one connection to the host of that name


class Doors:
    """Where connections come in, by host name. Who knocks at a shut door is refused by the system; who is inside stays."""

    def __init__(self, listeners: Mapping[str, socket.socket], serve: Serve) -> None:
        """Takes the listeners over: they are closed when `run` ends."""
        self._listeners, self._serve = dict(listeners), serve
        self._places = {host: listener.getsockname() for host, listener in listeners.items()}
        self._nursery: trio.Nursery | None = None
        self.inside = 0  # connections that are open

    def __repr__(self) -> str:
        return f"<Doors {len(self._listeners)} of {len(self._places)} open>"

    async def run(self) -> None:
        """Let everybody in until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                for host in self._listeners:
                    self._nursery.start_soon(self._attend, host)
                await trio.sleep_forever()
        finally:
            for listener in self._listeners.values():
                listener.close()

    def shut(self, hosts: str) -> None:
        """Refuse connections to the hosts that this pattern names."""
        for host in [host for host in self._listeners if fnmatchcase(host, hosts)]:
            listener = self._listeners.pop(host)
            trio.lowlevel.notify_closing(listener)
            listener.close()

    def open(self, hosts: str) -> None:
        """Let them in again; OSError where another program has taken the port meanwhile."""
        assert self._nursery is not None, "doors open while they run"
        for host, (address, port) in self._places.items():
            if host not in self._listeners and fnmatchcase(host, hosts):
                self._listeners[host] = listen(address, port)
                self._nursery.start_soon(self._attend, host)

    async def _attend(self, host: str) -> None:
        assert self._nursery is not None
        listener = self._listeners[host]
        while True:
            try:
                channel = await accept(listener)
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno == errno.EBADF:  # shut since
                    return
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                await trio.sleep(_BREATH_S)  # the clients wait in the backlog
            else:
                self._nursery.start_soon(self._receive, host, channel)

    async def _receive(self, host: str, channel: Channel) -> None:
        self.inside += 1
        try:
            await self._serve(host, channel)
        finally:
            self.inside -= 1
