"""A receiver that follows a script, and its sessions: the far end of lanes, without a network.

It answers each message as the test says and counts the copies it kept, so that the sender's count can be held against it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from sender.model import Destination, Reply, Result, Source, Step, TlsPolicy, Transaction
from sender.net.session import Failure, Peer, Session
from sender.policy.receivers import Profile

OK = Reply(code=250, enhanced="2.0.0", lines=("Ok: queued",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The connection ends instead of a reply."""

    step: Step = Step.DOT
    in_doubt: bool = False


Answer = Callable[[Transaction], Reply | Lost]


def accepts(transaction: Transaction) -> Reply:
    return OK


@dataclass
class Office:
    """A receiver. `turns_away` is asked before each connection, `answer` for each message; each message takes `rtt_s`."""

    answer: Answer = accepts
    turns_away: Callable[[Destination], Failure | None] = lambda destination: None
    rtt_s: float = 0.1
    ahead: int = 1  # transactions a session takes before it waits for the first reply
    per_connection: int = 1_000_000  # messages, then the connection ends without a word
    copies: Counter[str] = field(default_factory=Counter)  # by recipient
    contents: list[bytes] = field(default_factory=list)
    connects: list[float] = field(default_factory=list)  # when each was asked for
    sessions: list["OfficeSession"] = field(default_factory=list)
    peak: int = 0  # sessions open at once

    async def connect(self, source: Source, destination: Destination, profile: Profile) -> Session | Failure:
        self.connects.append(trio.current_time())
        await trio.sleep(self.rtt_s)
        failure = self.turns_away(destination)
        if failure is not None:
            return failure
        session = OfficeSession(self, source, destination)
        self.sessions.append(session)
        self.peak = max(self.peak, self.open)
        return session

    @property
    def open(self) -> int:
        return sum(not session.closed for session in self.sessions)

    @property
    def taken(self) -> list[int]:
        """How many messages each session took, in the order they were opened."""
        return [session.messages for session in self.sessions]


class OfficeSession(Session):
    """A session that an Office plays: keeps what the real one promises, without a connection."""

    def __init__(self, office: Office, source: Source, destination: Destination) -> None:
        host = destination.hosts[0].name
        self.peer = Peer(
            source=source, host=host, address="192.0.2.1", destination=destination.key, tls=TlsPolicy.OPPORTUNISTIC
        )
        self.messages, self.failure = 0, None
        self.opened_at = self.idle_since = trio.current_time()
        self._office, self._is_closed, self._queue = office, False, list[Transaction]()
        self._withheld = False

    def __repr__(self) -> str:
        return f"<OfficeSession {self.messages} messages{', closed' if self._is_closed else ''}>"

    @property
    def closed(self) -> bool:
        return self._is_closed

    @property
    def taken(self) -> int:
        return self.messages + len(self._queue)

    @property
    def tls_version(self) -> str:
        return "TLSv1.3"

    def usable_now(self) -> bool:
        return not self._is_closed

    async def pump(
        self,
        take: Callable[[], Transaction | None],
        done: Callable[[Result], None],
        intend: Callable[[Sequence[Transaction]], bool] = lambda ending: True,
    ) -> None:
        await trio.lowlevel.checkpoint()
        try:
            while not self._is_closed and self._fill(take):
                self._withheld = not intend(self._queue[:1])
                if self._withheld:
                    return
                await trio.sleep(self._office.rtt_s)
                self._turn(done)
        finally:
            if self._queue:
                self._hang_up(done, in_doubt=not self._is_closed and not self._withheld)

    async def aclose(self) -> None:
        """QUIT takes its time as well: until it is over, the receiver counts the connection."""
        try:
            if not self._is_closed:
                await trio.sleep(min(self._office.rtt_s, 5.0))  # as the real one: no longer than this for QUIT
        finally:
            self._is_closed = True

    def _fill(self, take: Callable[[], Transaction | None]) -> bool:
        while len(self._queue) < self._office.ahead and (transaction := take()) is not None:
            self._queue.append(transaction)
        return bool(self._queue)

    def _turn(self, done: Callable[[Result], None]) -> None:
        """The oldest transaction comes to its end."""
        transaction = self._queue[0]
        answer = self._office.answer(transaction)
        if isinstance(answer, Lost):
            self.failure = Failure(step=answer.step, error="lost")
            self._is_closed = True
            if answer.in_doubt:
                self._keep(transaction)
            del self._queue[0]
            done(Result(transaction=transaction, step=answer.step, error="lost", in_doubt=answer.in_doubt))
            return
        del self._queue[0]
        self.messages += 1
        if answer.code < 300:
            self._keep(transaction)
        if self.messages >= self._office.per_connection or answer.code == 421:
            self._is_closed = True
        done(Result(transaction=transaction, step=Step.DOT if answer.code < 300 else Step.RCPT, reply=answer))

    def _keep(self, transaction: Transaction) -> None:
        self._office.copies[transaction.rcpt] += 1
        self._office.contents.append(transaction.content)

    def _hang_up(self, done: Callable[[Result], None], *, in_doubt: bool) -> None:
        """Only the first had its end of data out."""
        self._is_closed = True
        for place, transaction in enumerate(self._queue):
            doubt = in_doubt and place == 0
            step, withheld = Step.DOT if doubt else Step.MAIL, self._withheld
            done(Result(transaction=transaction, step=step, error="lost", in_doubt=doubt, withheld=withheld))
        self._queue.clear()
