"""What a receiver's refusal has stopped beyond a lane: a signing domain or a campaign, at that receiver, on every source.

A receiver that says "your DKIM domain" does not mean the IP: sending on from another one would only spread the damage. The
envelopes concerned wait until the stop ends; they were not tried, so it costs them nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sender.model import Action, Category, Outcome, Scope, Verdict

_STOP_S = 3_600.0  # where the rule names no time: the operator may have mended the domain meanwhile
_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why something waits, until when, and which rule decided. Times are those of one clock, whichever."""

    until: float
    rule: str
    category: Category
    reason: str  # the reply, for an operator

    def __repr__(self) -> str:
        return f"<Stop until {self.until:.0f}: {self.category} by {self.rule}: {self.reason}>"


class Stops:
    """The stops of one process; `scale` multiplies their length."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._stops: dict[tuple[str, Action, str], Stop] = {}

    def after(self, outcome: Outcome, receiver: str, domain: str, campaign: str, now: float, reason: str) -> None:
        """Take in what an attempt for this domain and campaign came to."""
        for action, name in ((Action.STOP_DOMAIN, domain), (Action.PAUSE_CAMPAIGN, campaign)):
            if action not in outcome.actions:
                continue
            if len(self._stops) >= _KEPT:
                del self._stops[next(iter(self._stops))]  # the one set longest ago
            until = now + self._scale * (outcome.pause_s if outcome.pause_s is not None else _STOP_S)
            self._stops[receiver, action, name] = Stop(until=until, rule=outcome.rule, category=outcome.category, reason=reason)

    def find(self, receiver: str, domain: str, campaign: str, now: float) -> Stop | None:
        """What stops this domain or campaign at this receiver now, the longer of two."""
        if not self._stops:
            return None
        found = (
            self._stops.get((receiver, Action.STOP_DOMAIN, domain)),
            self._stops.get((receiver, Action.PAUSE_CAMPAIGN, campaign)),
        )
        return max((stop for stop in found if stop is not None and stop.until > now), key=lambda stop: stop.until, default=None)

    def by_receiver(self, now: float) -> Mapping[str, Stop]:
        """What is stopped at each receiver now, whatever it is; the longest of several."""
        found: dict[str, Stop] = {}
        for (receiver, _, _), stop in self._stops.items():
            if stop.until > now and (receiver not in found or stop.until > found[receiver].until):
                found[receiver] = stop
        return found

    def actions(self, now: float) -> Iterator[tuple[str, Action, str, Stop]]:
        """What is stopped now: receiver, action, the domain's or the campaign's name, and why."""
        for (receiver, action, name), stop in self._stops.items():
            if stop.until > now:
                yield receiver, action, name, stop

    def outcome(self, stop: Stop, now: float) -> Outcome:
        """What a stop means for an envelope that would have gone: it was not tried, and waits."""
        return Outcome(
            verdict=Verdict.UNSENT,
            scope=Scope.DOMAIN,
            category=stop.category,
            rule=stop.rule,
            retry_s=(stop.until - now) / self._scale,  # the retry curve multiplies it again
        )

    def __repr__(self) -> str:
        return f"<Stops {len(self._stops)}>"
