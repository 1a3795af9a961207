"""A lane's sessions and what they are to send: opens as many as the window allows, keeps them busy, lets them go.

1. `take_on` puts envelopes into the backlog of their destination; `staff` opens sessions where work waits.
2. A session that is open gets its next messages prepared: a few more than it can send, so that signing never stops it.
3. `_take` hands a session its next message, if pace, limits and pause permit; `_conclude_result` reads what came of it.
4. A session leaves when it has sent its share, when it was idle too long, when the window has shrunk, or when another
   destination waits and this one does not.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

import trio

from sender.backlog import Backlog, Held
from sender.errors import SigningError
from sender.model import Destination, LaneId, Outcome, Reply, Result, Scope, Source, Step, Transaction, Verdict
from sender.net.session import Failure, Session
from sender.policy.receivers import Profile
from sender.policy.throttle import Throttle
from sender.policy.verdict import judge_failure, judge_result
from sender.preparation import Preparer
from sender.record import Recorder
from sender.settling import Settler

_BATCH = 8  # messages that are prepared and signed together
_PER_SESSION = 4  # waiting envelopes that are worth one more session
_UNSIGNED = Outcome(verdict=Verdict.UNSENT, scope=Scope.CONFIG, rule="no-signature", pause_s=5.0)


class Sessions(Protocol):
    """What the metrics must offer."""

    def session_opened(self, source: str, receiver: str, tls: str) -> None: ...
    def session_closed(self, source: str, receiver: str) -> None: ...
    def session_failed(self, receiver: str, kind: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewServices:
    """What all crews of a process share."""

    connect: Callable[[Source, Destination, Profile], Awaitable[Session | Failure]]
    preparer: Preparer
    recorder: Recorder
    settler: Settler
    metrics: Sessions
    label: Callable[[str], str]  # what metrics call a receiver
    clock: Callable[[], float]
    rng: Random
    slots: trio.CapacityLimiter  # sessions of the whole process
    waits_scale: float = 1.0  # multiplies every pause
    on_trouble: Callable[[str], None] = lambda text: None


class Crew:
    """The sessions of one lane."""

    def __init__(
        self,
        lane: LaneId,
        source: Source,
        profile: Profile,
        throttle: Throttle,
        services: CrewServices,
        on_change: Callable[[], None],
    ) -> None:
        self._lane, self._source, self._profile, self._throttle = lane, source, profile, throttle
        self._services, self._on_change, self._clock = services, on_change, services.clock
        self._label = services.label(lane.receiver)
        self._backlogs: dict[str, Backlog] = {}
        self._nursery: trio.Nursery | None = None
        self._sessions = 0
        self._draining = False
        self.holding = 0  # leased and not yet settled, by this lane

    @property
    def sessions(self) -> int:
        """Sessions open or being opened."""
        return self._sessions

    @property
    def idle(self) -> bool:
        """Nothing leased and nobody connected."""
        return not self.holding and not self._sessions

    def join(self, nursery: trio.Nursery) -> None:
        """Sessions live in this nursery."""
        self._nursery = nursery

    def drain(self) -> None:
        """Take no more from the backlogs; sessions leave once what they have begun is through."""
        self._draining = True
        self._wake_all()

    def take_on(self, destination: Destination, several: Sequence[Held]) -> None:
        """These envelopes go to this destination."""
        backlog = self._backlogs.get(destination.key)
        if backlog is None:
            backlog = self._backlogs[destination.key] = Backlog(destination)
        backlog.held.extend(several)
        if backlog.open:
            self._prepare_more(backlog)
        self.staff()

    def release(self) -> None:
        """Give back everything that no session has taken."""
        for key, backlog in list(self._backlogs.items()):
            for held in backlog.drain():
                self.holding -= 1
                self._services.recorder.release(held)
            if not backlog.sessions and not backlog.waiting:
                del self._backlogs[key]

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
    ) -> None:
        """An attempt of this lane came to this outcome."""
        self.holding -= 1
        self._services.recorder.attempt(self._lane, held, outcome, step=step, reply=reply, why=why, mx=mx, seconds=seconds)

    def staff(self) -> None:
        """Open sessions where work waits, as far as the window goes: first where there is none at all."""
        if self._draining or self._nursery is None:
            return
        room = self._throttle.connections(self._clock()) - self._sessions
        wanting = [backlog for backlog in self._backlogs.values() if backlog.waiting > backlog.sessions * _PER_SESSION]
        if room <= 0:
            if any(not backlog.sessions for backlog in wanting):
                self._wake_all()  # an idle session elsewhere sees it and makes room
            return
        for backlog in sorted(wanting, key=lambda backlog: backlog.sessions)[:room]:
            backlog.sessions += 1
            self._sessions += 1
            self._nursery.start_soon(self._session, backlog)

    async def _session(self, backlog: Backlog) -> None:
        """One session from its opening to its end."""
        try:
            async with self._services.slots:
                await self._connection_pace()
                opened = await self._services.connect(self._source, backlog.destination, self._profile)
                if isinstance(opened, Failure):
                    self._turned_away(backlog, opened)
                else:
                    await self._use(opened, backlog)
        finally:
            backlog.sessions -= 1
            self._sessions -= 1
            if not backlog.sessions and not backlog.waiting:
                self._backlogs.pop(backlog.destination.key, None)
            self._on_change()

    async def _connection_pace(self) -> None:
        now = self._clock()
        wait_s = self._throttle.next_connection_at(now) - now
        self._throttle.pace.take_connection(now)
        if wait_s > 0:
            await trio.sleep(wait_s)

    async def _use(self, session: Session, backlog: Backlog) -> None:
        backlog.open += 1
        self._services.metrics.session_opened(self._source.name, self._label, session.tls_version)
        try:
            self._prepare_more(backlog)
            while self._stays(session):
                await session.pump(partial(self._take, session, backlog), partial(self._finished, session, backlog))
                if session.closed or not await self._more(session, backlog):
                    break
        finally:
            backlog.open -= 1
            self._services.metrics.session_closed(self._source.name, self._label)
            if session.failure is not None:
                self._services.metrics.session_failed(self._label, _kind(session.failure))
            with trio.CancelScope(shield=True):
                await session.aclose()

    def _stays(self, session: Session) -> bool:
        now = self._clock()
        return (
            not self._draining
            and session.taken < self._throttle.messages_per_connection(now)
            and self._sessions <= self._throttle.connections(now)
        )

    async def _more(self, session: Session, backlog: Backlog) -> bool:
        """Wait until this session has something to send; False where it should leave instead."""
        deadline = trio.current_time() + self._profile.limits.idle_s
        while self._stays(session):
            now = self._clock()
            if backlog.ready:
                wait_s = self._throttle.next_message_at(now) - now
                if wait_s <= 0:
                    return session.usable_now()
                await trio.sleep(wait_s)
                continue
            if trio.current_time() >= deadline or (not backlog.waiting and self._wanted_elsewhere()):
                return False
            with trio.move_on_at(deadline):
                await backlog.wait_changed()
        return False

    def _wanted_elsewhere(self) -> bool:
        return any(backlog.waiting and not backlog.sessions for backlog in self._backlogs.values())

    def _take(self, session: Session, backlog: Backlog) -> Transaction | None:
        """The next message for this session, or None: nothing ready, or nothing permitted now."""
        if not backlog.ready:
            return None
        now = self._clock()
        if not self._stays(session) or self._throttle.next_message_at(now) > now:
            return None
        self._throttle.pace.take_message(now)
        transaction = backlog.ready.popleft()
        self._prepare_more(backlog)
        return transaction

    def _finished(self, session: Session, backlog: Backlog, result: Result) -> None:
        held = result.transaction.tag
        assert isinstance(held, Held)
        outcome = judge_result(self._profile, result)
        now = self._clock()
        if outcome.verdict is Verdict.UNSENT and session.messages and not self._draining:
            # the session had worked and was closed under us: another one takes the message, nothing was tried
            backlog.ready.append(result.transaction)
            return
        self._throttle.after(outcome, now, str(result.reply) if result.reply else result.error)
        self.conclude(
            held,
            outcome,
            step=result.step,
            reply=result.reply,
            why=result.error,
            mx=session.peer.host,
            seconds=result.seconds,
        )
        if not backlog.held:
            self._on_change()

    def _turned_away(self, backlog: Backlog, failure: Failure) -> None:
        """A session could not be opened: the lane learns from it, and what waited for it pays or waits, as the outcome says."""
        outcome = judge_failure(self._profile, failure.step, reply=failure.reply, kind=failure.kind)
        reason = str(failure.reply) if failure.reply else failure.error
        self._services.metrics.session_failed(self._label, _kind(failure))
        self._throttle.after(outcome, self._clock(), reason)
        if backlog.sessions > 1 or self._throttle.paused(self._clock()):
            return  # other sessions go on with it, or the pause gives it back
        for held in backlog.drain():
            self.conclude(held, outcome, step=failure.step, reply=failure.reply, why=failure.error, mx=failure.host)

    def _prepare_more(self, backlog: Backlog) -> None:
        """Keep a few messages ready for every open session, no more: only what is about to go is composed."""
        target = _BATCH + 2 * backlog.open
        while backlog.held and len(backlog.ready) + backlog.preparing < target and self._nursery is not None:
            self._nursery.start_soon(self._prepare, backlog, backlog.batch(_BATCH))

    async def _prepare(self, backlog: Backlog, batch: Sequence[Held]) -> None:
        try:
            transactions, unusable = await self._services.preparer.prepare(batch)
        except SigningError as error:
            self._services.on_trouble(str(error))
            for held in batch:
                self.conclude(held, _UNSIGNED, step=Step.CONNECT, why=str(error))
            backlog.prepared(len(batch), [])
            return
        for item in unusable:
            self.holding -= 1
            self._services.recorder.unusable(self._lane, item.held, item.why)
        backlog.prepared(len(batch), transactions)

    def _wake_all(self) -> None:
        for backlog in self._backlogs.values():
            backlog.changed()

    def __repr__(self) -> str:
        return f"<Crew of {self._lane}: {self._sessions} sessions, {self.holding} held>"


def _kind(failure: Failure) -> str:
    """What the metrics call this failure."""
    if failure.reply is not None:
        return "reply"
    return str(failure.kind) if failure.kind is not None else "protocol"
