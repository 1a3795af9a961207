"""How many connections a lane may hold open now: it starts low, grows on success, halves on trouble, never exceeds its cap.

Modelled on TCP's congestion window (RFC 5681): slow start up to a threshold, then additive increase; multiplicative
decrease at most once per burst of trouble. Unlike TCP's, it keeps in mind where there was trouble: above that it grows no
faster than from nothing to the cap in an hour, however many messages are taken. A connection-limit reply says that even this
many are too many: the window goes to 1, and its ceiling returns to the cap in a straight line.
"""

from dataclasses import dataclass

from sender.policy.gradual import DOWN_S, UP_S, Slope

_START = 2.0
_PER_MESSAGE = 1 / 8  # slow start: eight messages taken earn one more connection


@dataclass(slots=True, kw_only=True)
class Window:
    """The connection window of one lane; every call says what time it is."""

    cap: int
    size: float = _START
    threshold: float = float("inf")
    halved_at: float = float("-inf")
    ceiling: Slope | None = None  # on its way back to the cap

    def __post_init__(self) -> None:
        if self.cap < 1:
            raise ValueError(f"a lane needs a connection at least, not {self.cap}")
        self.size = min(self.size, float(self.cap))

    def allowed(self, now: float) -> int:
        """Connections that may be open now: at least 1, at most the cap."""
        return max(1, int(self._most(now)))

    def delivered(self) -> None:
        """A message was taken: grow."""
        if self.size < self.cap:
            grown = self.size + (_PER_MESSAGE if self.size < self.threshold else _PER_MESSAGE / self.size)
            self.size = min(grown, float(self.cap))

    def troubled(self, now: float, hold_s: float = 0.0, up_s: float = UP_S) -> None:
        """A session was lost or the receiver asks for less: halve, once per burst, and return at a cap in `up_s` seconds."""
        if now - self.halved_at >= DOWN_S:
            self.halved_at = now
            half = max(1.0, self._most(now) / 2)
            self.size = self.threshold = half
            self._lower(half, now, hold_s, up_s * (self.cap - half) / self.cap)

    def limited(self, now: float, over_s: float = UP_S) -> None:
        """The receiver counts our connections and found too many: one, and back to the cap over `over_s` seconds."""
        self.size = self.threshold = 1.0
        self._lower(1.0, now, 0.0, over_s)

    def restart(self) -> None:
        """What it had grown to says nothing any more: begin with one connection. A ceiling stays."""
        self.size, self.threshold = 1.0, float("inf")

    @property
    def untried(self) -> bool:
        """Whether it knows next to nothing: no trouble, and too few messages to have grown by a connection."""
        return self.threshold == float("inf") and self.ceiling is None and self.size < min(_START + 1, self.cap + 1)

    def _most(self, now: float) -> float:
        if self.ceiling is None:
            return self.size
        if now >= self.ceiling.ends:
            self.ceiling = None
            return self.size
        return min(self.size, self.ceiling.at(now))

    def _lower(self, low: float, now: float, hold_s: float, over_s: float) -> None:
        """A ceiling that is lowered once more ends no sooner than before."""
        if self.ceiling is not None:
            over_s = max(over_s, self.ceiling.ends - now - hold_s)
        if over_s > 0:
            self.ceiling = Slope(low=low, high=float(self.cap), since=now, hold_s=hold_s, over_s=over_s)

    def __repr__(self) -> str:
        ceiling = f", {self.ceiling.low:g} at {self.ceiling.since:.0f}, all by {self.ceiling.ends:.0f}" if self.ceiling else ""
        return f"<Window {self.size:.1f} of {self.cap}{ceiling}>"
