"""The parts of one process over fakes, for the tests of lanes and engines: names, a signer and a store that obey the test."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import trio
from prometheus_client import CollectorRegistry
from publicsuffixlist import PublicSuffixList

from sender.berth import CrewServices
from sender.campaigns import Campaigns, SigningIdentity
from sender.content.compose import Composer
from sender.content.rotation import Algorithm, DkimKey
from sender.content.spec import dump, parse
from sender.content.token import TokenKeys
from sender.controlling import Controller
from sender.engine import LANES_MOST, Engine, EngineServices
from sender.errors import BackendError, ResolutionError, SigningError
from sender.halts import Halts
from sender.holding import Holding
from sender.lane import Lane, LaneServices
from sender.leasing import WARM, Leaser, Warming
from sender.membership import Membership
from sender.metrics import Metrics
from sender.model import Destination, Envelope, LaneId, MxHost, Route, Source, State
from sender.places import Places
from sender.policy.engagement import band_of
from sender.policy.receivers import Profiles
from sender.policy.retry import RetryCurve
from sender.policy.stops import Stops
from sender.policy.suppression import Digests
from sender.preparation import Preparer
from sender.queue.base import Chunk, Granted, LeaseRequest, Queue, ReadyRoute, RoutedPack, RowBatch, Settlement, Spill
from sender.queue.journaling import NO_JOURNAL, Journaling
from sender.queue.memory import MemoryQueue
from sender.queue.pack import encode_all, size
from sender.record import Attempt, Recorder
from sender.settling import Settler
from sender.suppressing import Suppressing
from sender.watch import Watch
from sender.withdrawal import Withdraws, first_of
from tests.office import Office

EPOCH = 1_750_000_000.0  # what the wall clock says when trio's begins
SOURCE = Source(name="s1", address="", ehlo="mta.shop.example", pool="main")
ROUTE = Route(pool="main", receiver="big")
SPEC = {"from": "Shop <news@shop.example>", "subject": "Hello {{ first }}", "text": "Dear {{ first }}, spring is here."}
CURVE = RetryCurve(steps_s=(300.0, 600.0), jitter=0.0, give_up_s=36_000.0)
DIGESTS = Digests(bytes(32))
KEY = DkimKey(domain="shop.example", selector="s1", algorithm=Algorithm.ED25519)

# Rules whose names say what they do; "big" has limits that no test runs into unless it sets its own.
_RULES: tuple[Mapping[str, object], ...] = (
    {"name": "tried", "category": "block", "scope": "lane", "pattern": "no robots", "shadow": True},
    {"name": "pause", "category": "rate", "scope": "lane", "pattern": "slow down", "actions": ["pause"], "pause": "60s"},
    {"name": "one", "category": "connection_limit", "scope": "lane", "pattern": "too many conn", "actions": ["one_connection"]},
    {"name": "halve", "category": "rate", "scope": "lane", "pattern": "fewer please", "actions": ["halve"], "pause": "60s"},
    {"name": "not-now", "category": "rate", "verdict": "unsent", "pattern": "not now", "actions": ["pause"], "pause": "60s"},
    {"name": "nobody", "category": "unknown_user", "pattern": "user unknown"},
)
_EXAMPLES = (
    "554 no robots",
    "450 slow down",
    "421 too many connections",
    "450 fewer please",
    "450 not now",
    "550 user unknown",
)
_LIMITS = {"connections": 10, "messages_per_second": 10_000, "connections_per_minute": 60_000, "idle_s": "60s"}


def clock() -> float:
    """Unix seconds that follow trio's clock."""
    return EPOCH + trio.current_time()


def profiles(**limits: object) -> Profiles:
    """The profiles "_default" and "big", with these limits over generous ones."""
    rules = [{**rule, "examples": [example]} for rule, example in zip(_RULES, _EXAMPLES, strict=True)]
    table = {"limits": {**_LIMITS, **limits}, "rule": rules}
    tables = {"_default": table, "big": {"match": {"domains": ["big.example"]}, "limits": table["limits"]}}
    return Profiles.parse({name: (f"{name}.toml", one) for name, one in tables.items()}, PublicSuffixList())


def destination(domain: str) -> Destination:
    return Destination(hosts=(MxHost(name=f"mx.{domain}", preference=10),))


class Names:
    """A resolver without DNS: every domain has one MX of its own, but for those the test speaks of."""

    def __init__(self, **special: Destination | ResolutionError) -> None:
        """Names are written with "_" for "."."""
        self._special = {name.replace("_", "."): found for name, found in special.items()}
        self.seconds = 0.0  # a look-up takes so long; 0 is a cache hit

    def destination_nowait(self, domain: str) -> Destination | None:
        found = self._special.get(domain, destination(domain))
        return found if isinstance(found, Destination) and not self.seconds else None

    async def destination(self, domain: str) -> Destination:
        await trio.sleep(self.seconds)
        found = self._special.get(domain, destination(domain))
        if isinstance(found, ResolutionError):
            raise found
        return found


