"""A lane's sessions and what they are to send: opens as many as the window allows, keeps them busy, lets them go.

1. `take_on` puts envelopes into the backlog of their destination; `staff` lets the pool decide who opens and who leaves.
2. A session that is open gets its next messages prepared: a few more than it can send, so that signing never stops it.
3. `_take` hands a session its next message, if pace, limits and pause permit; `_conclude_result` reads what came of it.
4. A session leaves when it has sent its share, when it was idle too long, or when the pool wants its place: the window has
   shrunk, or another destination waits.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from random import Random
from typing import Protocol

import trio

from sender.backlog import Backlog, Held
from sender.campaigns import Campaign
from sender.model import (
    Action,
    Category,
    Destination,
    LaneId,
    Outcome,
    Reply,
    Result,
    Scope,
    Source,
    Step,
    Transaction,
    Verdict,
)
from sender.net.pool import PoolLimits, Seat, Waiting, plan
from sender.net.session import Failure, Session
from sender.policy.receivers import Profile
from sender.policy.stops import Stops
from sender.policy.throttle import Throttle
from sender.policy.verdict import judge_failure, judge_result
from sender.preparation import Preparer
from sender.record import Recorder
from sender.settling import Settler

_BATCH = 8  # messages that are prepared and signed together
_PER_SESSION = 4  # waiting envelopes that are worth one more session
_LOOK_S = 1.0  # how often an idle session looks whether somebody waits for its place in the process

# Without a signature nothing of this domain is composed for a while: hashing for nobody would be all that is gained.
_UNSIGNED = Outcome(
    verdict=Verdict.UNSENT,
    scope=Scope.CONFIG,
    category=Category.SYSTEM,
    rule="no-signature",
    actions=(Action.STOP_DOMAIN,),
    pause_s=15.0,
    retry_s=15.0,
)
_TOO_LARGE = Outcome(verdict=Verdict.REJECTED, scope=Scope.MESSAGE, category=Category.POLICY, rule="message-size")


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
    rng: Random
    slots: trio.CapacityLimiter  # sessions of the whole process
    stops: Stops
    waits_scale: float = 1.0  # multiplies every pause
    on_trouble: Callable[[str], None] = lambda text: None


class _Berth:
    """One session's place, from the decision to open it until it has left."""

    __slots__ = ("backlog", "busy", "delivered", "ending", "session", "since")

    def __init__(self, backlog: Backlog) -> None:
        self.backlog = backlog
        self.session: Session | None = None  # None while it is being opened
        self.busy = False
        self.ending = False  # it takes nothing more
        self.delivered = 0
        self.since = trio.current_time()  # busy, or idle

    def turn(self, *, busy: bool) -> None:
        self.busy, self.since = busy, trio.current_time()


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
        self._services, self._on_change = services, on_change
        self._label = services.label(lane.receiver)
        self._backlogs: dict[str, Backlog] = {}
        self._nursery: trio.Nursery | None = None
        self._berths: list[_Berth] = []
        self._opening: set[trio.CancelScope] = set()
        self._draining = False
        self.holding = 0  # leased and not yet settled, by this lane

    @property
    def sessions(self) -> int:
        """Sessions open or being opened."""
        return len(self._berths)

    @property
    def idle(self) -> bool:
        """Nothing leased and nobody connected."""
        return not self.holding and not self._berths

    def join(self, nursery: trio.Nursery) -> None:
        """Sessions live in this nursery."""
        self._nursery = nursery

    def drain(self) -> None:
        """Take no more from the backlogs; sessions leave once what they have begun is through, none is opened any more."""
        self._draining = True
        for opening in self._opening:
            opening.cancel()
        self._wake_all()

    def take_on(self, destination: Destination, profile: Profile, several: Sequence[Held]) -> None:
        """These envelopes go to this destination, whose receiver has this profile."""
        backlog = self._backlogs.get(destination.key)
        if backlog is None:
            backlog = self._backlogs[destination.key] = Backlog(destination, profile)
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
        """Let the pool decide which sessions to open and which to ask to leave."""
        if self._draining or self._nursery is None:
            return
        waiting = [
            Waiting(destination=key, messages=backlog.waiting, since=backlog.since)
            for key, backlog in self._backlogs.items()
            if backlog.waiting
        ]
        seats = [_seat(number, berth, berth.session) for number, berth in enumerate(self._berths) if berth.session]
        seats = [seat for seat in seats if seat.busy or not seat.ending]  # the others are on their way out
        opening = Counter(berth.backlog.destination.key for berth in self._berths if berth.session is None)
        limits = self._limits()
        decided = plan(waiting, seats, opening, limits, trio.current_time())
        for seat in (*decided.close, *decided.end):
            self._berths[seat.id].ending = True
            self._berths[seat.id].backlog.changed()
        free = max(0, limits.connections - len(self._berths))  # who leaves still counts: at the receiver, too
        for key in islice(decided.open.elements(), free):
            berth = _Berth(self._backlogs[key])
            berth.backlog.sessions += 1
            self._berths.append(berth)
            self._nursery.start_soon(self._session, berth)

    def _limits(self) -> PoolLimits:
        now = trio.current_time()
        connections = self._throttle.connections(now)
        return PoolLimits(
            connections=connections,
            openings=connections,  # each waits for the connection pace by itself
            messages=self._throttle.messages_per_connection(now),
            idle_s=self._profile.limits.idle_s,
            worth=_PER_SESSION,
        )

    async def _session(self, berth: _Berth) -> None:
        """One session from its opening to its end."""
        backlog = berth.backlog
        try:
            async with self._services.slots:
                opened = await self._opened(backlog)
                if isinstance(opened, Failure):
                    self._turned_away(backlog, opened)
                elif opened is not None:
                    berth.session = opened
                    await self._use(opened, berth)
        finally:
            backlog.sessions -= 1
            self._berths.remove(berth)
            if not backlog.sessions and not backlog.waiting:
                self._backlogs.pop(backlog.destination.key, None)
            self._on_change()

    async def _opened(self, backlog: Backlog) -> Session | Failure | None:
        """A new session, when its turn has come; None where none is wanted any more by then."""
        with trio.CancelScope() as opening:
            self._opening.add(opening)
            try:
                if not self._draining:
                    await self._connection_pace()
                if backlog.waiting and not self._draining and not self._throttle.paused(trio.current_time()):
                    return await self._services.connect(self._source, backlog.destination, backlog.profile)
            finally:
                self._opening.discard(opening)
        return None

    async def _connection_pace(self) -> None:
        now = trio.current_time()
        wait_s = self._throttle.next_connection_at(now) - now
        self._throttle.pace.take_connection(now)
        if wait_s > 0:
            await trio.sleep(wait_s)

    async def _use(self, session: Session, berth: _Berth) -> None:
        backlog = berth.backlog
        backlog.open += 1
        self._services.metrics.session_opened(self._source.name, self._label, session.tls_version)
        try:
            self._prepare_more(backlog)
            while await self._more(session, berth):
                berth.turn(busy=True)
                await session.pump(partial(self._take, session, berth), partial(self._finished, session, berth))
                berth.turn(busy=False)
        finally:
            backlog.open -= 1
            self._services.metrics.session_closed(self._source.name, self._label)
            if session.failure is not None:
                self._services.metrics.session_failed(self._label, _kind(session.failure))
            with trio.CancelScope(shield=True):
                await session.aclose()

    def _stays(self, session: Session, berth: _Berth) -> bool:
        """Whether this session may take one more message."""
        if self._draining or berth.ending or session.closed:
            return False
        limit = min(self._throttle.messages_per_connection(trio.current_time()), berth.backlog.limits.messages_per_connection)
        return session.taken < limit

    async def _more(self, session: Session, berth: _Berth) -> bool:
        """Wait until this session has something to send; False where it should leave instead."""
        backlog, deadline = berth.backlog, trio.current_time() + berth.backlog.limits.idle_s
        while self._stays(session, berth) and trio.current_time() < deadline:
            now = trio.current_time()
            if backlog.ready:
                wait_s = self._throttle.next_message_at(now) - now
                if wait_s <= 0:
                    return session.usable_now()
                deadline = trio.current_time() + wait_s + backlog.limits.idle_s  # held back is not idle
                with trio.move_on_after(wait_s):
                    await backlog.wait_changed()  # pace may be slow; to be told to leave must not be
                continue
            if not backlog.waiting and self._services.slots.statistics().tasks_waiting:
                return False  # the process has no place left for a session that has work
            with trio.move_on_at(min(deadline, now + _LOOK_S)):
                await backlog.wait_changed()
        return False

    def _take(self, session: Session, berth: _Berth) -> Transaction | None:
        """The next message for this session, or None: nothing ready, or nothing permitted now."""
        backlog = berth.backlog
        if not backlog.ready or not self._stays(session, berth):
            return None
        now = trio.current_time()
        if self._throttle.next_message_at(now) > now:
            return None
        self._throttle.pace.take_message(now)
        transaction = backlog.ready.popleft()
        backlog.since = trio.current_time()
        self._prepare_more(backlog)
        return transaction

    def _finished(self, session: Session, berth: _Berth, result: Result) -> None:
        held = result.transaction.tag
        assert isinstance(held, Held)
        outcome = judge_result(berth.backlog.profile, result)
        if outcome.verdict is Verdict.UNSENT and result.reply is None and berth.delivered and not self._draining:
            # the session had worked and was closed under us: another one takes the message, nothing was tried
            berth.backlog.ready.append(result.transaction)
            return
        self._learn(outcome, str(result.reply) if result.reply else result.error, held.campaign)
        self.conclude(
            held,
            outcome,
            step=result.step,
            reply=result.reply,
            why=result.error,
            mx=session.peer.host,
            seconds=result.seconds,
        )
        if outcome.verdict is Verdict.DELIVERED:
            berth.delivered += 1
        else:
            self.staff()  # the window may have shrunk
        if not berth.backlog.held:
            self._on_change()

    def _turned_away(self, backlog: Backlog, failure: Failure) -> None:
        """A session could not be opened: the lane learns from it, and what waited for it pays or waits, as the outcome says."""
        outcome = judge_failure(backlog.profile, failure.step, reply=failure.reply, kind=failure.kind)
        reason = str(failure.reply) if failure.reply else failure.error
        self._services.metrics.session_failed(self._label, _kind(failure))
        self._throttle.after(outcome, trio.current_time(), reason)
        if backlog.sessions > 1 or self._throttle.paused(trio.current_time()):
            return  # other sessions go on with it, or the pause gives it back
        for held in backlog.drain():
            self.conclude(held, outcome, step=failure.step, reply=failure.reply, why=failure.error, mx=failure.host)

    def _prepare_more(self, backlog: Backlog) -> None:
        """Keep a few messages ready for every open session, no more: only what is about to go is composed."""
        target = _BATCH + 2 * backlog.open
        while backlog.held and len(backlog.ready) + backlog.preparing < target and self._nursery is not None:
            self._nursery.start_soon(self._prepare, backlog, backlog.batch(_BATCH))

    async def _prepare(self, backlog: Backlog, batch: Sequence[Held]) -> None:
        going = [held for held in batch if not self._stopped(held)]
        made = await self._services.preparer.prepare(going)
        for held, unusable in made.unusable:
            self.holding -= 1
            self._services.recorder.unusable(self._lane, held, str(unusable))
        for held, unsigned in made.unsigned:
            self._services.on_trouble(str(unsigned))
            self._learn(_UNSIGNED, str(unsigned), held.campaign)
            self.conclude(held, _UNSIGNED, step=Step.CONNECT, why=str(unsigned))
        backlog.prepared(len(batch), [made for made in made.transactions if self._fits(backlog, made)])
        if self._throttle.paused(trio.current_time()):
            self._on_change()  # the lane has given back what it could: these were on their way
        elif backlog.open and not self._draining:
            self._prepare_more(backlog)  # a batch that came to nothing is no reason to wait

    def _fits(self, backlog: Backlog, transaction: Transaction) -> bool:
        """Whether the receiver takes messages of this size at all; what does not fit ends here, and is not sent."""
        most = backlog.limits.message_size
        if most is None or len(transaction.content) <= most:
            return True
        assert isinstance(transaction.tag, Held)
        why = f"{len(transaction.content):,} octets: {self._label} takes {most:,}"
        self.conclude(transaction.tag, _TOO_LARGE, step=Step.MAIL, why=why)
        return False

    def _stopped(self, held: Held) -> bool:
        """Whether this receiver has stopped the envelope's domain or campaign; it then waits, and is not composed."""
        now = trio.current_time()
        stop = self._services.stops.find(self._lane.receiver, held.campaign.identity.domain, held.campaign.id, now)
        if stop is None:
            return False
        self.conclude(held, self._services.stops.outcome(stop, now), step=Step.CONNECT, why=repr(stop))
        return True

    def _learn(self, outcome: Outcome, reason: str, campaign: Campaign) -> None:
        """The lane, and beyond it this domain and campaign, take in what an attempt came to."""
        now = trio.current_time()
        self._throttle.after(outcome, now, reason)
        if outcome.actions:
            self._services.stops.after(outcome, self._lane.receiver, campaign.identity.domain, campaign.id, now, reason)

    def _wake_all(self) -> None:
        for backlog in self._backlogs.values():
            backlog.changed()

    def __repr__(self) -> str:
        return f"<Crew of {self._lane}: {len(self._berths)} sessions, {self.holding} held>"


def _seat(number: int, berth: _Berth, session: Session) -> Seat:
    """A session as the pool sees it."""
    return Seat(
        id=number,
        destination=berth.backlog.destination.key,
        busy=berth.busy,
        messages=session.messages,
        opened_at=session.opened_at,
        since=berth.since,
        ending=berth.ending,
    )


def _kind(failure: Failure) -> str:
    """What the metrics call this failure."""
    if failure.reply is not None:
        return "reply"
    return str(failure.kind) if failure.kind is not None else "protocol"
