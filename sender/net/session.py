"""A session: one SMTP connection of a lane, ready to take transactions, from the first to QUIT.

`pump` is the hot path, in steps:

1. While the machine wants more, take transactions from the caller and hand them over.
2. One turn of the conversation: write what the machine has to say, read what comes back.
3. Report every transaction that has ended. Again, until nothing more is offered and nothing is open.

Before an end of data goes out the caller is asked whether it still may (`intend`). Where it may not, nothing of it is written
and the session ends, once what had its end of data out is answered.

Trouble is a value: a session that failed is `closed`, says why in `failure`, and has reported every transaction it took,
exactly once. A session whose task was cancelled in the middle is closed too: nobody could tell which reply comes next.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio
from msgspec.structs import replace

from sender.errors import LocalProtocolError, RemoteProtocolError, TransportError, TransportKind
from sender.model import Pipelining, Reply, Result, Source, Step, TlsPolicy, Transaction
from sender.net.conversation import Conversation
from sender.net.hosts import Hosts
from sender.smtp.event import Event, Finished, Goodbye, TurnedAway

_SHOWN = 200  # characters of a stranger's words that go into an error


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What a receiver's profile asks of its sessions. `deadlines` has seconds for every Step."""

    deadlines: Mapping[Step, float]
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    pipelining: Pipelining = Pipelining.CHAIN  # the most a host may earn
    write_s: float = 180.0  # RFC 5321 section 4.5.3.2.5: one block of data


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a session could not be opened, or ended: the receiver's reply, or what happened to the connection.

    Neither a reply nor a kind means that the receiver broke the protocol.
    """

    step: Step
    reply: Reply | None = None
    error: str = ""
    kind: TransportKind | None = None
    host: str = ""
    address: str = ""

    def __str__(self) -> str:
        what = str(self.reply) if self.reply is not None else self.error
        where = f"{self.host}[{self.address}]" if self.address else self.host
        return f"{where} {self.step}: {what}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end, and how the session got there."""

    source: Source
    host: str
    address: str
    destination: str  # the Destination's key: sessions are shared by it
    tls: TlsPolicy


