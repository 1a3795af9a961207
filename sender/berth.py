"""One session's place in a lane, from the decision to open it until it has left.

1. `run` waits for a place in the process and for the connection pace, then opens the session.
2. `_use` alternates: wait until there is something to send (`_more`), send as long as there is (`pump`).
3. `_take` hands out the next message, if pace, limits and pause permit; `_finished` reads what came of it. In between,
   `_intend` is the last word before an end of data: only what is still ours to send, and in the journal, goes out.
4. The session leaves when it has sent its share, was idle too long, is asked to (`ending`), or when its place in the process
   is wanted and it has nothing to do.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

import trio

from sender.backlog import Backlog, Held, held_of
from sender.campaigns import Campaign
from sender.errors import TransportKind
from sender.model import Destination, LaneId, Outcome, Reply, Result, Scope, Source, Step, Transaction, Verdict
from sender.net.pool import Seat
from sender.net.session import Failure, Session
from sender.places import Places
from sender.policy.receivers import Profile
from sender.policy.rules import in_shadow
from sender.policy.stops import Stops
from sender.policy.throttle import Throttle
from sender.policy.verdict import judge_failure, judge_result
from sender.preparation import Preparer
from sender.queue.journaling import NO_JOURNAL, Journaling
from sender.record import Recorder
from sender.settling import Settler
from sender.withdrawal import Withdrawn, Withdraws

_ABOUT_ONE = (Scope.RECIPIENT, Scope.MESSAGE)
_PATIENCE_S = 30.0  # for a session to open while others have no place to open theirs; as long as a connect may take
_GAVE_WAY = f"no session after {_PATIENCE_S:.0f} s or more, and all places of the process are wanted"
_NOT_NOW = Withdrawn(state=None, why="the journal can't be written, or the lease may have passed on")


class Sessions(Protocol):
    """What the metrics must offer."""

    def session_opened(self, source: str, receiver: str, tls: str) -> None: ...
    def session_closed(self, source: str, receiver: str) -> None: ...
    def session_failed(self, receiver: str, kind: str) -> None: ...
    def turned_away(self, receiver: str, outcome: Outcome) -> None: ...
    def shadowed(self, receiver: str, would: Outcome) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewServices:
    """What all crews of a process share."""

    connect: Callable[[Source, Destination, Profile], Awaitable[Session | Failure]]
    preparer: Preparer
    recorder: Recorder
    settler: Settler
    metrics: Sessions
    label: Callable[[str], str]  # what metrics call a receiver
    rng: Random
    places: Places  # sessions of the whole process
    stops: Stops
    alive: Callable[[], bool] = lambda: True  # whether what is leased still belongs to this process
    withdrawn: Withdraws = lambda held: None  # why an envelope must not be sent any more
    journal: Journaling = NO_JOURNAL
    on_actions: Callable[[Outcome, LaneId, str, str], None] = lambda outcome, lane, domain, reason: None  # beyond the lane
    waits_scale: float = 1.0  # multiplies every pause
    look_s: float = 1.0  # how often a session that must not send looks whether it may again
    on_trouble: Callable[[str], None] = lambda text: None

    def may_send(self) -> bool:
        """Whether what is leased may be sent now: it is still ours, and what comes of it can be written down."""
        return self.journal.healthy and self.alive()


class Deck(Protocol):
    """What a berth needs of its crew."""

    source: Source
    throttle: Throttle
    services: CrewServices
    label: str  # what metrics call the receiver
    draining: bool

    def prepare_more(self, backlog: Backlog) -> None: ...
    def learn(self, outcome: Outcome, reason: str, campaign: Campaign) -> None: ...
    def staff(self) -> None: ...
    def changed(self) -> None: ...
    def conclude(
        self,
        held: Held,
        outcome: Outcome,
        *,
        step: Step,
        reply: Reply | None = None,
        why: str = "",
        mx: str = "",
        seconds: float = 0.0,
    ) -> None: ...
    def withhold(self, held: Held, withdrawn: Withdrawn) -> None: ...


class Berth:
    """One session of a lane, for one destination."""

    def __init__(self, deck: Deck, backlog: Backlog) -> None:
        self.backlog, self._deck = backlog, deck
        self.session: Session | None = None  # None while it is being opened
        self.ending = False  # it takes nothing more
        self._busy = False
        self._since = trio.current_time()  # busy, or idle
        self._delivered = 0
        self._opening = trio.CancelScope()

    def seat(self, number: int) -> Seat | None:
        """The session as the pool sees it; None while it is being opened, and once it is on its way out."""
        if self.session is None or (self.ending and not self._busy):
            return None
        return Seat(
            id=number,
            destination=self.backlog.destination.key,
            busy=self._busy,
            messages=self.session.messages,
            opened_at=self.session.opened_at,
            since=self._since,
            ending=self.ending,
        )

    def drain(self) -> None:
        """Open nothing any more; what is open leaves once what it has begun is through."""
        self._opening.cancel()

    async def run(self) -> None:
        """From opening to leaving."""
        async with self._deck.services.places.place():
            opened = await self._open()
            if isinstance(opened, Failure):
                self._turned_away(opened)
            elif opened is not None:
                self.session = opened
                await self._use(opened)

    async def _open(self) -> Session | Failure | None:
        """A new session, when its turn has come; None where none is wanted any more by then."""
        deck = self._deck
        with self._opening:
            if not deck.draining:
                await self._connection_pace()
            paused = deck.throttle.paused(trio.current_time()) or not deck.services.may_send()
            if self.backlog.waiting and not deck.draining and not paused:
                return await self._connect()
        return None

    async def _connect(self) -> Session | Failure:
        """A new session. A receiver that says nothing for minutes may hold its place as long as nobody else wants it."""
        deck, backlog = self._deck, self.backlog
        outcome: Session | Failure = Failure(step=Step.CONNECT, kind=TransportKind.TIMEOUT, error=_GAVE_WAY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._give_way, nursery.cancel_scope)
            outcome = await deck.services.connect(deck.source, backlog.destination, backlog.profile)
            nursery.cancel_scope.cancel()
        return outcome

    async def _give_way(self, opening: trio.CancelScope) -> None:
        await trio.sleep(_PATIENCE_S)
        await self._deck.services.places.wanted()
        opening.cancel()

    async def _connection_pace(self) -> None:
        now, throttle = trio.current_time(), self._deck.throttle
        due = throttle.next_connection_at(now)
        throttle.take_connection(now)
        if due > now:
            await trio.sleep_until(due)

    async def _use(self, session: Session) -> None:
        deck = self._deck
        self.backlog.open += 1
        deck.services.metrics.session_opened(deck.source.name, deck.label, session.tls_version)
        try:
            deck.prepare_more(self.backlog)
            while await self._more(session):
                self._turn(busy=True)
                await session.pump(lambda: self._take(session), lambda result: self._finished(session, result), self._intend)
                self._turn(busy=False)
        finally:
            self.backlog.open -= 1
            self.backlog.offer()  # what it may have been woken for
            deck.services.metrics.session_closed(deck.source.name, deck.label)
            if session.failure is not None:
                deck.services.metrics.session_failed(deck.label, _kind(session.failure))
            with trio.CancelScope(shield=True):
                await session.aclose()

    def _turn(self, *, busy: bool) -> None:
        self._busy, self._since = busy, trio.current_time()

    def _stays(self, session: Session, now: float) -> bool:
        """Whether this session may take one more message."""
        if self._deck.draining or self.ending or session.closed:
            return False
        limit = self._deck.throttle.messages_per_connection(now)
        return session.taken < min(limit, self.backlog.limits.messages_per_connection)

    async def _more(self, session: Session) -> bool:
        """Wait until this session has something to send; False where it should leave instead."""
        backlog, deck = self.backlog, self._deck
        deadline = trio.current_time() + backlog.limits.idle_s
        while self._stays(session, now := trio.current_time()):
            if backlog.ready and deck.services.may_send():
                due = deck.throttle.next_message_at(now)
                if due <= now:
                    if len(backlog.ready) > 1:
                        backlog.offer()  # who waits for the pace next
                    return session.usable_now()
                deadline = due + backlog.limits.idle_s  # held back is not idle
                await backlog.wait_paced(due, deadline)
                continue
            if now >= deadline:
                return False
            places = deck.services.places
            if places.waiting:
                if not backlog.waiting:
                    return False  # the process has no place left for a session that has work
                places.call_idle()  # this one has some: another must leave
            with (
                trio.move_on_at(min(deadline, now + deck.services.look_s) if backlog.ready else deadline),
                places.idling(backlog.changed),
            ):
                await backlog.wait_changed()
        return False

    def _take(self, session: Session) -> Transaction | None:
        """The next message for this session, or None: nothing ready, or nothing permitted now."""
        backlog, throttle = self.backlog, self._deck.throttle
        now = trio.current_time()
        if not backlog.ready or not self._stays(session, now) or not self._deck.services.may_send():
            return None
        if throttle.next_message_at(now) > now:
            return None
        transaction = self._next()
        if transaction is not None:
            throttle.take_message(now)
            backlog.since = now
        self._deck.prepare_more(backlog)
        return transaction

    def _next(self) -> Transaction | None:
        """The next ready message that may still be sent; the others end, or go back, here."""
        backlog, withdrawn = self.backlog, self._deck.services.withdrawn
        while backlog.ready:
            transaction = backlog.ready.popleft()
            reason = withdrawn(held_of(transaction))
            if reason is None:
                return transaction
            self._withhold(held_of(transaction), reason)
        return None

    def _intend(self, ending: Sequence[Transaction]) -> bool:
        """Whether the end of data of these may go out now: asked at the last moment, and written down before it goes.

        The journal goes before the last look at the lease: whoever takes that over finds there what we are about to do.
        """
        services = self._deck.services
        several = [held_of(transaction) for transaction in ending]
        for held in several:
            if services.withdrawn(held) is not None:
                return False
        return services.journal.intent([(held.ticket.id, held.position) for held in several]) and services.alive()

    def _withhold(self, held: Held, reason: Withdrawn) -> None:
        self._deck.withhold(held, reason)
        if not self.backlog.held:
            self._deck.changed()

    def _finished(self, session: Session, result: Result) -> None:
        held = held_of(result.transaction)
        if result.withheld:
            self._withhold(held, self._deck.services.withdrawn(held) or _NOT_NOW)
            return
        deck, outcome = self._deck, judge_result(self.backlog.profile, result)
        if outcome.verdict is Verdict.UNSENT and result.reply is None and self._delivered and not deck.draining:
            # the session had worked and was closed under us: another one takes the message, nothing was tried
            deck.services.recorder.not_tried(held)
            self.backlog.ready.append(result.transaction)
            self.backlog.offer()
            return
        delivered = outcome.verdict is Verdict.DELIVERED
        reason = "" if delivered else str(result.reply) if result.reply else result.error
        deck.learn(outcome, reason, held.campaign)
        if outcome.scope in _ABOUT_ONE and result.reply is not None and result.reply.code == 421:
            deck.throttle.closed(outcome, trio.current_time(), reason)
        deck.conclude(
            held,
            outcome,
            step=result.step,
            reply=result.reply,
            why=result.error,
            mx=session.peer.host,
            seconds=result.seconds,
        )
        if delivered:
            self._delivered += 1
        else:
            deck.staff()  # the window may have shrunk
        if not self.backlog.held:
            deck.changed()

    def _turned_away(self, failure: Failure) -> None:
        """A session could not be opened: the lane learns from it, and what waited for it pays or waits, as the outcome says.

        Where all goes on with other sessions, or the pause gives it back, one envelope carries a receiver's words to the lane's
        statistics: what is said at the door is about the source, and nobody else would tell of it.
        """
        deck, backlog = self._deck, self.backlog
        outcome = judge_failure(backlog.profile, failure.step, reply=failure.reply, kind=failure.kind)
        deck.services.metrics.session_failed(deck.label, _kind(failure))
        deck.throttle.after(outcome, trio.current_time(), str(failure.reply) if failure.reply else failure.error)
        if outcome.shadow is not None:
            deck.services.metrics.shadowed(deck.label, outcome.shadow)
            deck.services.on_trouble(f"{deck.label}: {in_shadow(outcome.shadow)}: {failure.reply}")
            outcome = replace(outcome, shadow=None)  # told once, not for each message that waited
        untried = outcome.verdict is Verdict.UNSENT
        spoken = untried and failure.reply is not None
        if spoken:
            deck.services.metrics.turned_away(deck.label, outcome)
        if backlog.sessions > 1 or (untried and deck.throttle.paused(trio.current_time())):
            concerned = backlog.one() if spoken else []
        else:
            concerned = backlog.drain()
        for held in concerned:
            deck.conclude(held, outcome, step=failure.step, reply=failure.reply, why=failure.error, mx=failure.host)


def _kind(failure: Failure) -> str:
    """What the metrics call this failure."""
    if failure.reply is not None:
        return "reply"
    return str(failure.kind) if failure.kind is not None else "protocol"