class Pen:
    """A signer: every signature is 64 zero octets, until it fails."""

    def __init__(self) -> None:
        self.signed = 0
        self.fails = False
        self.seconds = 0.0

    async def attempt(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]:
        await trio.sleep(self.seconds)
        if self.fails:
            return [SigningError("no signer answers")] * len(requests)
        self.signed += len(requests)
        return [bytes(64)] * len(requests)


class Store(MemoryQueue):
    """A memory queue that can be away; counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.unheard: set[str] = set()  # owners whose beats get lost
        self.calls: Counter[str] = Counter()
        self.seconds = 0.0  # an answer takes so long

    async def _door(self, what: str) -> None:
        self.calls[what] += 1
        await trio.sleep(self.seconds)
        if self.away:
            raise BackendError("the store is away")

    async def ready(self, limit: int) -> Sequence[ReadyRoute]:
        await self._door("ready")
        return await super().ready(limit)

    async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Granted:
        await self._door("lease")
        return await super().lease(requests, now)

    async def settle(self, settlements: Sequence[Settlement], now: float) -> int:
        await self._door("settle")
        return await super().settle(settlements, now)

    async def join(self, owner: str) -> None:
        await self._door("join")
        await super().join(owner)

    async def heartbeat(self, owner: str) -> Sequence[str]:
        await self._door("heartbeat")
        if owner in self.unheard:
            raise BackendError("the beat was lost")
        return await super().heartbeat(owner)

    async def beats(self) -> Mapping[str, int]:
        await self._door("beats")
        return await super().beats()

    async def resign(self, owner: str) -> None:
        await self._door("resign")
        await super().resign(owner)

    async def unclaim(self, owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        await self._door("unclaim")
        await super().unclaim(owner, lanes, routes)

    async def reclaim(self, now: float) -> int:
        await self._door("reclaim")
        return await super().reclaim(now)

    async def time(self) -> float:
        await trio.lowlevel.checkpoint()
        return clock()

    async def spec(self, campaign: str) -> bytes | None:
        await self._door("spec")
        return await super().spec(campaign)


async def submitted(
    queue: Queue,
    recipients: int,
    *,
    campaign: str = "spring",
    domains: Sequence[str] = ("big.example",),
    spec: Mapping[str, object] = SPEC,
    route: Route = ROUTE,
    fields: Callable[[int], Mapping[str, str]] = lambda number: {"first": f"Ann {number}", "row": str(number)},
    scheduled: bool = False,
) -> None:
    """A campaign expanded onto its route, its recipients spread over the domains in turn."""
    checked = parse(spec, file=campaign)
    await queue.announce(campaign, dump(checked))
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, clock(), scheduled=scheduled or checked.scheduled)
    await queue.add_rows(campaign, [RowBatch(number=0, rows=b"{}")])
    await queue.close_rows(campaign, 1)
    envelopes = [
        Envelope(
            campaign=campaign,
            ordinal=number,
            address=f"r{number}@{domains[number % len(domains)]}",
            fields=fields(number),
            queued_at=clock(),
        )
        for number in range(recipients)
    ]
    inflow = await queue.rows(campaign, 10)
    in_bands = sorted(envelopes, key=lambda envelope: band_of(envelope.fields))
    packs = tuple(RoutedPack(route=route, pack=pack, count=size(pack)) for pack in encode_all(in_bands, 200))
    spill = Spill(after_s=float(checked.spill))
    chunk = Chunk(campaign=campaign, number=inflow.chunk, priority=5, batches=inflow.batches, packs=packs, spill=spill)
    assert await queue.expand(chunk, clock())


async def states(queue: MemoryQueue, campaign: str = "spring") -> dict[State, int]:
    """Recipients by final state, over all receivers."""
    (status,) = await queue.status([campaign])
    totals: Counter[State] = Counter()
    for (_, state), count in status.final.items():
        totals[state] += count
    return dict(totals)


@dataclass(slots=True)
class Rig:
    """The parts of one process, over fakes."""

    office: Office = field(default_factory=Office)
    names: Names = field(default_factory=Names)
    pen: Pen = field(default_factory=Pen)
    queue: Store = field(default_factory=Store)
    limits: Mapping[str, object] = field(default_factory=dict)
    keys: tuple[DkimKey, ...] = (KEY,)
    curve: RetryCurve = CURVE
    attempts: list[Attempt] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    sessions: int = 1000  # of the whole process
    journal: Journaling = NO_JOURNAL
    withdrawn: Withdraws = lambda held: None  # asked beside the suppressions
    warming: Callable[[LaneId], Warming] = lambda lane: WARM
    late: list[int] = field(default_factory=list)  # outcomes that came too late, by hand-over
    suppressing: Suppressing = field(init=False)  # of the lanes made last
    halts: Halts = field(init=False)  # likewise
    holding: Holding = field(init=False)  # likewise
    registry: CollectorRegistry = field(init=False)  # likewise

    def campaigns(self) -> Campaigns:
        identity = SigningIdentity(domain="shop.example", message_id_domain="shop.example", keys=self.keys)
        return Campaigns(self.queue, [identity], self.curve, ["main"])

    def membership(self, owner: str = "host/1") -> Membership:
        return Membership(self.queue, owner, on_trouble=self.troubles.append)

    def lanes(self, membership: Membership | None = None, *, lookahead: int = 64) -> LaneServices:
        """New services for lanes; their leaser and settler are run by `engine` or `running`.

        Without a membership their owner is "host/1-1", and lives as long as the test lets it.
        """
        member = membership or self.membership()
        profile_names = profiles(**self.limits)
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        settler = Settler(
            self.queue,
            clock,
            journal=self.journal,
            on_trouble=lambda error: self.troubles.append(str(error)),
            on_late=self.late.append,
        )
        self.suppressing = Suppressing(self.queue, DIGESTS, clock, on_trouble=self.troubles.append)
        known = self.campaigns()
        self.holding = Holding(self.queue, clock, on_trouble=self.troubles.append)
        self.halts = Halts(self.queue, lambda: known.in_memory, clock, on_trouble=self.troubles.append)
        crew = CrewServices(
            connect=self.office.connect,
            preparer=Preparer(Composer(TokenKeys({"a": bytes(32)})), self.pen, metrics, clock),
            recorder=Recorder(
                settler, metrics, profile_names.label, clock, Random(1), self.attempts.append, DIGESTS, self.journal
            ),
            settler=settler,
            metrics=metrics,
            label=profile_names.label,
            rng=Random(1),
            places=Places(self.sessions),
            stops=Stops(),
            alive=member.alive if membership is not None else lambda: True,
            withdrawn=first_of([self.halts.withdrawn, self.suppressing.withdrawn, self.withdrawn]),
            journal=self.journal,
            on_trouble=self.troubles.append,
        )
        return LaneServices(
            owner=lambda: member.owner,
            leaser=Leaser(
                self.queue,
                clock,
                may=crew.may_send,
                on_trouble=lambda error: self.troubles.append(str(error)),
            ),
            campaigns=known,
            resolver=self.names,
            suppressions=self.suppressing,
            profiles=profile_names,
            crew=crew,
            clock=clock,
            warming=self.warming,
            lookahead=lookahead,
            on_trouble=self.troubles.append,
        )

    def lane(self, services: LaneServices, source: Source = SOURCE, route: Route = ROUTE) -> Lane:
        return Lane(route, source, profiles(**self.limits).profile(route.receiver), services)

    def engine(
        self,
        owner: str = "host/1",
        sources: Sequence[Source] = (SOURCE,),
        *,
        lanes_most: int = LANES_MOST,
        poll_s: float = 0.2,
    ) -> Engine:
        membership = self.membership(owner)
        lanes = self.lanes(membership)
        services = EngineServices(
            queue=self.queue,
            membership=membership,
            leaser=lanes.leaser,
            settler=lanes.crew.settler,
            lanes=lanes,
            holding=self.holding,
            beside=(self.suppressing.run, lambda: self.halts.run(machine.withdraw)),
            on_trouble=self.troubles.append,
        )
        machine = Engine(sources, services, lanes_most=lanes_most, poll_s=poll_s)
        return machine

    async def keep_time(self) -> None:
        """The scheduler: what is due becomes ready, what the dead held comes back."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_owners)
            nursery.start_soon(self._control)
            while True:
                await self.queue.promote(clock(), 10_000)
                await trio.sleep(0.25)

    async def _keep_owners(self) -> None:
        watch = Watch(self.queue)
        while True:
            with suppress(BackendError):
                await watch.look()
                await self.queue.reclaim(clock())
            await trio.sleep(1.0)

    async def _control(self) -> None:
        controller = Controller(self.queue, on_trouble=self.troubles.append)
        while True:
            if not await controller.run_once(clock()):
                await trio.sleep(1.0)

    async def finished(self, campaign: str = "spring") -> dict[State, int]:
        """Wait until every recipient has its final state."""
        while True:
            (status,) = await self.queue.status([campaign])
            if status.accepted and not status.queued:
                return await states(self.queue, campaign)
            await trio.sleep(0.1)

    async def conserved(self, recipients: int, campaign: str = "spring") -> dict[State, int]:
        """Nobody is lost, nobody is counted twice, and every copy that we call delivered was really taken."""
        (status,) = await self.queue.status([campaign])
        depth = await self.queue.depth(clock())
        assert status.accepted == recipients
        assert status.queued == sum(depth.ready.values()) + depth.leased + depth.later
        totals = await states(self.queue, campaign)
        assert sum(totals.values()) + status.queued == recipients
        assert totals.get(State.DELIVERED, 0) <= len(self.office.copies)
        return totals
