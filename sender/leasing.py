"""Gathers the lanes' wishes into one lease call: lanes ask one by one, the store is asked for all of them at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from sender.closings import ASK_AGAIN_S, Closings
from sender.errors import BackendError
from sender.model import Choice
from sender.queue.base import Granted, LeaseRequest, Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Warming:
    """How a lane stands to the warmup of its pool at its receiver.

    Caps hold it, its own and that of a shared account: a lane that is warm has neither. What it takes of its route depends
    on whether it, or others of its pool, warm up there.
    """

    capped: bool = False
    account: str = ""
    choice: Choice = Choice.OLDEST
    engagement_min: int = 0  # see LeaseRequest


WARM = Warming()


class _Wish:
    __slots__ = ("answered", "granted", "request")

    def __init__(self, request: LeaseRequest) -> None:
        self.request = request
        self.answered = trio.Event()
        self.granted = Granted()


class Leaser:
    """Asks the queue for work on behalf of all lanes of a process."""

    def __init__(
        self,
        queue: Queue,
        clock: Callable[[], float],
        *,
        gather_s: float = 0.002,
        ask_again_s: float = ASK_AGAIN_S,
        may: Callable[[], bool] = lambda: True,
        on_trouble: Callable[[BackendError], None] = lambda error: None,
    ) -> None:
        """While `may` says no, nothing is leased: results that can't be settled must not pile up without bound.

        That a cap is used up is believed for `ask_again_s` at most.
        """
        self._queue, self._clock, self._gather_s, self._on_trouble = queue, clock, gather_s, on_trouble
        self._may = may
        self.closings = Closings(clock, trio.current_time, ask_again_s)
        self._wishes: list[_Wish] = []
        self._wake = trio.Event()

    async def lease(self, request: LeaseRequest) -> Granted:
        """The leases granted to this lane now: none where nothing is ready, or while the store is away.

        Where a cap has kept it from getting any, the answer says so; while that is known the store is not asked.
        """
        closing = self.closings.find(request.lane, request.account)
        if closing is not None:
            await trio.lowlevel.checkpoint()
            return Granted(waits=(closing.wait,))
        wish = _Wish(request)
        self._wishes.append(wish)
        self._wake.set()
        try:
            await wish.answered.wait()
        except trio.Cancelled:  # a lane that is no more must not claim anything
            if wish in self._wishes:
                self._wishes.remove(wish)
            raise
        return wish.granted

    async def run(self) -> None:
        """Answer wishes for ever. A lane is cancelled only with its owner: what it was
        granted is reclaimed with all that its owner held."""
        while True:
            await self._wake.wait()
            await trio.sleep(self._gather_s)
            await self._answer()

    async def _answer(self) -> None:
        """Answer all wishes there are, and keep none of them: each has hundreds of envelopes now."""
        self._wake, wishes, self._wishes = trio.Event(), self._wishes, []
        await self._grant(wishes)
        for wish in wishes:
            wish.answered.set()

    async def _grant(self, wishes: Sequence[_Wish]) -> None:
        if not self._may():
            return
        by_lane = {wish.request.lane: wish for wish in wishes}
        # Those that warm up first: of little work there may be nothing left for them otherwise.
        requests = sorted((wish.request for wish in wishes), key=lambda request: request.choice is not Choice.ENGAGED)
        try:
            granted = await self._queue.lease(requests, self._clock())
        except BackendError as error:
            self._on_trouble(error)
            return
        for lease in granted:
            by_lane[lease.lane].granted.append(lease)
        self.closings.note(granted.waits)
        for wait in granted.waits:
            by_lane[wait.lane].granted.waits = (wait,)
