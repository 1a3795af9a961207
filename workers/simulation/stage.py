"""A simulated world with time of its own: mail is submitted, time passes, and what came of it is there to be read.

    result = play(setup, story)

runs `story` on a virtual clock that jumps to whatever happens next; the same setup and story always come to the same end.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TypeVar

import trio
import trio._core._run as trio_run
from trio.testing import MockClock

from sender.condition import schedule_of
from sender.content.spec import dump, parse
from sender.model import Destination, Envelope, LaneId, MxHost, Route, Source, State
from sender.policy.warmup import Decision, begin
from sender.queue.base import Chunk, RoutedPack, RowBatch, Spill
from sender.queue.memory import MemoryQueue
from sender.queue.pack import encode_all, size
from sender.queue.warmups import Account, Change
from sender.record import Attempt
from sender.settings import Settings
from sender.warming.assignments import Assignments
from sender.warming.warmer import change
from workers.emulator.internet import Internet
from workers.emulator.ledger import Judged, Taken
from workers.emulator.world import WorldOptions, build
from workers.simulation.parts import IDENTITY, POLL_S, Parts, Process, in_clear
from workers.simulation.wire import seen_from

T = TypeVar("T")

START = 1_799_625_600.0  # a Monday, 00:00 UTC: 2027-01-11
DAY_S = 86_400.0
_TURN_S = 60.0  # the scheduler's
_LOOK_EVERY = 15  # turns, at the warmup, while nothing is sent
_FEEDBACK_S = 3_600.0
_WARM = 10_000_000  # messages a day that receivers are used to from a source without a plan: more than any sends
_AT_ONCE = 100_000
TERMS: Mapping[str, object] = {"from": f"Shop <news@{IDENTITY}>", "subject": "Spring", "text": "Spring is here."}


def world_options(*, seed: int = 1, troubles: float = 0.0) -> WorldOptions:
    """Receivers that judge as the real ones are known to; who complains or does not exist, the mailing alone decides."""
    return WorldOptions(
        seed=seed,
        small_domains=24,
        small_hosts=4,
        troubles=troubles,
        greylist_s=300.0,
        strict=True,
        requires_dkim=False,
        requires_tls=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a simulation begins with."""

    settings: Settings  # sources, their plans, receivers, retry curve
    world: WorldOptions = field(default_factory=world_options)
    seed: int = 1
    start: float = START  # Unix seconds
    rtt_s: float = 0.05
    poll_s: float = POLL_S  # how often the engine looks for routes with work
    stages: Mapping[LaneId, int] = field(default_factory=dict)  # where lanes have got to, from 0; others are at the first
    on_attempt: Callable[[Attempt], None] = lambda attempt: None
    on_change: Callable[[str, Decision], None] = lambda lane, decision: None  # what became of a lane's progress
    on_complaint: Callable[[LaneId], None] = lambda lane: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipients:
    """So many recipients at one receiver of the world, with the shares of those who complain and of those who don't exist."""

    receiver: str  # as the emulated world calls it: "google"
    count: int
    complaining: float = 0.0
    unknown: float = 0.0


