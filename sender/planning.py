"""What is known before a campaign is sent, put together for a forecast: who can take it, under which caps, beside whose mail.

1. Each receiver with a profile is a route with a lane for each source of the pool; all others are one, the long tail.
2. A lane's plan is as the settings assign it. Where there is a store, it says where the lane stands, what it has used of
   today, what its attempts have come to, and what other campaigns have queued for the same receivers.
3. `Planner.scenario` is the campaign as it would be sent; `with_one_more` the same with one more source in its pool.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sender.condition import schedule_of
from sender.content.spec import CampaignSpec, parse
from sender.errors import ConfigErrors
from sender.model import LaneId, Mark, Route, Source
from sender.policy.engagement import FLOORS
from sender.policy.forecast import AccountOutlook, Expectation, LaneOutlook, Others, RouteOutlook, Scenario, Speed
from sender.policy.gates import Tally
from sender.policy.plan import Day, Plan
from sender.policy.plans import Plans
from sender.policy.progress import Progress
from sender.policy.receivers import OTHER, Profiles
from sender.policy.retry import RetryCurve
from sender.queue.base import Queue
from sender.queue.lane_holds import Words
from sender.queue.warmups import Account, Use
from sender.settings import Settings
from sender.warming.assignments import Assignments
from sender.warming.wards import IDENTITY, identity_name

LATENCY_S = 0.2  # what a message takes on a connection, the receiver's own work included: our guess
_SAMPLE = 500  # attempts of the last days, before what they came to is taken for what will come
_DAYS = 14  # of which attempts are looked at
_CAMPAIGNS_MOST, _AT_ONCE = 1_000, 200  # others that are asked about, the newest first
_ROUTES_MOST = 1_000

Bands = tuple[int, ...]  # recipients by band of engagement, the least engaged first


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store says; nothing, where there is none."""

    progress: Mapping[str, Progress] = field(default_factory=dict)
    use: Mapping[str, Use] = field(default_factory=dict)
    others: Mapping[str, tuple[Others, ...]] = field(default_factory=dict)  # by receiver
    holds: Words = field(default_factory=Words)  # of lanes, by an operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What a forecast takes for granted where nothing was measured."""

    latency_s: float = LATENCY_S
    delivered: float | None = None  # of attempts; None: as measured, or the forecast's own default


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A source of the pool, and the name of its plan where it is only being thought of."""

    name: str
    plan: str | None = None
    imagined: bool = False


class Planner:
    """Makes scenarios of one campaign."""

    def __init__(
        self,
        settings: Settings,
        spec: CampaignSpec,
        profiles: Profiles,
        curve: RetryCurve,
        recipients: Mapping[str, Bands],
        known: Known,
        assumptions: Assumptions,
        now: float,
    ) -> None:
        """`recipients` are counted by receiver. Raises ConfigErrors with all that is wrong in the plans."""
        self._spec, self._profiles, self._known, self._assumptions, self._now = spec, profiles, known, assumptions, now
        self._assignments, self._plans = Assignments.of(settings, profiles), Plans.parse(settings.plans)
        self._schedule = schedule_of(spec)
        give_up_s = spec.give_up if spec.give_up is not None else curve.give_up_s
        self._curve = replace(curve, give_up_s=give_up_s, not_after=self._schedule.deadline)
        self._members = tuple(Member(name=source.name) for source in settings.sources if source.pool == spec.pool)
        self._recipients = dict(_rolled_up(recipients, profiles))

    @property
    def measured(self) -> tuple[str, ...]:
        """The receivers of which enough is known to tell what attempts come to."""
        return tuple(receiver for receiver in self._recipients if self._measured(receiver) is not None)

    @property
    def plan_names(self) -> tuple[str, ...]:
        return tuple(self._plans)

    def scenario(self) -> Scenario:
        """The campaign as it would be sent."""
        return self._scenario(self._members)

    def with_one_more(self, name: str, plan: str | None) -> Scenario:
        """With one more source in its pool, that is warm or begins this plan."""
        return self._scenario((*self._members, Member(name=name, plan=plan, imagined=True)))

    def _scenario(self, members: Sequence[Member]) -> Scenario:
        accounts = {account.name: account for account in self._accounts(members)}
        identity = identity_name(self._spec.signing_domain)
        return Scenario(
            now=self._now,
            routes=tuple(self._route(receiver, members) for receiver in self._recipients),
            accounts=accounts,
            identity=identity if identity in accounts else "",
            schedule=self._schedule,
            curve=self._curve,
            rate=self._spec.rate or 0.0,
            priority=self._spec.priority,
            spill_s=float(self._spec.spill),
        )

    def _route(self, receiver: str, members: Sequence[Member]) -> RouteOutlook:
        bands, largest = self._recipients[receiver]
        limits = self._profiles.profile(receiver).limits
        speed = Speed.of(limits, self._assumptions.latency_s)
        plans = [plan for member in members if (plan := self._plan(member, receiver)) is not None]
        lanes = [
            LaneOutlook(
                source=member.name,
                speed=speed,
                account=f"{member.name}/{receiver}" if self._plan(member, receiver) is not None else "",
                held=self._held(member, receiver),
            )
            for member in members
        ]
        least = min((plan.engagement_min for plan in plans), default=0)
        return RouteOutlook(
            receiver=receiver,
            envelopes=sum(bands),
            lanes=tuple(lanes),
            reserved=sum(count for floor, count in zip(FLOORS, bands, strict=True) if floor < least),
            others=self._known.others.get(receiver, ()),
            expectation=self._expectation(receiver),
            parallel=sum(bands) / largest,
        )

    def _held(self, member: Member, receiver: str) -> float:
        hold = self._known.holds.of(LaneId(source=member.name, receiver=receiver), self._now)
        return hold.until if hold is not None else 0.0

    def _plan(self, member: Member, receiver: str) -> Plan | None:
        if not member.imagined:
            return self._assignments.plan(member.name, receiver)
        return self._plans.plan(member.plan, receiver) if member.plan is not None else None

    def _accounts(self, members: Sequence[Member]) -> Iterator[AccountOutlook]:
        for receiver in self._recipients:
            for member in members:
                plan = self._plan(member, receiver)
                if plan is not None:
                    yield self._account(f"{member.name}/{receiver}", plan)
        plan = self._assignments.identity(self._spec.signing_domain)
        if plan is not None:
            yield self._account(identity_name(self._spec.signing_domain), plan)

    def _account(self, name: str, plan: Plan) -> AccountOutlook:
        progress, use = self._known.progress.get(name), self._known.use.get(name, Use())
        counted = progress.day if progress is not None else plan.day(self._now).number
        current = use.cap is not None and use.cap.starts <= self._now < use.cap.ends
        return AccountOutlook(
            name=name,
            plan=plan,
            progress=progress,
            tally=Tally.of(use.marks.get(counted, {}), use.complaints.get(counted, 0), identity=name.startswith(IDENTITY)),
            day=use.day if current else 0,
            hour=use.hour if current else 0,
        )

    def _expectation(self, receiver: str) -> Expectation:
        if self._assumptions.delivered is not None:
            return Expectation(delivered=self._assumptions.delivered)
        return self._measured(receiver) or Expectation()

    def _measured(self, receiver: str) -> Expectation | None:
        """What the attempts of the pool's sources have come to at this receiver in the last days, where there are enough."""
        total, today = Counter[Mark](), Day.of(self._schedule.zone, self._now).number
        for member in self._members:
            marks = self._known.use.get(f"{member.name}/{receiver}", Use()).marks
            for day in (day for day in marks if day > today - _DAYS):
                total.update(marks[day])
        tried = sum(count for mark, count in total.items() if mark.uses)
        if tried < _SAMPLE or not total[Mark.DELIVERED]:
            return None
        rejected = total[Mark.BOUNCED] + total[Mark.UNKNOWN_USER]
        return Expectation(delivered=total[Mark.DELIVERED] / tried, rejected=rejected / tried)


