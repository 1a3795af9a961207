"""Replies that ask for no promotion: whose stage must not be passed today, told to the store.

A lane tells at once and goes on; a task writes it down a moment later, once a day for each. Where a receiver names the
sender's domain, it is the identity's stage that is held, and not the lane's.
"""

from collections.abc import Callable, Mapping

import trio

from sender.errors import BackendError
from sender.model import Action, LaneId, Outcome, Scope
from sender.policy.progress import Progress
from sender.policy.warmup import Decision, unpromoted
from sender.queue.base import Queue
from sender.warming.assignments import Assignments
from sender.warming.wards import Ward, identity_name, ward_name
from sender.warming.warmer import say

_PAUSE_S = 1.0
_WHY_MOST = 200  # characters of a reply


class Promotions:
    """What this process has heard, and not yet written down."""

    def __init__(
        self,
        queue: Queue,
        assignments: Assignments,
        wards: Mapping[str, Ward],
        clock: Callable[[], float],
        *,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._queue, self._assignments, self._clock, self._on_trouble = queue, assignments, clock, on_trouble
        self._wards = {name: ward for name, ward in wards.items() if ward.plan is not None}
        self._heard: dict[str, str] = {}
        self._told: dict[str, int] = {}  # name -> sending day
        self._wake = trio.Event()

    def after(self, outcome: Outcome, lane: LaneId, domain: str, reason: str) -> None:
        """An attempt of this lane, for this signing domain, came to this."""
        if Action.HOLD_PROMOTION not in outcome.actions:
            return
        name = identity_name(domain) if outcome.scope is Scope.DOMAIN else ward_name(self._assignments, lane)
        ward = self._wards.get(name)
        if ward is not None and name not in self._heard and self._told.get(name) != _day(ward, self._clock()):
            self._heard[name] = f"{outcome.rule}: {reason[:_WHY_MOST]}"
            self._wake.set()

    async def run(self) -> None:
        """Write down for ever; while the store is away, later."""
        while True:
            await self._wake.wait()
            try:
                await self.tell()
            except BackendError as error:
                self._on_trouble(str(error))
            await trio.sleep(_PAUSE_S)

    async def tell(self) -> None:
        """Write down what was heard."""
        self._wake = trio.Event()
        for name, why in list(self._heard.items()):
            ward, now = self._wards[name], self._clock()
            try:
                await say(self._queue, ward, _word(ward, why, now), now)
            except BackendError:
                self._wake.set()
                raise
            except ValueError as error:  # a progress of a newer version
                self._on_trouble(f"the progress of {name} can't be read: {error}")
            self._told[name] = _day(ward, now)
            del self._heard[name]


def _word(ward: Ward, why: str, now: float) -> Callable[[Progress], Decision]:
    plan = ward.plan
    assert plan is not None
    return lambda progress: unpromoted(plan, progress, why, now)


def _day(ward: Ward, now: float) -> int:
    assert ward.plan is not None
    return ward.plan.day(now).number
