"""Unix time that never leaps: the store's clock, one for the whole fleet, whatever anybody sets a host's clock to.

It is anchored once, runs on the monotonic clock, and is led towards the store's clock so slowly that no wait, no age and no
day of a plan is ever skipped or seen twice. The store's clock may leap as well: then it is followed as slowly, and told.
"""

import time
from collections.abc import Awaitable, Callable

import trio

from sender.errors import BackendError

SLEW = 0.1  # it is corrected by at most so much of the time that passes
SKEW_TOLD_S = 60.0
_ASK_EVERY_S = 10.0
_ANSWER_MOST_S = 1.0  # an answer that took longer says too little about now


class SteadyClock:
    """Call it for the time, Unix seconds. Usable from any thread once it runs; never goes backward."""

    def __init__(
        self,
        store: Callable[[], Awaitable[float]],
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Until `anchor` has asked the `store` it shows what the `wall` clock of this host does now."""
        self._store, self._wall, self._monotonic = store, wall, monotonic
        # Where it was led from, and by how much in all: one object, so that a reader in another thread sees both or neither.
        self._course = (monotonic(), wall(), 0.0)

    def __call__(self) -> float:
        return self._at(self._monotonic())

    def _at(self, monotonic: float) -> float:
        since, then, error = self._course
        passed = monotonic - since
        return then + passed + max(-SLEW * passed, min(SLEW * passed, error))

    @property
    def skew_s(self) -> float:
        """How much this host's own clock is ahead of this one."""
        return self._wall() - self()

    async def anchor(self, tell: Callable[[str], None]) -> None:
        """Begin with the store's time; where it can't say, this host's own will do until it can."""
        try:
            found = await self._store()
        except BackendError as error:
            tell(str(error))
        else:
            self._course = (self._monotonic(), found, 0.0)
        _compare("this host's clock", self.skew_s, tell)

    async def run(self, tell: Callable[[str], None]) -> None:
        """Follow the store's clock for ever, and tell where it and this host's own are far apart."""
        while True:
            await trio.sleep(_ASK_EVERY_S)
            try:
                await self._follow(tell)
            except BackendError as error:
                tell(str(error))

    async def _follow(self, tell: Callable[[str], None]) -> None:
        asked = self._monotonic()
        found = await self._store()
        answered = self._monotonic()
        if answered - asked <= _ANSWER_MOST_S:
            now = self._at(answered)
            error = found + (answered - asked) / 2 - now
            self._course = (answered, now, error)
            _compare("the store's clock", error, tell)
        _compare("this host's clock", self.skew_s, tell)

    def __repr__(self) -> str:
        return f"<SteadyClock {self():.3f}, this host {self.skew_s:+.3f} s>"


def _compare(whose: str, ahead_s: float, tell: Callable[[str], None]) -> None:
    if abs(ahead_s) > SKEW_TOLD_S:
        direction = "ahead of" if ahead_s > 0 else "behind"
        minutes = round(abs(ahead_s) / 60)  # no more exact: what is told again and again should read the same
        tell(f"{whose} is about {minutes} min {direction} the fleet's: check its time service (NTP)")
