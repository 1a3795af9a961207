"""How fast a lane may go: messages a second, connections a minute, and pauses that say why.

The rates are held by the generic cell rate algorithm (ITU-T I.371): one number, the time at which the next unit is due,
instead of a bucket that has to be refilled.
"""

from dataclasses import dataclass

from sender.model import Category
from sender.policy.gradual import DOWN_S, UP_S, Slope

_BURST_S = 0.1  # how much of a second's messages may go at once
SLOWEST = 1 / 16  # of the full rate: a lane that sends nothing would never learn that it may again


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
    slowed: Slope | None = None  # the share of the rates, on its way back to 1

    @classmethod
    def of(cls, messages_per_second: float, connections_per_minute: float) -> "Pace":
        messages = Gcra(rate=messages_per_second, burst=max(1.0, messages_per_second * _BURST_S))
        return cls(messages=messages, connections=Gcra(rate=connections_per_minute / 60))

    def next_message_at(self, now: float) -> float:
        return self.messages.next_at(now)

    def take_message(self, now: float, share: float = 1.0) -> None:
        """Count a message that goes now, at this share of the full rate."""
        self.messages.take(now, 1, share)

    def next_connection_at(self, now: float) -> float:
        return self.connections.next_at(now)

    def take_connection(self, now: float, share: float = 1.0) -> None:
        self.connections.take(now, 1, share)

    def hold_connections(self, until: float) -> None:
        """Open no connection before this; those that are open go on."""
        self.connections.due = max(self.connections.due, until)

    def share(self, now: float) -> float:
        """The share of the full rates that is allowed now."""
        if self.slowed is None:
            return 1.0
        if now >= self.slowed.ends:
            self.slowed = None
            return 1.0
        return self.slowed.at(now)

    def slow(self, now: float, hold_s: float = 0.0, over_s: float = UP_S) -> None:
        """Halve the rates, once per burst; hold that, then let them return over `over_s` seconds."""
        if self.slowed is not None and now - self.slowed.since < DOWN_S:
            return
        low = max(SLOWEST, self.share(now) / 2)
        if self.slowed is not None:  # slowed once more, it is not back sooner than it would have been
            over_s = max(over_s, self.slowed.ends - now - hold_s)
        self.slowed = Slope(low=low, high=1.0, since=now, hold_s=hold_s, over_s=over_s)

    def __repr__(self) -> str:
        slowed = f", slowed to {self.slowed.low:.0%} at {self.slowed.since:.0f}" if self.slowed else ""
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
