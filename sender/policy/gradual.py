"""How a limit that was lowered rises again. Down it goes at once, within seconds of the trouble; up it takes its time.

No limit snaps back. What a receiver asked for returns in a straight line, over an hour where nobody named a time: `Slope`.
After a pause nothing is known of what it would take now: `Doubling` begins with the least and doubles each minute.
"""

from dataclasses import dataclass

DOWN_S = 10.0  # replies that were under way when the first of them lowered a limit speak of the same trouble
UP_S = 3_600.0  # KumoMTA's shaping rules hold one connection for an hour (assets/community/shaping.toml)
DOUBLING_S = 60.0
_DOUBLINGS_MOST = 30  # beyond that no limit is higher


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """`low` for `hold_s` seconds, then in a straight line to `high`."""

    low: float
    high: float
    since: float
    hold_s: float = 0.0
    over_s: float = UP_S

    @property
    def ends(self) -> float:
        return self.since + self.hold_s + self.over_s

    def at(self, now: float) -> float:
        returning = now - self.since - self.hold_s
        if returning <= 0:
            return self.low
        if returning >= self.over_s:
            return self.high
        return self.low + (self.high - self.low) * returning / self.over_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubling:
    """1 until `since`, then twice as much after each `every_s` seconds."""

    since: float
    every_s: float = DOUBLING_S

    def at(self, now: float) -> float:
        doublings = (now - self.since) / self.every_s
        return float(2.0 ** min(max(0.0, doublings), _DOUBLINGS_MOST))

    def reaches(self, doublings: float) -> float:
        """When it has doubled so often."""
        return self.since + doublings * self.every_s
