"""A lane: one source at one receiver. It pulls work from its route, and lets go of what it may not send now.

The loop of `run`:

1. A paused lane gives back what no session has taken, and waits: the other sources of its pool take the work.
2. A lane with room leases as many envelopes as its allowance and its caps permit. Nobody pushes. Where a cap is used up it
   waits until that opens; when its sending day ends it gives back what no session has taken.
3. Each envelope finds its campaign and its destination; what fails here is settled here, and so is who gets no mail.
4. Crew keeps sessions busy with the rest, and tells the lane as envelopes leave it.
5. A lane without work for a while ends. Draining, it leases nothing, lets open transactions finish and gives back the rest.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from sender.backlog import Held
from sender.berth import CrewServices
from sender.campaigns import Campaign, Campaigns
from sender.closings import Closing
from sender.crew import Crew
from sender.errors import BackendError, ConfigErrors, ResolutionError
from sender.leasing import WARM, Leaser, Warming
from sender.model import Choice, Destination, LaneId, Route, Source, State, Step
from sender.policy.receivers import Profile, Profiles
from sender.policy.throttle import Throttle
from sender.policy.verdict import NULL_MX, judge_resolution
from sender.queue.base import Again, Lease, LeaseRequest
from sender.queue.control import FOR_EVER
from sender.queue.suppressions import Suppression
from sender.suppressing import why_suppressed
from sender.withdrawal import Withdrawn

_HORIZON_S = 30.0  # a lane leases no more than it could send in this time: the rest is for the other sources
_LOOK_S = 1.0  # how often a lane that must not send looks whether it may again
_PATIENCE_S = 3.0  # a lane for which its route's work was not asks again after this, however often it is told of that work
_REST_S = 300.0  # a lane that has but idle sessions looks so often; who has work for it, and a session that ends, wakes it
_POSTPONED_S = 60.0  # an envelope whose campaign this process can't use comes back after this
_ASKED_AGAIN_S = 5.0  # and one about which the store could not be asked: most often a connection broke, no more


class Resolves(Protocol):
    def destination_nowait(self, domain: str) -> Destination | None: ...
    async def destination(self, domain: str) -> Destination: ...


class AsksWhoIsSuppressed(Protocol):
    async def ask(self, addresses: Sequence[str], list_name: str) -> Sequence[Suppression | None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneServices:
    """What all lanes of a process share."""

    owner: Callable[[], str]  # whose leases they are now
    leaser: Leaser
    campaigns: Campaigns
    resolver: Resolves
    suppressions: AsksWhoIsSuppressed
    profiles: Profiles
    crew: CrewServices
    clock: Callable[[], float]  # Unix seconds: only what is written down needs it
    warming: Callable[[LaneId], Warming] = lambda lane: WARM  # which caps hold a lane now
    lookahead: int = 64  # a lane holds at least this many envelopes while its route has them
    lease_size: int = 200
    linger_s: float = 5.0  # a lane without work ends after this
    on_trouble: Callable[[str], None] = lambda text: None


@dataclass(slots=True)
class _Wake:
    """Something happened that the lane's loop should look at."""

    event: trio.Event = field(default_factory=trio.Event)

    def __call__(self) -> None:
        self.event.set()

    async def wait(self, timeout_s: float) -> bool:
        """True once something happened; False where nothing did in time."""
        with trio.move_on_after(timeout_s):
            await self.event.wait()
        happened = self.event.is_set()
        self.event = trio.Event()
        return happened


