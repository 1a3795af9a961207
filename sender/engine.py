"""The engine: finds routes with work, and runs the lanes that serve them.

1. It joins the fleet, and beats beside all else it does (`membership`).
2. It asks which routes have work, and which of their lanes are its own (`shares`): lanes spread over processes without
   anybody deciding. The queue's claims make sure of it.
3. It starts a lane on demand, nudges one that exists, drains one that now belongs to somebody else; where it has as many as
   it may, those that have nothing to do make room. A process that can't keep up with what it has begun begins no more.
   A lane that an operator holds ends, and none begins in its place (`holding`).
4. Fenced, it drops everything at once: what it held is others' by now. Then it joins anew, under another name.
5. `drain` ends all of it in order: open transactions finish, the rest goes back, everything is settled, the owner resigns.
   Cancelled, it drops what is open, and still settles and resigns if the store answers within a moment.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import trio

from sender.errors import BackendError
from sender.holding import NOBODY, WhoIsHeld
from sender.lane import Lane, LaneServices
from sender.leasing import Leaser
from sender.membership import Membership
from sender.model import LaneId, Route, Source
from sender.policy.throttle import Throttle
from sender.queue.base import Queue
from sender.queue.owners import BEAT_S
from sender.settling import Settler
from sender.shares import Shares

LANES_MOST = 4_000  # of one process: each is a task with its own pace; what waits for one more waits for one to end
_ROUTES_AT_ONCE = 2000
_RESTING = 2.5  # times as rarely where no route has work: half a second
_BEGUN_AT_ONCE = 200  # lanes in one look: each has some milliseconds' work before it sends anything
_LATE_S = 0.1  # by which this loop runs late: then the process has no time for more than it does
_THROTTLES_KEPT = 20_000  # lanes; a few hundred octets each
_GOODBYE_S = 3.0  # for the last settlements, where the store is slow or away


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineServices:
    """What an engine is built on."""

    queue: Queue
    membership: Membership
    leaser: Leaser
    settler: Settler
    lanes: LaneServices
    holding: WhoIsHeld = NOBODY  # lanes that an operator holds
    beside: Sequence[Callable[[], Awaitable[None]]] = ()  # what else runs for as long as the engine does
    on_trouble: Callable[[str], None] = lambda text: None


class Engine:
    """Delivers what the queue's routes hold, from the sources given."""

    def __init__(
        self, sources: Sequence[Source], services: EngineServices, *, poll_s: float = 0.2, lanes_most: int = LANES_MOST
    ) -> None:
        """Only owners of a source's host take part in sharing its lanes."""
        self._services, self._poll_s, self._lanes_most = services, poll_s, lanes_most
        self._sources = {source.name: source for source in sources if source.host in ("", services.membership.host)}
        self._shares = Shares(sources, services.membership, services.lanes.lookahead, services.holding)
        self._lanes: dict[LaneId, Lane] = {}
        self._throttles: OrderedDict[LaneId, Throttle] = OrderedDict()  # what lanes that have ended had learnt
        self._claimed: dict[LaneId, Route] = {}  # lanes that have ended; until it is given up none of them begins again
        self._late = False  # the last pause took longer than it should
        self._draining = trio.Event()
        self.ended = trio.Event()  # `run` has come to its end

    @property
    def lanes(self) -> Mapping[LaneId, Lane]:
        """The lanes that run now."""
        return self._lanes

    def running(self) -> Iterable[Lane]:
        return self._lanes.values()

    def resting(self, now: float) -> Iterator[tuple[LaneId, Route, Throttle]]:
        """Lanes of this owner that have ended in a pause which is not over."""
        for lane, throttle in self._throttles.items():
            source = self._sources.get(lane.source)
            if source is not None and throttle.paused(now) and self._shares.is_mine(lane, source):
                yield lane, Route(pool=source.pool, receiver=lane.receiver), throttle

    def withdraw(self) -> None:
        """All lanes give back what they must not send any more, or not now."""
        for lane in self._lanes.values():
            lane.withdraw()

    def hold_back(self) -> None:
        """Lanes that an operator holds end in order."""
        for lane in self._lanes.values():
            if self._services.holding.of(lane.id) is not None:
                lane.hold()

    def drain(self) -> None:
        """End in order; `run` returns once everything is settled."""
        self._draining.set()
        for lane in self._lanes.values():
            lane.drain()

    async def run(self) -> None:
        """Deliver until `drain` is called."""
        try:
            async with trio.open_nursery() as helpers:
                helpers.start_soon(self._services.leaser.run)
                helpers.start_soon(self._services.settler.run)
                helpers.start_soon(self._services.lanes.crew.journal.run)
                helpers.start_soon(self._services.holding.run, self.hold_back)
                for task in self._services.beside:
                    helpers.start_soon(task)
                while not self._draining.is_set():
                    await self._join_and_live()
                helpers.cancel_scope.cancel()
        finally:
            with trio.move_on_after(_GOODBYE_S, shield=True):
                await self._services.settler.finish()
                await self._resign()
            self._services.lanes.crew.journal.close()
            self.ended.set()

    async def _join_and_live(self) -> None:
        """One membership, from joining until it is fenced, or drained and settled."""
        try:
            await self._services.membership.join()
        except BackendError as error:
            self._services.on_trouble(str(error))
            await self._pause(BEAT_S)
            return
        self._services.lanes.crew.journal.begin(self._services.membership.owner)
        async with trio.open_nursery() as life:
            life.start_soon(self._beat, life.cancel_scope)
            life.start_soon(self._let_go)
            async with trio.open_nursery() as lanes:  # each of them ends once all of its own is settled
                while not self._draining.is_set():
                    found = await self._look(lanes)
                    await self._pause(self._poll_s if found else self._poll_s * _RESTING)
            life.cancel_scope.cancel()
        self._claimed.clear()  # they were that membership's

    async def _beat(self, life: trio.CancelScope) -> None:
        """Beat, also while a drain outlasts an owner's life; once fenced nothing more may be sent."""
        await self._services.membership.run()
        life.cancel()

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds) as pause:
            await self._draining.wait()
        self._late = trio.current_time() > pause.deadline + _LATE_S

    async def _look(self, nursery: trio.Nursery) -> bool:
        """One round: routes, lanes; whether there was any work. While the store is away, lanes go on with what they have."""
        try:
            ready = await self._services.queue.ready(_ROUTES_AT_ONCE)
        except BackendError as error:
            self._services.on_trouble(str(error))
            return True
        if self._draining.is_set():
            return True  # since `drain` was called while the store was asked: a lane begun now would be told by nobody
        self._share()
        self._shares.look(trio.current_time())
        wanted = dict[LaneId, tuple[Route, Source]]()
        for waiting in ready:
            for source in self._shares.called(waiting):
                self._serve(waiting.route.shared, source, wanted)
        self._begin(nursery, wanted)
        return bool(ready)

    def _share(self) -> None:
        """Where members came or went, lanes go to others."""
        if self._shares.have_changed():
            for lane in self._lanes.values():
                if not self._shares.is_mine(lane.id, lane.source):
                    lane.drain()

    def _serve(self, route: Route, source: Source, wanted: dict[LaneId, tuple[Route, Source]]) -> None:
        """This lane's route has work: tell the lane, or note that one is wanted."""
        lane_id = LaneId(source=source.name, receiver=route.receiver)
        lane = self._lanes.get(lane_id)
        if lane is not None:
            lane.nudge()
        elif source.name in self._sources and lane_id not in self._claimed and self._shares.is_mine(lane_id, source):
            account = self._services.lanes.warming(lane_id).account
            if self._services.leaser.closings.find(lane_id, account) is None:  # else it would begin for nothing
                wanted[lane_id] = route, source

    def _begin(self, nursery: trio.Nursery, wanted: Mapping[LaneId, tuple[Route, Source]]) -> None:
        """Begin as many of these lanes as there is time and room for."""
        room = self._lanes_most - len(self._lanes)
        most = max(0, min(room, 0 if self._late else _BEGUN_AT_ONCE))
        for lane_id, (route, source) in islice(wanted.items(), most):
            profile = self._services.lanes.profiles.profile(route.receiver)
            throttle = self._throttles.pop(lane_id, None)
            if throttle is not None:
                throttle.resume(trio.current_time())
            lane = Lane(route, source, profile, self._services.lanes, throttle)
            self._lanes[lane_id] = lane
            nursery.start_soon(self._run_lane, lane)
        self._make_room(len(wanted) - room)

    def _make_room(self, wanted: int) -> None:
        """Let so many lanes end that have nothing to do, those first that began first."""
        workless = (lane for lane in self._lanes.values() if lane.workless)
        for lane in islice(workless, max(0, wanted)):
            lane.drain()

    async def _run_lane(self, lane: Lane) -> None:
        try:
            await lane.run()
            await self._services.settler.flush()
        finally:
            del self._lanes[lane.id]
            self._claimed[lane.id] = lane.route
            if lane.throttle.would_be_missed(trio.current_time()):
                self._throttles[lane.id] = lane.throttle
            if len(self._throttles) > _THROTTLES_KEPT:
                self._throttles.popitem(last=False)

    async def _let_go(self) -> None:
        """Give up the claims of lanes that have ended, all of one poll together, so that another owner may have them."""
        while True:
            await trio.sleep(self._poll_s)
            if not (ended := dict(self._claimed)):
                continue
            try:
                await self._services.queue.unclaim(self._services.membership.owner, list(ended), list(ended.values()))
            except BackendError as error:
                self._services.on_trouble(str(error))
                continue
            for lane_id in ended:
                del self._claimed[lane_id]

    async def _resign(self) -> None:
        try:
            await self._services.membership.resign()
        except BackendError as error:
            self._services.on_trouble(str(error))  # the others notice by its silence

    def __repr__(self) -> str:
        return f"<Engine {self._services.membership.owner}: {len(self._lanes)} lanes of {len(self._sources)} sources>"
