"""How fast a lane may go: messages a second, connections a minute, and pauses that say why.

The rates are held by the generic cell rate algorithm (ITU-T I.371): one number, the time at which the next unit is due,
instead of a bucket that has to be refilled.
"""

from dataclasses import dataclass

from sender.model import Category

_BURST_S = 0.1  # how much of a second's messages may go at once
_SLOWEST = 1 / 16
RETURN_S = 3_600.0


@dataclass(slots=True, kw_only=True)
class Gcra:
    """A rate with a small burst. Times are any one clock's seconds."""

    rate: float  # units a second
    burst: float = 1.0  # units that may go at once
    due: float = 0.0  # when the next unit is due if all goes evenly

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.burst < 1:
            raise ValueError(f"not a rate: {self.rate} a second, burst {self.burst}")

    def next_at(self, now: float) -> float:
        """When one more unit may go; `now` if at once."""
        return max(now, self.due - (self.burst - 1) / self.rate)

    def take(self, now: float, units: int = 1, factor: float = 1.0) -> None:
        """Count units that go now; `factor` slows the rate to that share."""
        self.due = max(self.due, now) + units / (self.rate * factor)


@dataclass(slots=True, kw_only=True)
class Pace:
    """The rates of one lane, slowed after a refusal that asks for it and back at full speed in a straight line."""

    messages: Gcra
    connections: Gcra
    factor: float = 1.0  # the share of the rate at the last slowing
    slowed_at: float = float("-inf")
    hold_s: float = 0.0  # the slowed rate stays this long before it begins to return
    return_s: float = RETURN_S

    @classmethod
    def of(cls, messages_per_second: float, connections_per_minute: float) -> "Pace":
        messages = Gcra(rate=messages_per_second, burst=max(1.0, messages_per_second * _BURST_S))
        return cls(messages=messages, connections=Gcra(rate=connections_per_minute / 60))

    def next_message_at(self, now: float) -> float:
        return self.messages.next_at(now)

    def take_message(self, now: float) -> None:
        self.messages.take(now, 1, 1.0 if self.factor == 1.0 else self.share(now))

    def next_connection_at(self, now: float) -> float:
        return self.connections.next_at(now)

    def take_connection(self, now: float) -> None:
        self.connections.take(now)

    def hold_connections(self, until: float) -> None:
        """Open no connection before this; those that are open go on."""
        self.connections.due = max(self.connections.due, until)

    def share(self, now: float) -> float:
        """The share of the full rate that is allowed now."""
        returning = now - self.slowed_at - self.hold_s
        if returning <= 0:
            return self.factor
        if returning >= self.return_s:
            self.factor = 1.0
            return 1.0
        return self.factor + (1 - self.factor) * returning / self.return_s

    def slow(self, now: float, hold_s: float = 0.0, return_s: float = RETURN_S) -> None:
        """Halve the rate, hold it, then let it return over `return_s` seconds."""
        self.factor = max(_SLOWEST, self.share(now) / 2)
        self.slowed_at, self.hold_s, self.return_s = now, hold_s, return_s

    def __repr__(self) -> str:
        slowed = "" if self.factor == 1.0 else f", slowed to {self.factor:.0%} at {self.slowed_at:.0f}"
        return f"<Pace {self.messages.rate:g} messages/s, {self.connections.rate * 60:g} connections/min{slowed}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why a lane waits, until when, and which rule decided."""

    until: float
    rule: str
    category: Category
    reason: str = ""  # the reply, for an operator

    def __repr__(self) -> str:
        return f"<Pause until {self.until:.0f}: {self.category} by {self.rule}{': ' + self.reason if self.reason else ''}>"
