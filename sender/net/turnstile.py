"""Where sessions wait for their turn once their receivers have answered: so many go on in one pass of the event loop.

The loop gives a turn to everybody who is ready before it looks at its clock and its sockets again. Where a thousand receivers
have answered by then, that is the work of a thousand messages, a third of a second, and all that time beats, paces, leases and
signatures wait. So only a few sessions go on in each pass; those behind them go on in the next ones, first come, first served.
As long as no more have been answered at once than that, nobody waits and nothing is asked of the loop.
"""

import math

import trio

MOST = 4  # a turn is a message's work, 0.2 to 0.4 ms: a pass takes some milliseconds


class Turnstile(trio.abc.Instrument):
    """Lets `most` sessions go on in a pass while `run` is running, and everybody otherwise."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._room = math.inf  # in this pass
        self._next = 0  # who has a turn in the next one for sure
        self._behind = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Notice each pass of the loop, for ever."""
        trio.lowlevel.add_instrument(self)
        try:
            await trio.sleep_forever()
        finally:
            trio.lowlevel.remove_instrument(self)
            self._room = math.inf
            self._behind.unpark_all()

    def after_io_wait(self, timeout: float) -> None:
        """A pass begins. Called by the loop."""
        self._room, self._next = self.most - self._next, 0

    def enter_nowait(self) -> bool:
        """Whether the caller may go on in this pass."""
        if self._room <= 0 or self._behind:
            return False
        self._room -= 1
        return True

    async def wait(self) -> None:
        """Go on in the pass in which it is the caller's turn."""
        try:
            if self._next < self.most and not self._behind:
                self._next += 1
                await trio.lowlevel.checkpoint()
            else:
                await self._behind.park()
        finally:  # cancelled or not: who has had a place in the line lets one follow, so that it never stands still
            if self._behind and self._next < self.most:
                self._next += 1
                self._behind.unpark()

    def __repr__(self) -> str:
        return f"<Turnstile of {self.most}: {len(self._behind)} wait>"
