"""Which caps are used up, as far as this process has been told: who would ask in vain need not ask.

What was told is believed until the window opens, and never for long: units that others held may have come back, an operator may
have raised the cap, the scheduler may have planned the day.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sender.model import LaneId
from sender.queue.warmups import Wait, Window

ASK_AGAIN_S = 60.0
_HELD_SHARE = 1 / 6  # of that, where the lane itself holds units: those that it does not use come back
_SOON_S = 2.0  # where that is likely to happen: others hold some of a shared account, or the day is being planned
_BEHIND_S = 0.05  # so long after a window has opened: whoever comes a moment early waits for nothing twice
_KEPT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Why a lane can lease nothing. Times are of the lanes' own clock."""

    wait: Wait
    until: float  # when it is worth asking again
    opens: float  # when the window opens for certain; 0: not known

    @property
    def why(self) -> str:
        """In words, for an operator."""
        wait = self.wait
        if wait.window is Window.UNPLANNED:
            return f"{wait.account}: its sending day is not planned yet"
        if not wait.most:
            return f"{wait.account}: nothing may be sent this sending day; penstock warmup says why"
        return f"{wait.account}: {wait.most:,} a{'n' if wait.window is Window.HOUR else ''} {wait.window}, used up"


class Closings:
    """The caps that are used up."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], float], ask_again_s: float = ASK_AGAIN_S) -> None:
        """`clock` is Unix time, `now` the lanes' own; nothing is believed for longer than `ask_again_s`."""
        self._clock, self._now, self._ask_again_s = clock, now, ask_again_s
        self._closed: dict[str, Closing] = {}

    def note(self, waits: Iterable[Wait]) -> None:
        """This is what the store said."""
        now = self._now()
        for wait in waits:
            if len(self._closed) >= _KEPT:
                self._closed = {name: closing for name, closing in self._closed.items() if closing.until > now}
            opens = now + wait.opens - self._clock() if wait.opens else 0.0
            most = now + self._patience_s(wait)
            until = max(now, min(most, opens)) + _BEHIND_S if opens else most
            self._closed[wait.account] = Closing(wait=wait, until=until, opens=opens)

    def _patience_s(self, wait: Wait) -> float:
        if wait.window is Window.UNPLANNED:
            return _SOON_S
        if not wait.outstanding:
            return self._ask_again_s
        return self._ask_again_s * _HELD_SHARE if wait.account == str(wait.lane) else _SOON_S

    def find(self, lane: LaneId, account: str = "") -> Closing | None:
        """What closes this lane, or the shared account that it takes from; None where it may ask."""
        now = self._now()
        for name in (account, str(lane)):
            closing = self._closed.get(name)
            if closing is not None and closing.until > now:
                return replace(closing, wait=replace(closing.wait, lane=lane))
        return None

    def __repr__(self) -> str:
        return f"<Closings {len(self._closed)}>"