class Stage:
    """A running simulation."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.rng = Random(setup.seed)
        world = build(setup.world)
        self.internet = Internet(world, world.zone(), keep=False, record=self._heard)
        self.queue = MemoryQueue()
        self._sources = {seen_from(source): source.name for source in setup.settings.sources}
        self._pools = {source.name: source.pool for source in setup.settings.sources}
        self.profiles = in_clear(setup.settings)
        self.assignments = Assignments.of(setup.settings, self.profiles)
        self.parts = Parts(
            settings=setup.settings,
            profiles=self.profiles,
            assignments=self.assignments,
            queue=self.queue,
            internet=self.internet,
            clock=self.clock,
            rng=Random(self.rng.random()),
            rtt_s=setup.rtt_s,
            poll_s=setup.poll_s,
            on_attempt=self._attempted,
            on_change=setup.on_change,
        )
        self.process = Process(self.parts)
        self._complaints = Counter[LaneId]()  # that readers have made and nobody has told us of
        self._news = True  # something was sent since the last round of the warmup

    def clock(self) -> float:
        """Unix seconds."""
        return self.setup.start + trio.current_time()

    async def sleep_until(self, moment: float) -> None:
        """Let time pass until then, Unix seconds."""
        await trio.sleep_until(moment - self.setup.start)

    async def submit(self, campaign: str, several: Sequence[Recipients], terms: Mapping[str, object] = TERMS) -> int:
        """A campaign for these recipients, expanded and ready to be leased as far as its terms let it; how many there are.

        `terms` are keys of a campaign's file, in place of `TERMS` or beside them. What a schedule or a rate lets go is the
        story's to grant, as a scheduler does (`sender.controlling`).
        """
        spec = parse({**TERMS, **terms}, file=campaign)
        await self.queue.announce(campaign, dump(spec))
        for announcement in await self.queue.announcements(10):
            await self.queue.accept(announcement, announcement.spec, self.clock(), scheduled=spec.scheduled)
        await self.queue.add_rows(campaign, [RowBatch(number=0, rows=b"{}")])
        await self.queue.close_rows(campaign, 1)
        packs, ordinal = list[RoutedPack](), 0
        for recipients in several:
            route = Route(pool=spec.pool, receiver=self.receiver(recipients.receiver))
            envelopes = self._envelopes(campaign, recipients, ordinal)
            ordinal += len(envelopes)
            made = encode_all(envelopes, self.setup.settings.delivery.pack_size)
            packs += [RoutedPack(route=route, pack=pack, count=size(pack)) for pack in made]
        inflow = await self.queue.rows(campaign, 10)
        chunk = Chunk(
            campaign=campaign,
            number=inflow.chunk,
            priority=spec.priority,
            batches=inflow.batches,
            packs=tuple(packs),
            spill=Spill(after_s=float(spec.spill), start=schedule_of(spec).start),
        )
        if not await self.queue.expand(chunk, self.clock()):
            raise RuntimeError(f"{campaign}: the queue has this part of it already")
        await self.queue.finish_rows(campaign)
        return ordinal

    def receiver(self, name: str) -> str:
        """What the sender calls this receiver of the world: its profile, or "~" and its domain."""
        found = self.internet.world.receiver(name)
        hosts = tuple(MxHost(name=host.name, preference=host.preference) for host in found.hosts)
        return self.profiles.receiver(Destination(hosts=hosts), found.domains[0])

    def _envelopes(self, campaign: str, recipients: Recipients, first: int) -> list[Envelope]:
        domains, now = self.internet.world.receiver(recipients.receiver).domains, self.clock()
        return [
            Envelope(
                campaign=campaign,
                ordinal=ordinal,
                address=f"{self._who(recipients)}-{campaign}-{ordinal}@{domains[ordinal % len(domains)]}",
                queued_at=now,
            )
            for ordinal in range(first, first + recipients.count)
        ]

    def _who(self, recipients: Recipients) -> str:
        drawn = self.rng.random()
        if drawn < recipients.complaining:
            return "angry"
        return "unknown" if drawn < recipients.complaining + recipients.unknown else "reader"

    async def drop(self, campaign: str) -> int:
        """End what waits of a campaign: somebody else has sent it; how many that were."""
        dropped = 0
        while some := await self.queue.discard(campaign, State.EXPIRED, _AT_ONCE, self.clock()):
            dropped += some
        return dropped

    async def finished(self, campaign: str, look_s: float = 5.0) -> None:
        """Wait until every recipient of the campaign has its final state."""
        while True:
            (status,) = await self.queue.status([campaign])
            if not status.queued:
                return
            await trio.sleep(look_s)

    async def keep_time(self) -> None:
        """What a scheduler does, for ever: what is due becomes ready, and the warmup goes on.

        A round of the warmup in which nothing was sent would find nothing new, but for a new day.
        """
        for turn in count():
            await self.queue.promote(self.clock(), _AT_ONCE)
            if self._news or turn % _LOOK_EVERY == 0:
                self._news = False
                await self.process.warm(self.clock())
            await trio.sleep(_TURN_S)

    async def feed_back(self) -> None:
        """What readers complain of reaches the sender by the hour, as feedback loops have it."""
        while True:
            await trio.sleep(_FEEDBACK_S)
            told, self._complaints = self._complaints, Counter()
            for lane, complaints in told.items():
                plan = self.assignments.plan(lane.source, lane.receiver)
                if plan is not None:
                    account = Account.of(lane, Route(pool=self._pools[lane.source], receiver=lane.receiver))
                    await self.queue.complain(account, plan.day(self.clock()).number, complaints)

    async def begin(self) -> None:
        """What was before: lanes that have got somewhere, and receivers that know them."""
        changes = list[Change]()
        for source in self.setup.settings.sources:
            for receiver in self.internet.world.receivers:
                lane = LaneId(source=source.name, receiver=self.receiver(receiver.name))
                plan = self.assignments.plan(lane.source, lane.receiver)
                stage = self.setup.stages.get(lane)
                if plan is None:
                    self._acquaint(source, receiver.name, _WARM)
                elif stage is not None:
                    self._acquaint(source, receiver.name, plan.volume(stage))
                    changes.append(change(str(lane), 0, begin(plan, self.clock(), stage), self.clock()))
        await self.queue.change_progress(changes)
        await self.process.warm(self.clock())

    def _acquaint(self, source: Source, receiver: str, volume: int) -> None:
        standing = self.internet.office(receiver).standing(seen_from(source))
        standing.acquaint(volume, self.clock())

    def _attempted(self, attempt: Attempt) -> None:
        self._news = True
        self.setup.on_attempt(attempt)

    def _heard(self, entry: Taken | Judged) -> None:
        """A receiver has taken a message; some readers complain."""
        if isinstance(entry, Taken) and any(map(self.internet.office(entry.receiver).complains, entry.recipients)):
            source = self._sources[entry.source]
            lane = LaneId(source=source, receiver=self.receiver(entry.receiver))
            self._complaints[lane] += 1
            self.setup.on_complaint(lane)


def play(setup: Setup, story: Callable[[Stage], Awaitable[T]]) -> T:
    """Run a story from beginning to end; what it returned."""
    with _deterministic(setup.seed):
        return trio.run(_play, setup, story, clock=MockClock(autojump_threshold=0.0))


async def _play(setup: Setup, story: Callable[[Stage], Awaitable[T]]) -> T:
    async with _running(Stage(setup)) as stage:
        return await story(stage)


@asynccontextmanager
async def _running(stage: Stage) -> AsyncGenerator[Stage]:
    async with trio.open_nursery() as nursery:
        await stage.begin()
        nursery.start_soon(stage.process.engine.run)
        nursery.start_soon(stage.keep_time)
        nursery.start_soon(stage.feed_back)
        yield stage
        nursery.cancel_scope.cancel()


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Let trio run its tasks in an order that depends on nothing but the seed: the switch that Hypothesis uses, too."""
    before, state = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # final for everybody but tests, says trio
    trio_run._r.seed(seed)
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]  # as above
        trio_run._r.setstate(state)
