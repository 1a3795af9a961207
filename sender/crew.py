"""A lane's sessions and what they are to send: as many as the window allows, each with messages ready for it.

1. `take_on` puts envelopes into the backlog of their destination; `staff` lets the pool decide who opens and who leaves.
2. Each session lives in a `Berth`. One that is open gets its next messages prepared: a few more than it can send, so that
   signing never stops it.
3. `learn` and `conclude` take in what came of each attempt: the lane's throttle, the stops beyond it, the record.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

import trio

from sender.backlog import Backlog, Held
from sender.berth import Berth, CrewServices
from sender.campaigns import Campaign
from sender.model import (
    Action,
    Category,
    Destination,
    LaneId,
    Outcome,
    Reply,
    Scope,
    Source,
    Step,
    Transaction,
    Verdict,
)
from sender.net.pool import PoolLimits, Waiting, plan
from sender.net.turnstile import MOST as TURNS
from sender.policy.receivers import Profile
from sender.policy.throttle import Throttle
from sender.withdrawal import Withdrawn

_BATCH = 8  # messages that are prepared and signed together
_BATCH_OCTETS = 256 * 1024  # and fewer where they are large: all of a batch is composed in one go
_PER_SESSION = 4  # waiting envelopes that are worth one more session

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
        self._lane, self._profile, self._on_change = lane, profile, on_change
        self.source, self.throttle, self.services = source, throttle, services
        self.label = services.label(lane.receiver)
        self.draining = False
        self._backlogs: dict[str, Backlog] = {}
        self._nursery: trio.Nursery | None = None
        self._berths: list[Berth] = []
        self.holding = 0  # leased and not yet settled, by this lane

    @property
    def sessions(self) -> int:
        """Sessions open or being opened."""
        return len(self._berths)

    @property
    def opening(self) -> int:
        """Those of them that are not open yet."""
        return sum(berth.session is None for berth in self._berths)

    @property
    def idle(self) -> bool:
        """Nothing leased and nobody connected."""
        return not self.holding and not self._berths

    def join(self, nursery: trio.Nursery) -> None:
        """Sessions live in this nursery."""
        self._nursery = nursery

    def drain(self) -> None:
        """Take no more from the backlogs; sessions leave once what they have begun is through, none is opened any more."""
        self.draining = True
        for berth in self._berths:
            berth.drain()
        self._wake_all()

    def take_on(self, destination: Destination, profile: Profile, several: Sequence[Held]) -> None:
        """These envelopes go to this destination, whose receiver has this profile."""
        backlog = self._backlogs.get(destination.key)
        if backlog is None:
            backlog = self._backlogs[destination.key] = Backlog(destination, profile)
        backlog.held.extend(several)
        if backlog.open:
            self.prepare_more(backlog)
        self.staff()

    def release(self) -> None:
        """Give back everything that no session has taken."""
        for key, backlog in list(self._backlogs.items()):
            for held in backlog.drain():
                self.holding -= 1
                self.services.recorder.release(held)
            if not backlog.sessions and not backlog.waiting:
                del self._backlogs[key]

    def withdraw(self) -> None:
        """Let go at once of what must not be sent any more, or not now, as far as no session has taken it."""
        for key, backlog in list(self._backlogs.items()):
            for held, reason in backlog.sift(self.services.withdrawn).items():
                self.withhold(held, reason)
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
        if outcome.actions:
            reason = str(reply) if reply is not None else why
            self.services.on_actions(outcome, self._lane, held.campaign.identity.domain, reason)
        self.services.recorder.attempt(self._lane, held, outcome, step=step, reply=reply, why=why, mx=mx, seconds=seconds)

    def withhold(self, held: Held, withdrawn: Withdrawn) -> None:
        """This envelope must not be sent any more."""
        self.holding -= 1
        self.services.recorder.withdraw(self._lane, held, withdrawn)

    def staff(self) -> None:
        """Let the pool decide which sessions to open and which to ask to leave."""
        if self.draining or self._nursery is None:
            return
        waiting = [
            Waiting(destination=key, messages=backlog.waiting, since=backlog.since)
            for key, backlog in self._backlogs.items()
            if backlog.waiting
        ]
        seats = [seat for number, berth in enumerate(self._berths) if (seat := berth.seat(number)) is not None]
        opening = Counter(berth.backlog.destination.key for berth in self._berths if berth.session is None)
        limits = self._limits()
        decided = plan(waiting, seats, opening, limits, trio.current_time())
        for seat in (*decided.close, *decided.end):
            self._berths[seat.id].ending = True
            self._berths[seat.id].backlog.changed()
        free = max(0, limits.connections - len(self._berths))  # who leaves still counts: at the receiver, too
        for key in islice(decided.open.elements(), free):
            berth = Berth(self, self._backlogs[key])
            berth.backlog.sessions += 1
            self._berths.append(berth)
            self._nursery.start_soon(self._run, berth)

    def _limits(self) -> PoolLimits:
        now = trio.current_time()
        connections = self.throttle.connections(now)
        return PoolLimits(
            connections=connections,
            openings=connections,  # each waits for the connection pace by itself
            messages=self.throttle.messages_per_connection(now),
            idle_s=self._profile.limits.idle_s,
            worth=_PER_SESSION,
        )

    async def _run(self, berth: Berth) -> None:
        """One berth from its opening to its end, and what its end leaves behind."""
        try:
            await berth.run()
        finally:
            backlog = berth.backlog
            backlog.sessions -= 1
            self._berths.remove(berth)
            if not backlog.sessions and not backlog.waiting:
                self._backlogs.pop(backlog.destination.key, None)
            self._on_change()

    def changed(self) -> None:
        """Something happened that the lane should look at."""
        self._on_change()

    def prepare_more(self, backlog: Backlog) -> None:
        """Keep a few messages ready for every open session, no more: only what is about to go is composed."""
        batch = backlog.of_its_size(_BATCH, _BATCH_OCTETS)
        while backlog.held and (ahead := len(backlog.ready) + backlog.preparing - batch) < 2 * backlog.open:
            if self._nursery is None or ahead >= self._share(backlog):
                return
            self._nursery.start_soon(self._prepare, backlog, backlog.batch(batch))

    def _share(self, backlog: Backlog) -> int:
        """What may be ready beyond a batch: where there are many sessions in the process, few of them go on at a time."""
        return 2 + 2 * TURNS * backlog.open // max(1, self.services.places.taken)

    async def _prepare(self, backlog: Backlog, batch: Sequence[Held]) -> None:
        now = trio.current_time()
        going = [held for held in batch if not self._stopped(held, now)]
        made = await self.services.preparer.prepare(going)
        for held, unusable in made.unusable:
            self.holding -= 1
            self.services.recorder.unusable(self._lane, held, str(unusable))
        for held, unsigned in made.unsigned:
            self.services.on_trouble(str(unsigned))
            self.learn(_UNSIGNED, str(unsigned), held.campaign)
            self.conclude(held, _UNSIGNED, step=Step.CONNECT, why=str(unsigned))
        backlog.prepared(len(batch), [made for made in made.transactions if self._fits(backlog, made)])
        if self.throttle.paused(trio.current_time()):
            self._on_change()  # the lane has given back what it could: these were on their way
        elif backlog.open and not self.draining:
            self.prepare_more(backlog)  # a batch that came to nothing is no reason to wait

    def _fits(self, backlog: Backlog, transaction: Transaction) -> bool:
        """Whether the receiver takes messages of this size at all; what does not fit ends here, and is not sent."""
        most = backlog.limits.message_size
        if most is None or transaction.size <= most:
            return True
        assert isinstance(transaction.tag, Held)
        why = f"{transaction.size:,} octets: {self.label} takes {most:,}"
        self.conclude(transaction.tag, _TOO_LARGE, step=Step.MAIL, why=why)
        return False

    def _stopped(self, held: Held, now: float) -> bool:
        """Whether this receiver has stopped the envelope's domain or campaign; it then waits, and is not composed."""
        stop = self.services.stops.find(self._lane.receiver, held.campaign.identity.domain, held.campaign.id, now)
        if stop is None:
            return False
        self.conclude(held, self.services.stops.outcome(stop, now), step=Step.CONNECT, why=repr(stop))
        return True

    def learn(self, outcome: Outcome, reason: str, campaign: Campaign) -> None:
        """The lane, and beyond it this domain and campaign, take in what an attempt came to."""
        if outcome.verdict is Verdict.DELIVERED:
            self.throttle.delivered()
            return
        now = trio.current_time()
        self.throttle.after(outcome, now, reason)
        if outcome.actions:
            self.services.stops.after(outcome, self._lane.receiver, campaign.identity.domain, campaign.id, now, reason)

    def _wake_all(self) -> None:
        for backlog in self._backlogs.values():
            backlog.changed()

    def __repr__(self) -> str:
        return f"<Crew of {self._lane}: {len(self._berths)} sessions, {self.holding} held>"