async def known_of(
    queue: Queue,
    settings: Settings,
    spec: CampaignSpec,
    campaign: str,
    recipients: Iterable[str],
    profiles: Profiles,
    now: float,
) -> Known:
    """What the store knows that concerns this campaign."""
    receivers = {profiles.label(receiver) for receiver in recipients}
    members = [source for source in settings.sources if source.pool == spec.pool]
    accounts = [account for receiver in sorted(receivers) for account in _accounts_of(members, receiver)]
    accounts.append(Account(identity_name(spec.signing_domain)))
    names = [account.name for account in accounts]
    kept, used = await queue.progress(names), await queue.use(accounts, now)
    return Known(
        progress={name: Progress.decode(state.body) for name, state in kept.items()},
        use={account.name: use for account, use in used.items()},
        others=await _others(queue, spec.pool, campaign, profiles),
        holds=Words(await queue.lane_holds()),
    )


def _accounts_of(members: Sequence[Source], receiver: str) -> Iterator[Account]:
    for source in members:
        lane = LaneId(source=source.name, receiver=receiver)
        shared = receiver == OTHER
        yield Account(str(lane)) if shared else Account.of(lane, Route(pool=source.pool, receiver=receiver))


async def _others(queue: Queue, pool: str, campaign: str, profiles: Profiles) -> Mapping[str, tuple[Others, ...]]:
    """What other campaigns have ready at each receiver, by priority; those that an operator has paused stand aside."""
    names = [name for name in await queue.campaigns() if name != campaign][:_CAMPAIGNS_MOST]
    words = await queue.controls(names) if names else {}
    found: dict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for start in range(0, len(names), _AT_ONCE):
        for status in await queue.status(names[start : start + _AT_ONCE]):
            word = words.get(status.campaign)
            if not status.queued or (word is not None and (word.paused or word.ended)):
                continue
            priority = _priority(await queue.spec(status.campaign))
            waits = await queue.waits(status.campaign, _ROUTES_MOST)
            for route, envelopes in waits.routes.items():
                if route.pool == pool:
                    found[profiles.label(route.receiver)][status.campaign, priority] += envelopes
    return {
        receiver: tuple(Others(priority=priority, envelopes=count) for (_, priority), count in sorted(several.items()))
        for receiver, several in found.items()
    }


def _priority(document: bytes | None) -> int:
    try:
        return parse(document, file="").priority if document is not None else 5
    except ConfigErrors:  # of another version
        return 5


def _rolled_up(recipients: Mapping[str, Bands], profiles: Profiles) -> Iterator[tuple[str, tuple[Bands, int]]]:
    """By receiver with a profile, and all others in one, each with the count of the largest that is in it."""
    found: dict[str, list[Bands]] = defaultdict(list)
    for receiver, bands in recipients.items():
        found[profiles.label(receiver)].append(bands)
    for label in sorted(found, key=lambda name: (name == OTHER, name)):
        several = found[label]
        yield label, (tuple(map(sum, zip(*several, strict=True))), max(map(sum, several)))
