"""Any history at all: hypothesis plays submit, expand, lease, settle, crash, pause, promote, discard, unbind in whatever order,
by lanes that warm up and lanes that don't, and a model of a few lines says where each envelope must be. The same machine runs
on every backend.

After every step the queue's counts equal the model's: nothing is lost, nothing is in two places, no final state ever changes.
"""

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sender.model import Choice, Envelope, LaneId, Route, State
from sender.policy.engagement import FLOORS, band_of
from sender.queue import open_queue
from sender.queue.base import Again, Chunk, HeldLease, Lease, LeaseRequest, Queue, RoutedPack, RowBatch, Settlement, Spill
from sender.queue.client import Client
from sender.queue.control import FOR_EVER, Hold
from sender.queue.doubts import Parked
from sender.queue.pack import encode, runs

T = TypeVar("T")
Id = tuple[str, int]  # campaign, ordinal

CAMPAIGNS = ("autumn", "spring")
RECEIVERS = ("google", "orange")
OWNERS = ("host/a", "host/b")
SOURCES = ("s1", "s2")
SCORES = ("", "90", "30", "0")
SPILLS = {"autumn": Spill(after_s=FOR_EVER), "spring": Spill(after_s=100.0)}
READY, LEASED, LATER = "ready", "leased", "later"
BOUND = "bound"  # later, and from the same source

campaigns, receivers, owners = st.sampled_from(CAMPAIGNS), st.sampled_from(RECEIVERS), st.sampled_from(OWNERS)
lanes = st.builds(LaneId, source=st.sampled_from(SOURCES), receiver=receivers)


