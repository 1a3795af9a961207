"""The way between a session and an emulated receiver, without a network: octets in memory, a round trip between them.

The receiver's side is the emulator's real dialogue, called as octets are written; the sender's side is a `Stream` like any
other. Mail travels in clear: a handshake would tell nothing about volume, and cost more than all the rest.
"""

import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import trio

from sender.errors import ResolutionError, TransportError, TransportKind
from sender.model import Destination, MxHost, Source, Step
from sender.net.stream import Stream
from workers.emulator.dialogue import Dialogue, Message
from workers.emulator.internet import Internet
from workers.emulator.visit import Visit
from workers.emulator.world import World


class Wire(Stream):
    """One connection. What is written reaches the receiver at once; its answer is there a round trip later."""

    def __init__(self, visit: Visit, clock: Callable[[], float], rtt_s: float, *, peer: str) -> None:
        self._visit, self._dialogue, self._clock, self._rtt_s = visit, Dialogue(visit), clock, rtt_s
        self._inbound: deque[tuple[float, bytes]] = deque()  # when it arrives, trio's time, and what
        self.closed = False
        self.peer, self.step = peer, Step.CONNECT
        self.tls_version, self.cipher, self.resumed = "", "", False
        self._dialogue.open(clock())
        self._answer(0.0)

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        return None

    def send_nowait(self, data: memoryview) -> int:
        if self._dialogue.closing:
            return len(data)  # nobody reads it any more
        events = self._dialogue.receive(bytes(data), self._clock())
        self._answer(self._visit.behaviour.reply_s * sum(isinstance(event, Message) for event in events))
        return len(data)

    def _answer(self, after_s: float) -> None:
        output = self._dialogue.take_output()
        if output:
            self._inbound.append((trio.current_time() + self._rtt_s + after_s, output))

    def receive_nowait(self) -> bytes | None:
        if self._inbound:
            return self._inbound.popleft()[1] if self._inbound[0][0] <= trio.current_time() else None
        return b"" if self._dialogue.closing else None

    async def receive_some(self) -> bytes:
        await self.wait_readable()
        return self._inbound.popleft()[1] if self._inbound else b""

    async def wait_readable(self) -> None:
        if self._inbound:
            await trio.sleep_until(self._inbound[0][0])
        elif self._dialogue.closing:
            await trio.lowlevel.checkpoint()
        else:
            await trio.sleep_forever()  # the receiver speaks only when spoken to

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_either(self) -> None:
        await trio.lowlevel.checkpoint()

    async def start_tls(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None = None) -> None:
        await trio.lowlevel.checkpoint()
        raise TransportError(Step.TLS, TransportKind.TLS, "simulated connections are in clear")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._visit.leave()


def seen_from(source: Source) -> str:
    """What the receivers see of a source: its address, or its name where the system chooses one."""
    return source.address or source.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """The dialer of a simulation: every address is an emulated host's."""

    internet: Internet
    hosts: Mapping[str, str]  # the name of the host at each address
    clock: Callable[[], float]  # Unix seconds, virtual ones
    rtt_s: float

    async def connect(self, source: Source, address: str, within_s: float) -> Stream:
        """A connection, one round trip later."""
        await trio.sleep(self.rtt_s)
        visit = self.internet.visit(self.hosts[address], seen_from(source))
        return Wire(visit, self.clock, self.rtt_s, peer=address)


class Directory:
    """The names of an emulated world, without questions to anybody."""

    def __init__(self, world: World) -> None:
        hosts = [host for receiver in world.receivers for host in receiver.hosts]
        self._addresses = {host.name: host.address for host in hosts}
        self.hosts: Mapping[str, str] = {host.address: host.name for host in hosts}
        self._destinations = {
            domain: Destination(
                hosts=tuple(
                    MxHost(name=host.name, preference=host.preference)
                    for host in sorted(receiver.hosts, key=lambda host: (host.preference, host.name))
                )
            )
            for receiver in world.receivers
            for domain in receiver.domains
        }

    def destination_nowait(self, domain: str) -> Destination | None:
        return self._destinations.get(domain)

    async def destination(self, domain: str) -> Destination:
        await trio.lowlevel.checkpoint()
        raise ResolutionError(domain, "nobody in the simulated world has it", permanent=True)

    async def addresses(self, host: str, bound_to: str = "") -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return (self._addresses[host],)
