"""What a lane may do now, and what each outcome changes about it: window, pace and pause in one explainable object.

    outcome -> `after` -> the window shrinks or grows, the pace slows, the lane pauses
    now     -> `connections`, `next_message_at`, `next_connection_at`, `messages_per_connection`, `why`

Actions that reach beyond the lane (stop the source, the domain or the campaign, hold a promotion) are for the caller: they
stand in the outcome. A warmup allowance limits what the lane leases; nothing of it is here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sender.model import Action, Outcome, Scope, Verdict
from sender.policy.pace import RETURN_S, Pace, Pause
from sender.policy.receivers import Limits
from sender.policy.window import Window

_GROWTH = 2.0  # each pause is twice the last while nothing was delivered in between
_SPREAD = 0.1  # pauses are stretched by up to this share: lanes that were refused together do not return together
# After a connection-limit reply no connection is opened for this long, twice it at most: others must close first.
_LIMITED_S = 30.0
_STOP_S = 3_600.0  # a source that is stopped looks again after an hour: the operator may have mended it meanwhile
_LANE_ACTIONS = frozenset(
    {Action.PAUSE, Action.HALVE, Action.ONE_CONNECTION, Action.MESSAGES_PER_CONNECTION, Action.STOP_SOURCE}
)


@dataclass(slots=True, kw_only=True)
class Throttle:
    """The state of one lane at one receiver. All times are one clock's seconds: a monotonic one's, so that a
    step of the wall clock neither stops a lane nor lets it burst."""

    limits: Limits
    window: Window
    pace: Pace
    rng: Callable[[], float]  # numbers in [0, 1)
    scale: float = 1.0  # multiplies every pause and every return to full speed
    pause: Pause | None = None
    slowed: Pause | None = None  # what slowed the pace last
    shrunk: Pause | None = None  # and what closed the window last, each with the time by which it is as before
    pauses: int = 0  # in a row, with nothing delivered in between
    capped: int | None = None  # messages per connection, as a reply told us
    capped_until: float = 0.0

    @classmethod
    def of(cls, limits: Limits, rng: Callable[[], float], scale: float = 1.0) -> "Throttle":
        pace = Pace.of(limits.messages_per_second, limits.connections_per_minute)
        return cls(limits=limits, window=Window(cap=limits.connections), pace=pace, rng=rng, scale=scale)

    def after(self, outcome: Outcome, now: float, reason: str = "") -> None:
        """Take in what an attempt came to. Delivered costs one comparison and one addition."""
        if outcome.verdict is Verdict.DELIVERED:
            if self.pauses:
                self.pauses = 0
            self.window.delivered()
            return
        if outcome.scope is Scope.SESSION:
            self.window.troubled(now)
        for action in outcome.actions:
            if action in _LANE_ACTIONS:
                self._act(action, outcome, now, reason)

    def paused(self, now: float) -> bool:
        return self.pause is not None and now < self.pause.until

    def would_be_missed(self, now: float) -> bool:
        """Whether one that begins anew would do anything else: of most lanes of the long tail there is nothing to keep."""
        held = self.next_message_at(now) > now or self.next_connection_at(now) > now or self.pace.share(now) < 1
        capped = self.capped is not None and now < self.capped_until
        return held or capped or bool(self.pauses) or not self.window.untried

    def connections(self, now: float) -> int:
        """Connections that may be open now: none while the lane is paused."""
        return 0 if self.paused(now) else self.window.allowed(now)

    def next_message_at(self, now: float) -> float:
        """When one more message may go."""
        due = self.pace.next_message_at(now)
        return due if self.pause is None else max(due, self.pause.until)

    def next_connection_at(self, now: float) -> float:
        """When one more connection may be opened, if the window has room for it."""
        due = self.pace.next_connection_at(now)
        return due if self.pause is None else max(due, self.pause.until)

    def messages_per_connection(self, now: float) -> int:
        if self.capped is None or now >= self.capped_until:
            return self.limits.messages_per_connection
        return min(self.capped, self.limits.messages_per_connection)

    def why(self, now: float) -> str:
        """One line an operator can read: what holds this lane, or that nothing does."""
        if self.pause is not None and now < self.pause.until:
            return f"paused for {self.pause.until - now:.0f} s more: {self.pause!r}"
        wait_s = self.next_message_at(now) - now
        if wait_s > 0:
            return f"next message in {wait_s:.2f} s: {self.pace!r}"
        return f"open: {self.window.allowed(now)} connections, {self.pace!r}"

    def _act(self, action: Action, outcome: Outcome, now: float, reason: str) -> None:
        if action is Action.PAUSE:
            self._pause(outcome, outcome.pause_s or 0.0, now, reason)
        elif action is Action.STOP_SOURCE:
            self._pause(outcome, outcome.pause_s or _STOP_S, now, reason)
        elif action is Action.HALVE:
            self.window.troubled(now)
            hold_s = self.scale * (outcome.pause_s or 0.0)
            self.pace.slow(now, hold_s, self.scale * RETURN_S)
            self.slowed = _because(outcome, now + hold_s + self.scale * RETURN_S, reason)
        elif action is Action.ONE_CONNECTION:
            self.window.limited(now, self.scale * (outcome.pause_s or RETURN_S))
            self.shrunk = _because(outcome, now + self.scale * (outcome.pause_s or RETURN_S), reason)
            self.pace.hold_connections(now + self.scale * _LIMITED_S * (1 + self.rng()))
        elif action is Action.MESSAGES_PER_CONNECTION:
            self.capped, self.capped_until = outcome.limit, now + self.scale * (outcome.pause_s or _STOP_S)

    def _pause(self, outcome: Outcome, pause_s: float, now: float, reason: str) -> None:
        """Replies that arrive during a pause were under way when it began: they lengthen it, and do not count again."""
        if not self.paused(now):
            self.pauses += 1
        grown_s = min(pause_s * _GROWTH ** min(self.pauses - 1, 20), max(pause_s, outcome.pause_max_s or pause_s))
        until = now + self.scale * grown_s * (1 + _SPREAD * self.rng())
        if self.pause is None or until > self.pause.until:
            self.pause = _because(outcome, until, reason)

    def __repr__(self) -> str:
        return f"<Throttle {self.window!r} {self.pace!r} {self.pause!r}>"


def _because(outcome: Outcome, until: float, reason: str) -> Pause:
    return Pause(until=until, rule=outcome.rule, category=outcome.category, reason=reason)
