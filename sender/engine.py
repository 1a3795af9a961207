"""The engine: finds routes with work, and runs the lanes that serve them.

1. It says that it lives (`heartbeat`), and learns who else does.
2. It asks which routes have work, and which of their lanes are its own: every live owner computes the same answer (highest
   random weight), so lanes spread over processes without anybody deciding. The queue's claims make sure of it.
3. It starts a lane on demand, nudges one that exists, drains one that now belongs to somebody else.
4. `drain` ends all of it in order: open transactions finish, the rest goes back, everything is settled, the owner resigns.
   Cancelled, it drops what is open, and still settles and resigns if the store answers within a moment.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import trio

from sender.errors import BackendError
from sender.lane import Lane, LaneServices
from sender.leasing import Leaser
from sender.model import LaneId, Route, Source
from sender.policy.receivers import Profiles
from sender.policy.throttle import Throttle
from sender.queue.base import Queue
from sender.settling import Settler

_ROUTES_AT_ONCE = 2000
_THROTTLES_KEPT = 20_000  # lanes; a few hundred octets each
_GOODBYE_S = 3.0  # for the last settlements, where the store is slow or away


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineServices:
    """What an engine is built on."""

    queue: Queue
    profiles: Profiles
    leaser: Leaser
    settler: Settler
    lanes: LaneServices
    clock: Callable[[], float]
    on_trouble: Callable[[str], None] = lambda text: None


class Engine:
    """Delivers what the queue's routes hold, from the sources given."""

    def __init__(
        self,
        owner: str,
        sources: Sequence[Source],
        services: EngineServices,
        *,
        poll_s: float = 0.2,
        heartbeat_s: float = 2.0,
    ) -> None:
        """`owner` is "host/anything unique": only owners of a source's host take part in sharing its lanes."""
        self._owner, self._services = owner, services
        self._sources = [source for source in sources if source.host in ("", _host(owner))]
        self._poll_s, self._heartbeat_s = poll_s, heartbeat_s
        self._lanes: dict[LaneId, Lane] = {}
        self._throttles: OrderedDict[LaneId, Throttle] = OrderedDict()  # what lanes that have ended had learnt
        self._claimed: dict[LaneId, Route] = {}  # lanes that have ended and whose claim could not be given up yet
        self._owners: Sequence[str] = (owner,)
        self._beat_at = float("-inf")
        self._draining = trio.Event()
        self.ended = trio.Event()  # `run` has come to its end

    @property
    def lanes(self) -> Mapping[LaneId, Lane]:
        """The lanes that run now."""
        return self._lanes

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
                async with trio.open_nursery() as lanes:
                    while not self._draining.is_set():
                        await self._look(lanes)
                        with trio.move_on_after(self._poll_s):
                            await self._draining.wait()
                    helpers.start_soon(self._keep_alive)
                await self._services.settler.flush()
                helpers.cancel_scope.cancel()
        finally:
            with trio.move_on_after(_GOODBYE_S, shield=True):
                await self._services.settler.finish()
                await self._resign()
            self.ended.set()

    async def _look(self, nursery: trio.Nursery) -> None:
        """One round: heartbeat, routes, lanes. While the store is away, lanes go on with what they have."""
        try:
            await self._beat()
            ready = await self._services.queue.ready(_ROUTES_AT_ONCE)
        except BackendError as error:
            self._services.on_trouble(str(error))
            return
        if self._draining.is_set():
            return  # since `drain` was called while the store was asked: a lane begun now would be told by nobody
        for waiting in ready:
            for source in self._sources:
                if source.pool == waiting.route.pool:
                    self._wanted(nursery, waiting.route, source)

    async def _beat(self) -> None:
        if trio.current_time() - self._beat_at < self._heartbeat_s:
            return
        self._beat_at = trio.current_time()
        self._owners = await self._services.queue.heartbeat(self._owner, self._services.clock())
        await self._unclaim()
        for lane in self._lanes.values():
            if not self._is_mine(lane.id, lane.source):
                lane.drain()

    def _wanted(self, nursery: trio.Nursery, route: Route, source: Source) -> None:
        """This lane's route has work."""
        lane_id = LaneId(source=source.name, receiver=route.receiver)
        lane = self._lanes.get(lane_id)
        if lane is not None:
            lane.nudge()
        elif self._is_mine(lane_id, source):
            profile = self._services.profiles.profile(route.receiver)
            lane = Lane(route, source, profile, self._services.lanes, self._throttles.pop(lane_id, None))
            self._lanes[lane_id] = lane
            self._claimed.pop(lane_id, None)
            nursery.start_soon(self._run_lane, lane)

    async def _run_lane(self, lane: Lane) -> None:
        try:
            await lane.run()
            await self._services.settler.flush()
        finally:
            del self._lanes[lane.id]
            self._claimed[lane.id] = lane.route
            self._throttles[lane.id] = lane.throttle
            if len(self._throttles) > _THROTTLES_KEPT:
                self._throttles.popitem(last=False)
        try:
            await self._unclaim()
        except BackendError as error:
            self._services.on_trouble(str(error))  # tried again with the next heartbeat

    async def _unclaim(self) -> None:
        """Let go of the claims of lanes that have ended, so that another owner may have them."""
        ended = dict(self._claimed)
        if ended:
            await self._services.queue.unclaim(self._owner, list(ended), list(ended.values()))
            for lane_id in ended.keys() - self._lanes.keys():
                self._claimed.pop(lane_id, None)

    def _is_mine(self, lane: LaneId, source: Source) -> bool:
        """Whether this owner weighs most among those that can send from the lane's source."""
        rivals = [owner for owner in self._owners if source.host in ("", _host(owner))]
        return not rivals or max(rivals, key=lambda owner: _weight(owner, lane)) == self._owner

    async def _keep_alive(self) -> None:
        """A drain may outlast the time after which silence counts as death."""
        while True:
            try:
                await self._services.queue.heartbeat(self._owner, self._services.clock())
            except BackendError as error:
                self._services.on_trouble(str(error))
            await trio.sleep(self._heartbeat_s)

    async def _resign(self) -> None:
        try:
            await self._services.queue.resign(self._owner)
        except BackendError as error:
            self._services.on_trouble(str(error))  # the others notice by its silence

    def __repr__(self) -> str:
        return f"<Engine {self._owner}: {len(self._lanes)} lanes of {len(self._sources)} sources>"


def _host(owner: str) -> str:
    return owner.partition("/")[0]


def _weight(owner: str, lane: LaneId) -> bytes:
    return blake2b(f"{owner} {lane}".encode(), digest_size=8).digest()