class Session:
    """One open session. Used by one task at a time; `open_session` makes them."""

    def __init__(self, peer: Peer, conversation: Conversation, hosts: Hosts, most: Pipelining = Pipelining.CHAIN) -> None:
        """`most` is how far ahead the receiver's profile lets it send, once the host has earned it."""
        self.peer, self._most = peer, most
        self.messages = 0  # transactions that ended here, whatever became of them
        self.opened_at = self.idle_since = trio.current_time()
        self.failure: Failure | None = None
        self._conversation, self._hosts = conversation, hosts
        self._open: dict[int, float] = {}  # what was taken and not reported, by identity: when
        self._withheld = False  # an end of data was not let out: what has none out by now was never sent

    def __repr__(self) -> str:
        stream = self._conversation.stream
        state = f"closed, {self.failure}" if self.failure else "closed" if self.closed else f"{len(self._open)} open"
        where = f"{self.peer.host}[{self.peer.address}] {stream.tls_version or 'clear'}"
        return f"<Session {self.peer.source.name} to {where}, {self.messages} messages, {state}>"

    @property
    def closed(self) -> bool:
        return self._conversation.stream.closed

    @property
    def taken(self) -> int:
        """Transactions taken since it was opened, those under way included: what a limit per connection counts."""
        return self.messages + len(self._open)

    @property
    def tls_version(self) -> str:
        """As `ssl` names it, "TLSv1.3"; "" in clear."""
        return self._conversation.stream.tls_version

    @property
    def cipher(self) -> str:
        return self._conversation.stream.cipher

    @property
    def tls_resumed(self) -> bool:
        """Whether the handshake was short, for a session known from before."""
        return self._conversation.stream.resumed

    def usable_now(self) -> bool:
        """Whether an idle session is as it was left: one that the receiver has closed, or spoken on, is closed here too.

        Ask before each reuse: nothing has been taken yet, so a dead session costs no message a try.
        """
        if self.closed:
            return False
        try:
            data = self._conversation.stream.receive_nowait()
        except TransportError as error:
            self._end(error.step, str(error.detail), kind=error.kind)
            return False
        if data is None:
            return True
        words = ascii(data[:_SHOWN].decode("utf-8", "replace").strip())
        self._end(Step.MAIL, f"closed while idle{': ' + words if data else ''}", kind=TransportKind.CLOSED)
        return False

    async def pump(
        self,
        take: Callable[[], Transaction | None],
        done: Callable[[Result], None],
        intend: Callable[[Sequence[Transaction]], bool] = lambda ending: True,
    ) -> None:
        """Send what `take` yields until it yields None and nothing is open; `done` is told each result, in order.

        `intend` is asked about the transactions whose end of data goes out next, all of them together: True, and from then
        on they may be delivered; False, and none of it is written, the session ends and they are reported as `withheld`.
        None of the three may block. Never raises for what the network or the receiver does; cancelled, it reports what was
        open and closes. `take` is asked again after a None as long as something is open.
        """
        conversation = self._conversation
        try:
            with conversation.timed():
                while not self.closed and self._take(take, done):
                    if not conversation.unsent and (ending := conversation.machine.ending) and not intend(ending):
                        await self._withhold(done)
                    else:
                        self._report(await conversation.turn(), done)
            if conversation.unsent and not self.closed:  # what follows would be taken for the rest of the content
                self._end(Step.DOT, "answered before all was sent", kind=TransportKind.CLOSED)
            await trio.lowlevel.checkpoint()
        except TransportError as error:
            self._end(error.step, error.detail, kind=error.kind)
        except RemoteProtocolError as error:
            self._hosts.note_anomaly(self.peer.host, trio.current_time())
            self._end(error.step, error.why)
        finally:
            if self._open:
                self._drop(done)
            self.idle_since = trio.current_time()

    async def aclose(self) -> None:
        """Say QUIT and wait a moment for the answer, then close; of use only where nothing is open."""
        conversation = self._conversation
        try:
            if not self.closed and conversation.machine.idle:
                conversation.machine.quit()
                with suppress(TransportError, RemoteProtocolError), conversation.timed():
                    while not any(isinstance(event, Goodbye | TurnedAway) for event in await conversation.turn()):
                        pass
        finally:
            conversation.stream.close()

    def _take(self, take: Callable[[], Transaction | None], done: Callable[[Result], None]) -> bool:
        """Hand over what the machine wants and the caller has; whether anything is open then."""
        machine = self._conversation.machine
        if machine.pipelining is Pipelining.GROUP and self._most is Pipelining.CHAIN and machine.idle:
            machine.pipeline(self._hosts.pipelining(self.peer.host, self._most, trio.current_time()))
        while machine.wants > 0 and (transaction := take()) is not None:
            self._open[id(transaction)] = now = trio.current_time()
            try:
                ruled_out = machine.send(transaction)
            except LocalProtocolError as error:  # our bug, and this message's alone: the others must not wait for it
                ruled_out = _unsendable(transaction, error)
            if ruled_out is not None:
                self._finish(ruled_out, done, now)
        return bool(self._open)

    async def _withhold(self, done: Callable[[Result], None]) -> None:
        """Let nothing more out; read the replies to what is out already, and close."""
        self._withheld, machine = True, self._conversation.machine
        machine.withhold()
        while machine.answerable and not self.closed:
            self._report(await self._conversation.turn(), done)
        self._conversation.stream.close()

    def _report(self, events: list[Event], done: Callable[[Result], None]) -> None:
        for event in events:
            match event:
                case Finished(result=result):
                    self._finish(result, done, self._conversation.heard_at)
                case TurnedAway(step=step, reply=reply):
                    self._end(step, str(reply), reply=reply)

    def _finish(self, result: Result, done: Callable[[Result], None], now: float) -> None:
        began = self._open.pop(id(result.transaction))
        self.messages += 1
        if result.reply is not None and result.reply.code < 300:
            self._hosts.note_good(self.peer.host)
        done(replace(result, seconds=now - began))

    def _drop(self, done: Callable[[Result], None]) -> None:
        """Close, and report what was open as lost."""
        why = str(self.failure) if self.failure else "held back" if self._withheld else "cancelled"
        self._conversation.stream.close()
        now = trio.current_time()
        for result in self._conversation.machine.lost(why, unsent=self._conversation.unsent):
            began = self._open.pop(id(result.transaction))
            self.messages += 1
            withheld = self._withheld and result.reply is None and not result.in_doubt
            done(replace(result, seconds=now - began, withheld=withheld))

    def _end(self, step: Step, error: str, *, reply: Reply | None = None, kind: TransportKind | None = None) -> None:
        self.failure = Failure(step=step, reply=reply, error=error, kind=kind, host=self.peer.host, address=self.peer.address)
        self._conversation.stream.close()


def _unsendable(transaction: Transaction, error: LocalProtocolError) -> Result:
    reply = Reply(code=554, enhanced="5.6.0", lines=(str(error),))
    return Result(transaction=transaction, step=Step.MAIL, reply=reply, error=str(error))
