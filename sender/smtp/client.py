"""The client's side of one SMTP session: octets in, events and octets out.

    client = Client(ClientOptions(ehlo="out.example", tls=TlsPolicy.REQUIRED))
    events = client.receive(octets)       # greeting, EHLO, STARTTLS, results
    ended_early = client.send(transaction)  # while client.wants > 0
    octets = client.data_to_send()        # one write group; take it before every wait

The rules of the replies stand in `dialogue`, those of the transactions in `pipeline`. Of the session:

- The order is greeting, EHLO (HELO where it is refused), STARTTLS, EHLO again, transactions, QUIT.
- Octets behind the 220 of STARTTLS were written by somebody in the middle: an error. What was learnt in clear is forgotten.
- Where TLS is required, nothing goes out in clear beyond EHLO and STARTTLS. Where it is opportunistic, a refusal of
  STARTTLS is ignored.
- 421 may come at any time (RFC 5321 section 3.8): it answers what was asked first, and the session is over.
- QUIT is never pipelined behind an end of data: its reply could be taken for that of the message.
- Every transaction taken ends in exactly one Result, whatever the receiver does.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from sender.errors import LocalProtocolError, RemoteProtocolError
from sender.model import Pipelining, Reply, Result, Step, TlsPolicy, Transaction
from sender.smtp import command
from sender.smtp.capability import Capabilities
from sender.smtp.dialogue import Dialogue
from sender.smtp.event import Event, Finished, Goodbye, Greeted, NoTls, Ready, StartTls, TurnedAway
from sender.smtp.pipeline import Limits, Pipeline
from sender.smtp.reply import ReplyError, ReplyParser


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What one session is to do: who we say we are, whether TLS is asked for, and how much may be pipelined."""

    ehlo: str
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    pipelining: Pipelining = Pipelining.GROUP
    bdat: bool = True  # in chain mode, where CHUNKING is offered
    limits: Limits = field(default_factory=Limits)


class _Phase(Enum):
    OPENING = auto()  # up to Ready
    HANDSHAKE = auto()  # the caller has the connection
    READY = auto()
    QUITTING = auto()
    OVER = auto()  # refused by the receiver, or by us for want of TLS: only QUIT is left
    BROKEN = auto()  # a reply out of place or out of form
    CLOSED = auto()


_LISTENING = (_Phase.READY, _Phase.OPENING, _Phase.QUITTING)  # a tuple: looked up by identity, where a set would hash


