"""How many connections a lane may hold open now: it starts low, grows on success, halves on trouble, never exceeds its cap.

Modelled on TCP's congestion window (RFC 5681): slow start up to a threshold, then additive increase; multiplicative
decrease at most once per burst of trouble. A connection-limit reply says that even this many are too many: the window goes
to 1 and its ceiling returns to the cap in a straight line.
"""

from dataclasses import dataclass

_START = 2.0
_PER_MESSAGE = 1 / 8  # slow start: eight messages taken earn one more connection
_ONE_BURST_S = 10.0  # replies that were under way when the first of them halved the window speak of the same trouble
RETURN_S = 3_600.0  # KumoMTA's shaping rules hold one connection for an hour (assets/community/shaping.toml)


@dataclass(slots=True, kw_only=True)
class Window:
    """The connection window of one lane; every call says what time it is."""

    cap: int
    size: float = _START
    threshold: float = float("inf")
    halved_at: float = float("-inf")
    limited_at: float = float("-inf")
    return_s: float = RETURN_S

    def __post_init__(self) -> None:
        if self.cap < 1:
            raise ValueError(f"a lane needs a connection at least, not {self.cap}")
        self.size = min(self.size, float(self.cap))

    def allowed(self, now: float) -> int:
        """Connections that may be open now: at least 1, at most the cap."""
        return max(1, int(min(self.size, self._ceiling(now))))

    def delivered(self) -> None:
        """A message was taken: grow."""
        if self.size < self.cap:
            grown = self.size + (_PER_MESSAGE if self.size < self.threshold else _PER_MESSAGE / self.size)
            self.size = min(grown, float(self.cap))

    def troubled(self, now: float) -> None:
        """A session was lost or the receiver asks for less: halve, once per burst."""
        if now - self.halved_at >= _ONE_BURST_S:
            self.halved_at = now
            self.size = self.threshold = max(1.0, self.size / 2)

    def limited(self, now: float, return_s: float | None = None) -> None:
        """The receiver counts our connections and found too many: one, and back to the cap over `return_s` seconds."""
        self.size = self.threshold = 1.0
        self.limited_at = now
        self.return_s = return_s if return_s is not None else RETURN_S

    @property
    def untried(self) -> bool:
        """Whether it knows next to nothing: no trouble, and too few messages to have grown by a connection."""
        return self.threshold == float("inf") and self.size < min(_START + 1, self.cap + 1)

    def _ceiling(self, now: float) -> float:
        passed = now - self.limited_at
        if passed >= self.return_s:
            return float(self.cap)
        return 1 + (self.cap - 1) * max(0.0, passed) / self.return_s

    def __repr__(self) -> str:
        limited = "" if self.limited_at == float("-inf") else f", limited at {self.limited_at:.0f} for {self.return_s:.0f} s"
        return f"<Window {self.size:.1f} of {self.cap}{limited}>"
