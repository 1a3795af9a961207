"""How each lane stands to the warmup of its pool: which caps hold it, and which recipients it takes.

A delivery process reads the progress of all lanes every few seconds. What it believes in between decides only about the order
in which recipients go; that no cap is exceeded is the store's business.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import trio

from sender.assignments import Assignments
from sender.errors import BackendError
from sender.leasing import Warming
from sender.model import Choice, LaneId, Source
from sender.policy.plan import Plan
from sender.policy.progress import Progress
from sender.queue.base import Queue
from sender.queue.warmups import Kept
from sender.wards import ward_name


class Warmth:
    """What one process knows of warm and of cold lanes."""

    def __init__(
        self,
        queue: Queue,
        assignments: Assignments,
        sources: Sequence[Source],
        clock: Callable[[], float],
        *,
        every_s: float = 5.0,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._queue, self._assignments, self._clock, self._on_trouble = queue, assignments, clock, on_trouble
        self._every_s = every_s
        self._pools = {source.name: source.pool for source in sources}
        self._members: dict[str, list[str]] = defaultdict(list)
        for source in sources:
            self._members[source.pool].append(source.name)
        self._states: Mapping[str, tuple[int, Progress]] = {}  # name -> version and progress

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except BackendError as error:
                self._on_trouble(str(error))
            await trio.sleep(self._every_s)

    async def look(self) -> None:
        """Look once."""
        kept = await self._queue.progress()
        self._states = {name: read for name, state in kept.items() if (read := self._read(state)) is not None}

    def _read(self, state: Kept) -> tuple[int, Progress] | None:
        known = self._states.get(state.name)
        if known is not None and known[0] == state.version:
            return known
        try:
            return state.version, Progress.decode(state.body)
        except ValueError as error:
            self._on_trouble(f"the progress of {state.name} can't be read: {error}")
            return None

    def warming(self, lane: LaneId) -> Warming:
        """How this lane stands; never blocks."""
        plan = self._assignments.plan(lane.source, lane.receiver)
        shared = self._assignments.is_shared(lane.receiver)
        holds = (
            Warming()
            if plan is None
            else Warming(account=ward_name(self._assignments, lane))
            if shared
            else Warming(capped=True)
        )
        if plan is not None and not self._is_warm(lane):
            return replace(holds, choice=Choice.ENGAGED, engagement_min=plan.engagement_min)
        cold = list(self._cold(lane))
        if not cold:
            return holds
        return replace(holds, choice=Choice.REST, engagement_min=min(plan.engagement_min for plan in cold))

    def _cold(self, lane: LaneId) -> Iterator[Plan]:
        """The plans of those lanes of its pool that warm up at this receiver, and may send today."""
        for source in self._members[self._pools.get(lane.source, "")]:
            beside = LaneId(source=source, receiver=lane.receiver)
            plan = self._assignments.plan(source, lane.receiver)
            if plan is not None and not self._is_warm(beside) and not self._is_stopped(beside, plan):
                yield plan

    def _is_warm(self, lane: LaneId) -> bool:
        progress = self._progress(lane)
        return progress is not None and progress.warm

    def _is_stopped(self, lane: LaneId, plan: Plan) -> bool:
        progress = self._progress(lane)
        return progress is not None and progress.stopped > 0 and progress.stopped_on(plan.day(self._clock()).number)

    def _progress(self, lane: LaneId) -> Progress | None:
        """Where it stands; None where it was never used, and will begin at the first stage."""
        state = self._states.get(ward_name(self._assignments, lane))
        return state[1] if state is not None else None

    def __repr__(self) -> str:
        return f"<Warmth of {len(self._states)} progresses>"