class Client:
    """One session. Not thread-safe and not to be used again: a new connection takes a new Client."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._parser = ReplyParser()
        self._dialogue = Dialogue()
        self._dialogue.expect_greeting()
        self._phase = _Phase.OPENING
        self._encrypted = False
        self._helo = False  # EHLO was refused
        self._undelivered: list[Result] = []  # decided by replies ahead of the one that broke the session
        self.capabilities = Capabilities()
        self._pipeline = self._new_pipeline()

    def __repr__(self) -> str:
        tls = " over TLS" if self._encrypted else ""
        return f"<Client {self._options.ehlo}{tls}: {self._phase.name.lower()}, at {self.step}, {self._pipeline.count} open>"

    @property
    def step(self) -> Step:
        """The step whose reply is due next, which sets the deadline; TLS during the handshake, MAIL when idle."""
        if self._phase is _Phase.HANDSHAKE:
            return Step.TLS
        return Step.QUIT if self._phase is _Phase.QUITTING else self._dialogue.step or Step.MAIL

    @property
    def ready(self) -> bool:
        """Whether the session can take transactions, now or after what is open."""
        return self._phase is _Phase.READY

    @property
    def idle(self) -> bool:
        """Whether nothing is open and no reply is due."""
        return self._pipeline.idle and self._dialogue.step is None

    @property
    def wants(self) -> int:
        """How many transactions may be handed over now."""
        return self._pipeline.wants if self._phase is _Phase.READY else 0

    @property
    def pipelining(self) -> Pipelining:
        """The way of pipelining in use: what was asked for, or lock-step where PIPELINING is not offered."""
        return self._pipeline.mode

    @property
    def ending(self) -> tuple[Transaction, ...]:
        """The transactions whose end of data goes out with the next `data_to_send`: after it they may be delivered."""
        return tuple(transfer.transaction for transfer in self._dialogue.ending)

    @property
    def answerable(self) -> bool:
        """Whether a reply is due to something that has left us."""
        return self._phase in _LISTENING and self._dialogue.answerable

    def withhold(self) -> None:
        """Hand out nothing more: what is in our hands stays there, and only the replies due are still taken.

        The session can't go on then; once no reply is due, `lost` gives the Results of what was not answered.
        """
        self._dialogue.withhold()

    def receive(self, data: bytes) -> list[Event]:
        """Take octets from the receiver, split in any way.

        Raises RemoteProtocolError for a reply out of place or out of form; the session can't go on then, and `lost` gives
        the Results of all that was open, those just decided first. Once the session is over, what still comes is ignored.
        """
        if self._phase is _Phase.HANDSHAKE:
            raise self._broken(RemoteProtocolError(Step.TLS, "plain text where a TLS handshake is due"), [])
        if self._phase not in _LISTENING:
            return []
        events: list[Event] = []
        self._parser.feed(data)
        try:
            while self._phase in _LISTENING and (reply := self._parser.take()) is not None:
                self._answer(reply, events)
        except ReplyError as error:
            if self._phase is not _Phase.QUITTING:
                raise self._broken(RemoteProtocolError(self.step, str(error)), events) from None
            return self._goodbye()
        except RemoteProtocolError as error:
            raise self._broken(error, events) from None
        return events

    def send(self, transaction: Transaction) -> Result | None:
        """Hand a transaction over; None when it is on its way.

        Returns its Result at once, with nothing written and `reply` and `error` in our own words, when the receiver's
        capabilities rule it out: SMTPUTF8 (553 5.6.7), 8BITMIME (554 5.6.3) or SIZE (552 5.3.4). Raises LocalProtocolError
        when `wants` is 0, for an address that is not one line's worth, and for content with anything but CRLF line ends.
        """
        if self._phase is not _Phase.READY:
            raise LocalProtocolError(f"no transaction can be sent: {self!r}")
        return self._pipeline.send(transaction)

    def data_to_send(self) -> bytes:
        """One write group, empty when there is nothing to write. Content in it is in doubt from here on, if lost."""
        return self._dialogue.output()

    def tls_started(self) -> None:
        """The handshake succeeded: EHLO again, and nothing learnt before counts (RFC 3207 section 4.2)."""
        if self._phase is not _Phase.HANDSHAKE:
            raise LocalProtocolError(f"no TLS handshake is due: {self!r}")
        self._encrypted, self._helo = True, False
        self._parser = ReplyParser()
        self.capabilities = Capabilities()
        self._phase = _Phase.OPENING
        self._dialogue.ask(Step.EHLO, command.ehlo(self._options.ehlo))

    def pipeline(self, mode: Pipelining) -> None:
        """Pipeline this way from the next transaction on: a receiver has earned more, on an idle session."""
        if self._phase is not _Phase.READY or not self.idle:
            raise LocalProtocolError(f"a session changes its way only when idle: {self!r}")
        self._pipeline.change(mode, self._options.limits if self._options.bdat else None)

    def reset(self) -> None:
        """Ask for RSET on an idle session, to see whether it still lives; `idle` again once it was answered."""
        if self._phase is not _Phase.READY or not self.idle:
            raise LocalProtocolError(f"RSET needs an idle session: {self!r}")
        self._pipeline.reset()

    def quit(self) -> None:
        """Ask for QUIT when nothing is open; Goodbye follows whatever the answer is."""
        if self._phase is not _Phase.OVER and not (self._phase is _Phase.READY and self.idle):
            raise LocalProtocolError(f"QUIT needs an idle session: {self!r}")
        self._phase = _Phase.QUITTING
        self._dialogue.ask(Step.QUIT, command.QUIT)

    def lost(self, error: str, *, unsent: int = 0) -> list[Result]:
        """The connection is gone, whoever ended it: the Results of all that was open, in order.

        `unsent` octets at the end of the last write group are known never to have reached the kernel. A reply that had
        been read counts, unless the session broke the protocol. Without one, `error` is set and `step` says how far it got:

        - CONNECT: nothing of it was written; not an attempt.
        - MAIL, RCPT, DATA: a reply was due, no content was sent; at MAIL the receiver never spoke of it, so no attempt either.
        - DOT: the content was on its way; `in_doubt` unless its end is among the unsent octets.
        """
        believe = self._phase is not _Phase.BROKEN
        self._phase = _Phase.CLOSED
        results = self._undelivered + self._pipeline.lost(error, believe=believe, unsent=unsent)
        self._undelivered = []
        self._dialogue.discard()
        return results

    def _new_pipeline(self) -> Pipeline:
        limits = self._options.limits if self._options.bdat else None
        return Pipeline(self._dialogue, self.capabilities, self._options.pipelining, limits)

    def _answer(self, reply: Reply, events: list[Event]) -> None:
        """Match one reply with what it answers."""
        if self._phase is _Phase.QUITTING:
            events.extend(self._goodbye())
            return
        if reply.code == 421:
            self._turned_away(reply, events)
            return
        step, transfer, right = self._dialogue.head(reply)
        if transfer is not None:
            results = self._pipeline.answer(step, transfer, reply, right)
            if results:
                events.extend(map(Finished, results))
        elif step is Step.RSET:
            if not right:
                raise RemoteProtocolError(step, f"refused: {reply}")
            self._dialogue.answered()
            self._pipeline.after_reset()
            return
        else:
            self._opening(step, reply, right, events)
        self._dialogue.answered()

    def _opening(self, step: Step, reply: Reply, right: bool, events: list[Event]) -> None:
        if step is Step.GREETING and right:
            events.append(Greeted(reply))
            self._dialogue.ask(Step.EHLO, command.ehlo(self._options.ehlo))
        elif step is Step.EHLO and right:
            self._introduced(reply, events)
        elif step is Step.STARTTLS:
            self._starttls_answered(reply, right, events)
        elif step is Step.EHLO and reply.code >= 500 and not self._helo:
            self._fall_back(reply, events)
        else:
            self._over(TurnedAway(step, reply), events)

    def _fall_back(self, reply: Reply, events: list[Event]) -> None:
        """EHLO is refused for good: HELO (RFC 5321 section 3.2), but never where TLS is still required."""
        if self._tls_required and not self._encrypted:
            self._over(NoTls(Step.EHLO, reply), events)
            return
        self._helo = True
        self._dialogue.ask(Step.EHLO, command.helo(self._options.ehlo))

    def _introduced(self, reply: Reply, events: list[Event]) -> None:
        self.capabilities = Capabilities() if self._helo else Capabilities.parse(reply)
        if self._encrypted or self._options.tls is TlsPolicy.OFF:
            self._be_ready(events)
        elif self.capabilities.starttls:
            self._dialogue.ask(Step.STARTTLS, command.STARTTLS)
        elif self._tls_required:
            self._over(NoTls(Step.EHLO, reply), events)
        else:
            self._be_ready(events)

    def _starttls_answered(self, reply: Reply, right: bool, events: list[Event]) -> None:
        if right:
            if self._parser.pending:
                raise RemoteProtocolError(
                    Step.STARTTLS, "octets in clear behind the reply: injected, or the receiver is broken"
                )
            self._phase = _Phase.HANDSHAKE
            events.append(StartTls())
        elif self._tls_required:
            self._over(NoTls(Step.STARTTLS, reply), events)
        else:
            self._be_ready(events)

    def _be_ready(self, events: list[Event]) -> None:
        self._phase = _Phase.READY
        self._pipeline = self._new_pipeline()
        events.append(Ready(self.capabilities))

    @property
    def _tls_required(self) -> bool:
        return self._options.tls in (TlsPolicy.REQUIRED, TlsPolicy.VERIFIED)

    def _turned_away(self, reply: Reply, events: list[Event]) -> None:
        """421: it answers what was asked first, if anything was; commands still in our hands stay there."""
        step, transfer, _ = self._dialogue.head(reply) if self._dialogue.answerable else (self.step, None, False)
        events.extend(map(Finished, self._pipeline.turned_away(step, transfer, reply)))
        if self._dialogue.answerable:
            self._dialogue.answered()
        self._over(TurnedAway(step, reply), events)

    def _over(self, event: NoTls | TurnedAway, events: list[Event]) -> None:
        self._phase = _Phase.OVER
        self._dialogue.discard()
        events.append(event)

    def _goodbye(self) -> list[Event]:
        self._phase = _Phase.CLOSED
        return [Goodbye()]

    def _broken(self, error: RemoteProtocolError, events: list[Event]) -> RemoteProtocolError:
        """Nothing more is sent or believed; what earlier replies decided is kept for `lost`."""
        self._phase = _Phase.BROKEN
        self._dialogue.discard()
        self._undelivered += [event.result for event in events if isinstance(event, Finished)]
        return error
