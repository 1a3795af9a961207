"""How each lane stands to the warmup of its pool: which caps hold it, and which recipients it takes.

A delivery process reads the progress of all lanes every few seconds. What it believes in between decides only about the order
in which recipients go; that no cap is exceeded is the store's business.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import trio

from sender.backlog import Held
from sender.errors import BackendError
from sender.leasing import Warming
from sender.model import Choice, LaneId, Source
from sender.policy.plan import Plan
from sender.policy.progress import Progress
from sender.queue.base import Queue
from sender.queue.warmups import Kept
from sender.warming.assignments import Assignments
from sender.warming.wards import ward_name
from sender.withdrawal import Withdrawn

_ROUNDS = 2
_KEPT = 50_000  # lanes
_STOPPED = Withdrawn(state=None, why="its lane is stopped by its warmup")


class Warmth:
    """What one process knows of warm and of cold lanes."""

    def __init__(
        self,
        queue: Queue,
        assignments: Assignments,
        sources: Sequence[Source],
        clock: Callable[[], float],
        *,
        held: Callable[[LaneId], bool] = lambda lane: False,
        every_s: float = 5.0,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`held` says whether an operator holds a lane: nobody waits for that one."""
        self._held = held
        self._queue, self._assignments, self._clock, self._on_trouble = queue, assignments, clock, on_trouble
        self._every_s = every_s
        self._pools = {source.name: source.pool for source in sources}
        self._members: dict[str, list[str]] = defaultdict(list)
        for source in sources:
            self._members[source.pool].append(source.name)
        self._states: Mapping[str, tuple[int, Progress]] = {}  # name -> version and progress
        self._stopped: frozenset[str] = frozenset()  # names of those that may send nothing today
        self._answers: dict[LaneId, Warming] = {}  # since the last look

    async def run(self, let_go: Callable[[], None] = lambda: None) -> None:
        """Look for ever; `let_go` is called when one more lane is stopped, and for some rounds after that: a part of what
        it holds was just being looked up or signed."""
        before, rounds = frozenset[str](), 0
        while True:
            try:
                await self.look()
            except BackendError as error:
                self._on_trouble(str(error))
            rounds = _ROUNDS if self._stopped - before else max(0, rounds - 1)
            before = self._stopped
            if rounds:
                let_go()
            await trio.sleep(self._every_s)

    async def look(self) -> None:
        """Look once."""
        kept = await self._queue.progress()
        self._states = {name: read for name, state in kept.items() if (read := self._read(state)) is not None}
        self._stopped = frozenset(name for name, (_, progress) in self._states.items() if self._may_not_send(name, progress))
        self._answers.clear()

    def _read(self, state: Kept) -> tuple[int, Progress] | None:
        known = self._states.get(state.name)
        if known is not None and known[0] == state.version:
            return known
        try:
            return state.version, Progress.decode(state.body)
        except ValueError as error:
            self._on_trouble(f"the progress of {state.name} can't be read: {error}")
            return None

    def _may_not_send(self, name: str, progress: Progress) -> bool:
        source, _, receiver = name.partition("/")
        plan = self._assignments.plan(source, receiver) if progress.stopped else None
        return plan is not None and progress.stopped_on(plan.day(self._clock()).number)

    def withdrawn(self, held: Held) -> Withdrawn | None:
        """Why this envelope must not be sent now, or None: its lane was stopped after it had been leased."""
        if self._stopped and ward_name(self._assignments, held.ticket.lane) in self._stopped:
            return _STOPPED
        return None

    def warming(self, lane: LaneId) -> Warming:
        """How this lane stands; never blocks."""
        answer = self._answers.get(lane)
        if answer is None:
            if len(self._answers) >= _KEPT:
                self._answers.clear()
            answer = self._answers[lane] = self._warming(lane)
        return answer

    def _warming(self, lane: LaneId) -> Warming:
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
        """The plans of those lanes of its pool that warm up at this receiver, and may send today.

        One whose cap is used up is among them: it may send tomorrow, and that is what a campaign that waits wants.
        """
        for source in self._members[self._pools.get(lane.source, "")]:
            beside = LaneId(source=source, receiver=lane.receiver)
            plan = self._assignments.plan(source, lane.receiver)
            stopped = ward_name(self._assignments, beside) in self._stopped or self._held(beside)
            if plan is not None and not stopped and not self._is_warm(beside):
                yield plan

    def _is_warm(self, lane: LaneId) -> bool:
        """Whether it has passed its plan; one that was never used will begin at the first stage."""
        state = self._states.get(ward_name(self._assignments, lane))
        return state is not None and state[1].warm

    def __repr__(self) -> str:
        return f"<Warmth of {len(self._states)} progresses>"