class Loop(threading.Thread):
    """A trio run beside the machine, whose rules are ordinary functions."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ready, self._end = threading.Event(), trio.Event()
        self.token: trio.lowlevel.TrioToken | None = None

    def run(self) -> None:
        trio.run(self._serve)

    async def _serve(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self._ready.set()
        await self._end.wait()

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        self._ready.wait()
        return trio.from_thread.run(function, trio_token=self.token)

    def stop(self) -> None:
        assert self.token is not None
        self.token.run_sync_soon(self._end.set)
        self.join()


class Machine(RuleBasedStateMachine):
    """The queue beside its model: `where` says of each envelope ready, leased, later or its final state."""

    loop: Loop
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.queue = self.loop.call(self._open)
        self.now = 1000.0
        self.batches: Counter[str] = Counter()  # submitted
        self.told: dict[str, Chunk] = {}  # the last chunk of each campaign
        self.where: dict[Id, str] = {}
        self.envelopes: dict[Id, Envelope] = {}
        self.due: dict[Id, float] = {}
        self.bound: dict[Id, str] = {}  # who alone may try it
        self.claims: dict[LaneId, str] = {}
        self.leases: dict[str, tuple[Lease, set[int]]] = {}  # those that count, with their open positions
        self.stale: list[Lease] = []  # those whose owner was fenced: what it still says must change nothing
        self.settled: list[Settlement] = []
        self.held: set[str] = set()
        self.gone: set[str] = set()  # sources whose work was freed during the hold
        self.parked: set[Id] = set()
        self.generation: Counter[str] = Counter()  # an owner's name is never used twice
        for owner in OWNERS:
            self._join(owner)

    async def _open(self) -> Queue:
        if self.url != "memory:":
            client = Client(self.url)
            await client.run([("FLUSHALL",)])
            await client.aclose()
        return await open_queue(self.url, partitions=3)

    def teardown(self) -> None:
        self._do(self.queue.aclose)

    def _do(self, function: Callable[[], Awaitable[T]]) -> T:
        return self.loop.call(function)

    def _join(self, owner: str) -> None:
        self._do(lambda: self.queue.join(self._name(owner)))

    def _name(self, owner: str) -> str:
        return f"{owner}-{self.generation[owner]}"

    # What comes in.

    @rule(
        campaign=campaigns,
        receiver=receivers,
        scores=st.lists(st.sampled_from(SCORES), min_size=1, max_size=12),
        invalid=st.booleans(),
        size=st.integers(1, 4),
    )
    def arrive(self, campaign: str, receiver: str, scores: list[str], invalid: bool, size: int) -> None:
        """A batch is submitted, twice, and with all that waits in the inbox expanded to one receiver."""
        count = len(scores)
        batch = RowBatch(number=self.batches[campaign], rows=b"\n".join([b'{"to":"a@example.org"}'] * count))
        self.batches[campaign] += 1
        for new in (1, 0):
            self._do(lambda: self.queue.announce(campaign, b'{"v":1}'))
            assert self._do(lambda: self.queue.add_rows(campaign, [batch])) == new
        self._do(self._accept)
        inflow = self._do(lambda: self.queue.rows(campaign, 10))
        assert [found.number for found in inflow.batches] == [batch.number]
        some = [self._envelope(campaign, batch.number * 1000 + place, receiver, scores[place]) for place in range(count)]
        bad = some.pop() if invalid else None
        packs = list(runs(some, size))
        route = Route(pool="main", receiver=receiver)
        chunk = Chunk(
            campaign=campaign,
            number=inflow.chunk,
            priority=5,
            batches=inflow.batches,
            packs=tuple(RoutedPack(route=route, pack=encode(pack), count=len(pack)) for pack in packs),
            states={State.INVALID: 1} if bad else {},
            drop=inflow.repeats,
            spill=SPILLS[campaign],
        )
        assert self._do(lambda: self.queue.expand(chunk, self.now))
        self.told[campaign] = chunk
        for envelope in some:
            self._put(envelope, READY)
        if bad is not None:
            self._put(bad, State.INVALID)

    def _envelope(self, campaign: str, ordinal: int, receiver: str, score: str) -> Envelope:
        address, fields = f"user{ordinal}@{receiver}.example", {"engagement": score} if score else {}
        return Envelope(campaign=campaign, ordinal=ordinal, address=address, fields=fields, queued_at=self.now)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def expand_again(self, data: st.DataObject) -> None:
        chunk = self.told[data.draw(st.sampled_from(sorted(self.told)))]
        self._do(lambda: self.queue.expand(chunk, self.now))

    async def _accept(self) -> None:
        for announcement in await self.queue.announcements(10):
            await self.queue.accept(announcement, announcement.spec, self.now)

    # What goes out and comes back.

    @precondition(lambda self: self._anywhere(READY))
    @rule(
        owner=owners,
        lane=lanes,
        wanted=st.integers(1, 9),
        choice=st.sampled_from(list(Choice)),
        least=st.sampled_from([0, 25, 50]),
    )
    def lease(self, owner: str, lane: LaneId, wanted: int, choice: Choice, least: int) -> None:
        request = LeaseRequest(
            lane=lane,
            route=Route(pool="main", receiver=lane.receiver),
            owner=self._name(owner),
            envelopes=wanted,
            choice=choice,
            engagement_min=least,
        )
        open_to_it = self._open_to(request)
        given = self._do(lambda: self.queue.lease([request], self.now))
        assert sum(len(lease.envelopes) for lease in given) <= wanted
        for lease in given:
            assert lease.envelopes[0].campaign not in self.held, "leased although it is held"
            for envelope in lease.envelopes:
                key = (envelope.campaign, envelope.ordinal)
                assert self.where[key] == READY, f"{envelope.id} was {self.where[key]}"
                assert envelope == self.envelopes[key]
                assert self._band(key) in open_to_it, f"{envelope.id} is not for {request}"
                assert lease.route.source == self.bound.get(key, "")
                self.where[key] = LEASED
            self.leases[lease.id] = (lease, set(range(len(lease.envelopes))))
        if self.claims.setdefault(lane, self._name(owner)) == self._name(owner):
            assert given or not open_to_it, f"something is open to {request}"
            self._took_the_right_ones_first(request, given)

    def _band(self, key: Id) -> tuple[str, int, str]:
        """Where it waits among the others: campaign, band, and who alone may try it."""
        return key[0], band_of(self.envelopes[key].fields), self.bound.get(key, "")

    def _open_to(self, request: LeaseRequest) -> set[tuple[str, int, str]]:
        """What has something for this request."""
        oldest: dict[tuple[str, int, str], float] = {}
        for key, place in self.where.items():
            if place == READY and key[0] not in self.held and self._receiver(key) == request.route.receiver:
                band = self._band(key)
                oldest[band] = min(oldest.get(band, FOR_EVER), self.envelopes[key].queued_at)
        return {band for band, queued_at in oldest.items() if self._is_open(request, *band, queued_at)}

    def _receiver(self, key: Id) -> str:
        return self.envelopes[key].domain.partition(".")[0]

    def _is_open(self, request: LeaseRequest, campaign: str, band: int, source: str, queued_at: float) -> bool:
        if source:
            return source == request.lane.source
        match request.choice:
            case Choice.OLDEST:
                return True
            case Choice.ENGAGED:
                return FLOORS[band] >= request.engagement_min
            case Choice.REST:
                return FLOORS[band] < request.engagement_min or SPILLS[campaign].until(queued_at) <= self.now

    def _took_the_right_ones_first(self, request: LeaseRequest, given: Sequence[Lease]) -> None:
        taken = {self._band((one.campaign, one.ordinal)) for lease in given for one in lease.envelopes}
        for campaign, band, source in self._open_to(request):
            others = [other for name, other, owner in taken if name == campaign and not owner and not source]
            assert request.choice is not Choice.ENGAGED or all(other >= band for other in others)
            assert request.choice is not Choice.REST or all(other <= band for other in others)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def settle_some(self, data: st.DataObject) -> None:
        lease, still = self.leases[data.draw(st.sampled_from(list(self.leases)))]
        fates = st.sampled_from([State.DELIVERED, LATER, BOUND, READY, State.UNKNOWN, None])
        self._settle(lease, still, {place: fate for place in sorted(still) if (fate := data.draw(fates)) is not None})

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), fate=st.sampled_from([LATER, BOUND, State.UNKNOWN, State.REJECTED]))
    def settle_all(self, data: st.DataObject, fate: str) -> None:
        lease, still = self.leases[data.draw(st.sampled_from(list(self.leases)))]
        self._settle(lease, still, dict.fromkeys(sorted(still), fate))

    def _settle(self, lease: Lease, still: set[int], told: dict[int, str]) -> None:
        settlement = self._settlement(lease, told)
        self._do(lambda: self.queue.settle([settlement], self.now))
        self.settled.append(settlement)
        for position, fate in told.items():
            envelope = lease.envelopes[position]
            key = (envelope.campaign, envelope.ordinal)
            still.discard(position)
            self.where[key] = LATER if fate == BOUND else fate
            if fate in (READY, LATER, BOUND):
                self.envelopes[key] = replace(envelope, attempts=envelope.attempts + (fate != READY))
                self.due[key] = self.now + 60.0
                if fate == BOUND:
                    self.bound[key] = lease.lane.source
            elif fate is State.UNKNOWN:
                self.parked.add(key)
        if not still:
            del self.leases[lease.id]

    def _settlement(self, lease: Lease, told: dict[int, str]) -> Settlement:
        again, parked = [], []
        for position, fate in told.items():
            envelope = lease.envelopes[position]
            if fate in (LATER, BOUND):
                later, source = replace(envelope, attempts=envelope.attempts + 1), lease.lane.source if fate == BOUND else ""
                again.append(Again(position=position, envelope=later, due=self.now + 60.0, source=source))
            elif fate == READY:
                again.append(Again(position=position, envelope=envelope, due=0.0, tried=False))
            elif fate == State.UNKNOWN:
                parked.append(Parked(position=position, envelope=envelope, at=self.now, why="no answer"))
        final = tuple((position, fate) for position, fate in told.items() if isinstance(fate, State))
        campaign = lease.envelopes[0].campaign
        return Settlement(
            lease=lease.id, route=lease.route, campaign=campaign, final=final, again=tuple(again), parked=tuple(parked)
        )

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        settlement = data.draw(st.sampled_from(self.settled[-5:]))
        self._do(lambda: self.queue.settle([settlement], self.now))

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), fate=st.sampled_from([State.DELIVERED, READY, LATER]))
    def settle_what_is_no_longer_his(self, data: st.DataObject, fate: str) -> None:
        lease = data.draw(st.sampled_from(self.stale[-5:]))
        told = dict.fromkeys(range(len(lease.envelopes)), fate)
        late = self._do(lambda: self.queue.settle([self._settlement(lease, told)], self.now))
        assert late == len(told)

    @precondition(lambda self: self.leases)
    @rule(owner=owners, by_watcher=st.booleans())
    def crash(self, owner: str, by_watcher: bool) -> None:
        name = self._name(owner)
        seen = self._do(self.queue.beats)[name] if by_watcher else None
        assert self._do(lambda: self.queue.fence({name: seen})) == [name]
        found = {held.lease.id: held for held in self._do(lambda: self.queue.held(name))}
        self._owns_exactly(name, found)
        self._do(lambda: self.queue.reclaim(self.now))
        assert name not in self._do(lambda: self.queue.heartbeat(name)), "a fenced owner must stay dead"
        for lease_id, (lease, still) in list(self.leases.items()):
            if lease.owner == name:
                for position in still:
                    self.where[lease.envelopes[position].campaign, lease.envelopes[position].ordinal] = READY
                self.stale.append(lease)
                del self.leases[lease_id]
        self.claims = {lane: holder for lane, holder in self.claims.items() if holder != name}
        self.generation[owner] += 1
        self._join(owner)

    def _owns_exactly(self, name: str, found: dict[str, HeldLease]) -> None:
        mine = {lease_id: still for lease_id, (lease, still) in self.leases.items() if lease.owner == name}
        assert {lease_id: set(held.open) for lease_id, held in found.items()} == mine

    @precondition(lambda self: self.leases)
    @rule(owner=owners, others=st.integers(0, 2))
    def beat(self, owner: str, others: int) -> None:
        for _ in range(others):
            assert self._name(owner) in self._do(lambda: self.queue.heartbeat(self._name(owner)))
        seen = self._do(self.queue.beats)[self._name(owner)]
        self._do(lambda: self.queue.heartbeat(self._name(owner)))
        assert self._do(lambda: self.queue.fence({self._name(owner): seen})) == [], "it has beaten since"
        self._do(lambda: self.queue.reclaim(self.now))

    @precondition(lambda self: self._anywhere(LATER))
    @rule(seconds=st.sampled_from([1.0, 30.0, 90.0]), limit=st.integers(1, 20))
    def promote(self, seconds: float, limit: int) -> None:
        self.now += seconds
        while self._do(lambda: self.queue.promote(self.now, limit)):
            pass
        for key, place in self.where.items():
            if place == LATER and self.due[key] <= self.now:
                self.where[key] = READY

    # What holds back, and what ends.

    @precondition(lambda self: self._anywhere(READY) and not self.held)
    @rule(campaign=campaigns)
    def pause(self, campaign: str) -> None:
        self._do(lambda: self.queue.hold([Hold(campaign=campaign, start=0.0, end=FOR_EVER)]))
        self.held.add(campaign)

    @precondition(lambda self: self.held)
    @rule()
    def resume(self) -> None:
        (campaign,) = self.held
        self._do(lambda: self.queue.hold([Hold(campaign=campaign, start=0.0, end=0.0)]))
        while self._do(lambda: self.queue.wake(self.now, 10)):
            pass
        self.held.discard(campaign)
        for gone in self.gone:
            self._unbind(gone, 9)
        self.gone.clear()

    @precondition(lambda self: self._anywhere(LATER))
    @rule(campaign=campaigns, state=st.sampled_from([State.CANCELLED, State.EXPIRED]), limit=st.integers(1, 5))
    def discard(self, campaign: str, state: State, limit: int) -> None:
        while self._do(lambda: self.queue.discard(campaign, state, limit, self.now)):
            pass
        for key, place in self.where.items():
            if key[0] == campaign and place in (READY, LATER):
                self.where[key] = state

    @precondition(lambda self: self.bound)
    @rule(gone=st.sampled_from(SOURCES), limit=st.integers(1, 9))
    def unbind(self, gone: str, limit: int) -> None:
        self._unbind(gone, limit)
        if self.held:
            self.gone.add(gone)

    def _unbind(self, gone: str, limit: int) -> None:
        """What a hold has set aside moves when it is in line again; what no lease has looked at since moves at once."""
        pools = {source: "main" for source in SOURCES if source != gone}
        while self._do(lambda: self.queue.unbind(pools, FOR_EVER, self.now, limit)):
            pass
        for key, source in list(self.bound.items()):
            if source == gone and self.where[key] == READY and key[0] not in self.held:
                del self.bound[key]

    @precondition(lambda self: self.parked)
    @rule(data=st.data(), again=st.booleans())
    def resend_or_drop(self, data: st.DataObject, again: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.parked)))
        name = f"{key[0]}:{key[1]}"
        for expected in (1, 0):
            done = self._do(lambda: self.queue.resend([name], self.now) if again else self.queue.drop_doubts([name]))
            assert done == expected
        self.parked.discard(key)
        if again:
            self.bound.pop(key, None)
            self.where[key] = READY
            self.envelopes[key] = replace(self.envelopes[key], doubts=0, tried_at=0.0, queued_at=self.now)

    def _anywhere(self, wanted: str) -> bool:
        return wanted in self.where.values()

    def _put(self, envelope: Envelope, place: str) -> None:
        key = (envelope.campaign, envelope.ordinal)
        assert key not in self.where, f"{envelope.id} was expanded twice"
        self.where[key], self.envelopes[key] = place, envelope

    # The law.

    @invariant()
    def every_envelope_is_where_the_model_has_it(self) -> None:
        depth = self._do(lambda: self.queue.depth(self.now))
        places = Counter(str(place) for place in self.where.values())
        assert sum(depth.ready.values()) == places[READY]
        assert depth.leased == places[LEASED]
        assert depth.later == places[LATER]
        for status in self._do(lambda: self.queue.status(CAMPAIGNS)):
            mine = [place for (campaign, _), place in self.where.items() if campaign == status.campaign]
            final: Counter[State] = Counter()
            for (_, state), count in status.final.items():
                final[state] += count
            assert +final == Counter(place for place in mine if isinstance(place, State))
            assert status.accepted == len(mine)
            assert status.parked == sum(campaign == status.campaign for campaign, _ in self.parked)

    @precondition(lambda self: not self.held)
    @invariant()
    def every_route_is_as_old_as_its_oldest(self) -> None:
        ready: dict[Route, tuple[int, float]] = {}
        for key, place in self.where.items():
            if place == READY:
                route = Route(pool="main", receiver=self._receiver(key), source=self.bound.get(key, ""))
                count, oldest = ready.get(route, (0, FOR_EVER))
                ready[route] = count + 1, min(oldest, self.envelopes[key].queued_at)
        assert {each.route: (each.envelopes, each.oldest) for each in self._do(lambda: self.queue.ready(99))} == ready


@pytest.mark.parametrize("backend", ["memory", pytest.param("redis", marks=pytest.mark.integration)])
def test_no_history_loses_or_doubles_an_envelope(backend: str, request: pytest.FixtureRequest) -> None:
    loop = Loop()
    loop.start()
    url = "memory:" if backend == "memory" else str(request.getfixturevalue("valkey_url"))
    machine = type("BackendMachine", (Machine,), {"loop": loop, "url": url})
    count = 100 if backend == "memory" else 40
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=count,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
    finally:
        loop.stop()
