"""How a session comes about: from a destination's hosts to one connection that is ready to take transactions.

1. Hosts go by preference, equal ones in random order (RFC 5321 section 5.1); each host's addresses as resolved, only those
   that the source can reach. At most five connections are tried, and an address that was lately dead is passed over.
2. Connect, greeting, EHLO, TLS as the policy asks, EHLO again.
3. A refusal or a failure moves on to the next address. Broken TLS, where clear text is allowed, is remembered, and the same
   address is tried once more without.
4. Where every address is lately dead, one of them is tried nevertheless: somebody must find out that it is back.

What comes back when all fail is the receiver's last reply, else the last thing that went wrong. A forbidden address is
what comes back only where there was nothing else: a host that is down today is no reason to give its mail up.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import trio

from sender.errors import RemoteProtocolError, ResolutionError, TransportError, TransportKind
from sender.model import Destination, MxHost, Reply, Source, Step, TlsPolicy
from sender.net.conversation import Conversation, Observe
from sender.net.hosts import Hosts
from sender.net.session import Failure, Peer, Session, SessionOptions
from sender.net.stream import Stream
from sender.net.tls import TlsContexts
from sender.smtp.client import Client, ClientOptions
from sender.smtp.event import Event, NoTls, Ready, StartTls, TurnedAway

_MAX_CONNECTS = 5  # Postfix's smtp_mx_address_limit: a thousand MX records are no reason for a thousand connections
_OURS = frozenset({TransportKind.RESOURCES, TransportKind.FORBIDDEN})  # failures that say nothing about the receiver


def _unobserved(step: Step, seconds: float) -> None:
    """Nobody counts."""


class FindsAddresses(Protocol):
    async def addresses(self, host: str, bound_to: str = "") -> Sequence[str]: ...


class Dials(Protocol):
    async def connect(self, source: Source, address: str, within_s: float) -> Stream: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What every session of a process shares."""

    resolver: FindsAddresses
    dialer: Dials
    hosts: Hosts
    tls: TlsContexts
    rng: Random
    observe: Observe = _unobserved  # told the step and the seconds of each wait for the receiver


async def open_session(
    network: Network, source: Source, destination: Destination, options: SessionOptions
) -> Session | Failure:
    """Connect a source to a destination; never raises for what the network or the receiver does."""
    if not destination.hosts:
        await trio.lowlevel.checkpoint()
        return Failure(step=Step.CONNECT, error="the domain takes no mail (null MX)")
    return await _Opening(network=network, source=source, destination=destination, options=options).run()


def in_order(destination: Destination, rng: Random) -> list[MxHost]:
    """The hosts by preference, equal ones shuffled."""
    return sorted(destination.hosts, key=lambda host: (host.preference, rng.random()))