class Lane:
    """One source at one receiver."""

    def __init__(
        self, route: Route, source: Source, profile: Profile, services: LaneServices, throttle: Throttle | None = None
    ) -> None:
        """`throttle` is what an earlier run of this lane had learnt; without one it begins anew."""
        self.id = LaneId(source=source.name, receiver=route.receiver)
        self.route, self.source, self._services, self._profile = route, source, services, profile
        self._throttle = throttle or Throttle.of(profile.limits, services.crew.rng.random, services.crew.waits_scale)
        self._wake = _Wake()
        self._draining = False
        self._found_nothing = False  # when it asked last, and nobody has told it of work since
        self._not_before = float("-inf")  # it need not ask, because what waits is for others of its pool
        self._told = False  # of work, since it waits for a cap
        self._shut = False  # it waits for one
        self._day_ends = FOR_EVER  # of what it holds: Unix seconds
        self._crew = Crew(self.id, source, profile, self._throttle, services.crew, self._wake)

    @property
    def throttle(self) -> Throttle:
        return self._throttle

    @property
    def crew(self) -> Crew:
        return self._crew

    @property
    def workless(self) -> bool:
        """It holds nothing, and there is nothing to be had."""
        return not self._crew.holding and (self._found_nothing or self.closing is not None)

    @property
    def closing(self) -> Closing | None:
        """The cap that keeps it from leasing anything now."""
        return self._services.leaser.closings.find(self.id, self._services.warming(self.id).account)

    def nudge(self) -> None:
        """The route has work; it may be for others of the pool, as long as some of them warm up."""
        self._told = True
        if trio.current_time() >= self._not_before and not self._shut:
            self._found_nothing = False
            self._wake()

    def withdraw(self) -> None:
        """Give back what must not be sent any more, or not now."""
        self._crew.withdraw()
        self._wake()

    def hold(self) -> None:
        """End in order, because an operator holds this lane: whoever goes on with it begins with the least."""
        self._throttle.hold()
        self.drain()

    def drain(self) -> None:
        """End in order: no new leases, open transactions finish, the rest goes back."""
        self._draining = True
        self._crew.drain()
        self._wake()

    async def run(self) -> None:
        """Work until there is nothing to do or `drain` is called; everything leased is settled or given back by then."""
        try:
            async with trio.open_nursery() as nursery:
                self._crew.join(nursery)
                await self._feed(nursery)
                self._crew.drain()
                self._crew.release()  # at once: the last reply may take ten minutes
        finally:
            self._crew.release()  # what was being looked up or signed just then

    async def _feed(self, nursery: trio.Nursery) -> None:
        happened = True  # something that work may have come with: without it there is no use in asking for some
        while not self._draining:
            now, closing = trio.current_time(), self.closing
            if self._services.clock() >= self._day_ends:
                self._crew.release()
                self._day_ends = FOR_EVER
            if self._throttle.pause is not None and self._throttle.paused(now):
                self._crew.release()
                self._crew.staff()  # sessions that idle leave: the pause may last for hours
                await self._wake.wait(self._throttle.pause.until - now)
            elif not self._services.crew.may_send():
                self._crew.release()
                await self._wake.wait(_LOOK_S)
            elif self._crew.holding >= self._services.lookahead:
                self._crew.staff()
                await self._wake.wait(self._services.linger_s)
            elif closing is not None:
                if not await self._wait_for(closing, now) and self._crew.idle:
                    return
            elif not (happened and await self._lease(nursery, now)):
                self._crew.staff()
                resting = not happened and not self._crew.holding and not self._crew.idle
                happened = await self._wake.wait(_REST_S if resting else self._services.linger_s)
                if not happened and self._crew.idle:
                    return
                continue
            happened = True

    async def _wait_for(self, closing: Closing, now: float) -> bool:
        """Wait until the cap opens; False where nobody has told of work meanwhile: who does then will begin the lane anew.

        To be told of work wakes nobody here: that comes several times a second, to all the lanes that wait.
        """
        self._crew.staff()
        self._told, self._shut = False, True
        most_s = closing.until - now if not self._crew.holding else min(closing.until - now, self._services.linger_s)
        woken = await self._wake.wait(most_s)
        self._shut = False
        return woken or self._told

    def _allowance(self, now: float) -> int:
        """How many envelopes the lane may lease now."""
        return max(1, min(self._services.lease_size, int(self._throttle.messages_per_second(now) * _HORIZON_S)))

    async def _lease(self, nursery: trio.Nursery, now: float) -> bool:
        owner, most = self._services.owner(), self._allowance(now)
        warming = self._services.warming(self.id)
        request = LeaseRequest(
            lane=self.id,
            route=self.route,
            owner=owner,
            envelopes=most,
            capped=warming.capped,
            account=warming.account,
            choice=warming.choice,
            engagement_min=warming.engagement_min,
        )
        leases = await self._services.leaser.lease(request)
        for lease in leases:
            self._crew.holding += len(lease.envelopes)
            self._day_ends = min(self._day_ends, lease.day_ends)
            nursery.start_soon(self._admit, lease)
        self._found_nothing = not leases
        if not leases and not leases.waits and warming.choice is not Choice.OLDEST:
            self._not_before = now + _PATIENCE_S
        return bool(leases)

    async def _admit(self, lease: Lease) -> None:
        """Give each envelope of a lease its campaign and its destination."""
        leased_at = trio.current_time()
        campaign = await self._campaign(lease)
        if campaign is None:
            return
        by_domain: dict[str, list[Held]] = defaultdict(list)
        for held in await self._wanted(lease, leased_at, campaign):
            by_domain[held.envelope.domain].append(held)
        async with trio.open_nursery() as nursery:
            for domain, several in by_domain.items():
                known = self._services.resolver.destination_nowait(domain)
                if known is not None:
                    self._place(domain, known, several)
                else:
                    nursery.start_soon(self._look_up, domain, several)

    async def _campaign(self, lease: Lease) -> Campaign | None:
        """The lease's campaign; without it the envelopes go back for a while and the operator is told."""
        campaign_id = lease.envelopes[0].campaign
        try:
            campaign = await self._services.campaigns.get(campaign_id)
        except (ConfigErrors, BackendError) as error:
            self._services.on_trouble(str(error))
            self._postpone(lease, _ASKED_AGAIN_S if isinstance(error, BackendError) else _POSTPONED_S)
            return None
        if campaign is None:
            self._services.on_trouble(f"campaign {campaign_id}: not in the queue")
            self._postpone(lease, _POSTPONED_S)
        return campaign

    async def _wanted(self, lease: Lease, leased_at: float, campaign: Campaign) -> Sequence[Held]:
        """The envelopes whose recipients want mail; the others end here, and all go back for a while if the store can't say."""
        addresses = [envelope.address for envelope in lease.envelopes]
        try:
            found = await self._services.suppressions.ask(addresses, campaign.spec.list)
        except BackendError as error:
            self._services.on_trouble(str(error))
            self._postpone(lease, _ASKED_AGAIN_S)
            return ()
        wanted, ticket = [], lease.ticket()
        for position, (envelope, entry) in enumerate(zip(lease.envelopes, found, strict=True)):
            held = Held(ticket, position, envelope, campaign, leased_at)
            if entry is None:
                wanted.append(held)
            else:
                self._crew.withhold(held, Withdrawn(state=State.SUPPRESSED, why=why_suppressed(entry)))
        return wanted

    def _postpone(self, lease: Lease, after_s: float) -> None:
        due, ticket = self._services.clock() + after_s, lease.ticket()
        for position, envelope in enumerate(lease.envelopes):
            self._services.crew.settler.again(ticket, Again(position=position, envelope=envelope, due=due, tried=False))
        self._crew.holding -= len(lease.envelopes)

    async def _look_up(self, domain: str, several: Sequence[Held]) -> None:
        try:
            destination = await self._services.resolver.destination(domain)
        except ResolutionError as error:
            for held in several:
                outcome = judge_resolution(error, held.envelope.attempts)
                self._crew.conclude(held, outcome, step=Step.CONNECT, why=str(error))
        else:
            self._place(domain, destination, several)

    def _place(self, domain: str, destination: Destination, several: Sequence[Held]) -> None:
        """Hand envelopes to the crew, with the profile of whoever runs the domain's MX now.

        DNS may have told the expander otherwise, or nothing: the receiver's TLS policy, limits and rules hold all the same.
        """
        if destination.hosts:
            receiver = self._services.profiles.receiver(destination, domain)
            profile = self._profile if receiver == self.id.receiver else self._services.profiles.profile(receiver)
            self._crew.take_on(destination, profile, several)
            return
        for held in several:
            why = f"{held.envelope.domain} takes no mail (RFC 7505)"
            self._crew.conclude(held, NULL_MX, step=Step.CONNECT, why=why)

    def __repr__(self) -> str:
        closing = self.closing
        why = self._throttle.why(trio.current_time()) if closing is None else f"closed: {closing.why}"
        return f"<Lane {self.id} {why}; {self._crew!r}>"