@dataclass(slots=True, kw_only=True)
class _Opening:
    network: Network
    source: Source
    destination: Destination
    options: SessionOptions
    connects: int = 0
    forbidden: int = 0  # of these connects: refused by ourselves, so that nobody has been asked
    dead: list[tuple[str, str]] = field(default_factory=list)  # host, address: passed over
    failure: Failure | None = None

    async def run(self) -> Session | Failure:
        async with aclosing(self._candidates()) as candidates:
            async for host, address in candidates:
                if self._is_dead(address):
                    self.dead.append((host, address))
                elif (session := await self._attempt(host, address)) is not None:
                    return session
                if self.connects >= _MAX_CONNECTS or self._is_hopeless():
                    break
        if self.connects == self.forbidden and self.dead and (session := await self._attempt(*self.dead[0])) is not None:
            return session
        return self.failure or Failure(step=Step.CONNECT, kind=TransportKind.UNREACHABLE, error="no address to try")

    async def _candidates(self) -> AsyncGenerator[tuple[str, str], None]:
        for host in in_order(self.destination, self.network.rng):
            try:
                addresses = await self.network.resolver.addresses(host.name, self.source.address)
            except ResolutionError as error:
                self._note(Failure(step=Step.CONNECT, kind=TransportKind.UNREACHABLE, error=str(error), host=host.name))
                continue
            for address in addresses:
                yield host.name, address

    async def _attempt(self, host: str, address: str) -> Session | None:
        """One address, with TLS as asked for and, where that is broken and may be left out, without."""
        policy = self._policy(host)
        outcome = await self._connect(host, address, policy)
        if isinstance(outcome, Failure) and policy is TlsPolicy.OPPORTUNISTIC and _is_tls_trouble(outcome):
            self.network.hosts.note_tls_broken(host, trio.current_time())
            outcome = await self._connect(host, address, TlsPolicy.OFF)
        if isinstance(outcome, Session):
            self.network.hosts.note_alive(self.source.address, address)
            return outcome
        if outcome.step in (Step.CONNECT, Step.GREETING) and outcome.kind is not None and outcome.kind not in _OURS:
            self.network.hosts.note_dead(self.source.address, address, trio.current_time())
        self._note(outcome)
        return None

    def _policy(self, host: str) -> TlsPolicy:
        asked = self.options.tls
        broken = asked is TlsPolicy.OPPORTUNISTIC and self.network.hosts.is_tls_broken(host, trio.current_time())
        return TlsPolicy.OFF if broken else asked

    def _is_dead(self, address: str) -> bool:
        return self.network.hosts.is_dead(self.source.address, address, trio.current_time())

    def _is_hopeless(self) -> bool:
        """Out of descriptors or ports: another address would fare no better."""
        return self.failure is not None and self.failure.kind is TransportKind.RESOURCES

    def _note(self, failure: Failure) -> None:
        self.forbidden += failure.kind is TransportKind.FORBIDDEN
        if self.failure is None or _weight(failure) >= _weight(self.failure):
            self.failure = failure

    async def _connect(self, host: str, address: str, policy: TlsPolicy) -> Session | Failure:
        """One connection, up to the point where it takes transactions; closed again where it does not get there."""
        self.connects += 1
        began = trio.current_time()
        try:
            stream = await self.network.dialer.connect(self.source, address, self.options.deadlines[Step.CONNECT])
        except TransportError as error:
            return Failure(step=error.step, kind=error.kind, error=error.detail, host=host, address=address)
        self.network.observe(Step.CONNECT, trio.current_time() - began)
        peer = Peer(source=self.source, host=host, address=address, destination=self.destination.key, tls=policy)
        outcome: Session | Failure | None = None
        try:
            outcome = await self._greet(peer, stream)
        except TransportError as error:
            outcome = Failure(step=error.step, kind=error.kind, error=error.detail, host=host, address=address)
        except RemoteProtocolError as error:
            self.network.hosts.note_anomaly(host, trio.current_time())
            outcome = Failure(step=error.step, error=error.why, host=host, address=address)
        finally:
            if not isinstance(outcome, Session):
                stream.close()
        return outcome

    async def _greet(self, peer: Peer, stream: Stream) -> Session | Failure:
        mode = self.network.hosts.pipelining(peer.host, self.options.pipelining, trio.current_time())
        machine = Client(ClientOptions(ehlo=peer.source.ehlo, tls=peer.tls, pipelining=mode))
        conversation = Conversation(machine, stream, self.options.deadlines, self.options.write_s, self.network.observe)
        outcome: Session | Failure | None = None
        with conversation.timed():
            while outcome is None:
                for event in await conversation.turn():
                    outcome = await self._advance(event, peer, conversation)
        assert outcome is not None
        return outcome

    async def _advance(self, event: Event, peer: Peer, conversation: Conversation) -> Session | Failure | None:
        """What an event on the way to Ready comes to; None where the conversation goes on."""
        hosts, tls = self.network.hosts, self.network.tls
        match event:
            case StartTls():
                session = tls.session(peer.tls, peer.host)
                await conversation.start_tls(tls.context(peer.tls), peer.host, session)
                hosts.note_tls_works(peer.host)
            case Ready():
                tls.remember(peer.tls, peer.host, conversation.stream.tls_session)
                return Session(peer, conversation, hosts, self.options.pipelining)
            case TurnedAway(step=step, reply=reply):
                return Failure(step=step, reply=reply, error=str(reply), host=peer.host, address=peer.address)
            case NoTls(step=step, reply=reply):
                return _no_tls(peer, step, reply)
        return None


def _no_tls(peer: Peer, step: Step, reply: Reply) -> Failure:
    """TLS is asked for and the host won't: a failure of transport, because its 2yz to EHLO is no refusal of mail."""
    what = "refused" if step is Step.STARTTLS else "not offered"
    return Failure(
        step=Step.STARTTLS,
        kind=TransportKind.TLS,
        error=f"starttls-not-supported: {what}: {reply}",
        host=peer.host,
        address=peer.address,
    )


def _weight(failure: Failure) -> int:
    """How much a failure says: words of the receiver most, an address of ours to refuse least."""
    if failure.reply is not None:
        return 2
    return 0 if failure.kind is TransportKind.FORBIDDEN else 1


def _is_tls_trouble(failure: Failure) -> bool:
    return failure.kind is not None and failure.step in (Step.STARTTLS, Step.TLS)
