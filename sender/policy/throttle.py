"""What a lane may do now, and what each outcome changes about it: window, pace and pause in one explainable object.

    outcome -> `after` -> the window shrinks or grows, the pace slows, the lane pauses
    now     -> `connections`, `next_message_at`, `next_connection_at`, `messages_per_connection`, `share`, `why`

1. Trouble lowers a limit at once; it rises again over an hour (`gradual`). There is a floor: one connection, a sixteenth of
   the rates, one message a connection.
2. Sessions that come to nothing one after the other, with no message taken in between, mean that the receiver is not there:
   the lane pauses, longer each time, and asks with one session after each pause. What those sessions did to the window counts
   no more: nobody had asked for less.
3. After any pause the lane begins with one connection and a sixteenth of its rates, and at most doubles each minute.

Actions that reach beyond the lane (stop the source, the domain or the campaign, hold a promotion) are for the caller: they
stand in the outcome. A warmup allowance limits what the lane leases; nothing of it is here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, log2
from typing import NamedTuple

from sender.model import Action, Category, Outcome, Scope, Verdict
from sender.policy.gradual import DOUBLING_S, UP_S, Doubling, Slope
from sender.policy.pace import SLOWEST, Pace, Pause
from sender.policy.receivers import Limits
from sender.policy.window import Window

_GROWTH = 2.0  # each pause is twice the last while nothing was delivered in between
_SPREAD = 0.1  # pauses are stretched by up to this share: lanes that were refused together do not return together
# After a connection-limit reply no connection is opened for this long, twice it at most: others must close first.
_LIMITED_S = 30.0
_STOP_S = 3_600.0  # a source that is stopped looks again after an hour: the operator may have mended it meanwhile
# KumoMTA gives some receivers 5 sessions that fail in a row, others 100 (assets/policy-extras/shaping.toml): beyond those that
# were open when it began, since one restart at the receiver ends all of them together, we give 4 more.
_LOST_MORE = 4
OUTAGE_S, OUTAGE_MAX_S = 30.0, 300.0  # the first of those pauses, and the longest
_WORDS_MOST = 200  # characters that are kept of what a receiver said last
_LANE_ACTIONS = frozenset(
    {Action.PAUSE, Action.HALVE, Action.ONE_CONNECTION, Action.MESSAGES_PER_CONNECTION, Action.STOP_SOURCE}
)


class Refusal(NamedTuple):
    """What a receiver answered that was no message taken; or how a session failed, where it said nothing."""

    at: float
    words: str  # the code first, if it was a reply


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
    shrunk: Pause | None = None  # what closed the window last
    fewer: Pause | None = None  # and what lets a connection carry few messages, each with the time by which it is as before
    ramp: Doubling | None = None  # since the last pause
    few: Slope | None = None  # messages per connection, since that reply
    pauses: int = 0  # in a row, with nothing delivered in between
    lost: int = 0  # sessions that came to nothing, likewise
    patience: int = 0  # so many of them are borne
    before: Slope | None = None  # the window's ceiling when the first of them was lost, or when less was asked for since
    taken: int = 0  # messages, since this object began: what a live view makes rates of
    refused: int = 0  # attempts that came to anything else, likewise
    refusal: Refusal | None = None  # the last of those

    @classmethod
    def of(cls, limits: Limits, rng: Callable[[], float], scale: float = 1.0) -> "Throttle":
        pace = Pace.of(limits.messages_per_second, limits.connections_per_minute)
        return cls(limits=limits, window=Window(cap=limits.connections), pace=pace, rng=rng, scale=scale)

    def after(self, outcome: Outcome, now: float, reason: str = "") -> None:
        """Take in what an attempt came to."""
        if outcome.verdict is Verdict.DELIVERED:
            self.delivered()
            return
        if not _ours(outcome):
            self.refused += 1
            self.refusal = Refusal(now, reason[:_WORDS_MOST])
        if outcome.scope is Scope.SESSION:
            self._lose(outcome, now, reason)
        for action in outcome.actions:
            if action in _LANE_ACTIONS:
                self._act(action, outcome, now, reason)

    def delivered(self) -> None:
        """What nearly all attempts come to: it costs one comparison and two additions."""
        self.taken += 1
        if self.pauses or self.lost:
            self.pauses = self.lost = 0
        self.window.delivered()

    def closed(self, outcome: Outcome, now: float, reason: str) -> None:
        """A session ended with a reply about a recipient or a message, as any 421 ends it (RFC 5321 section 3.8).

        Nobody asks for less; but of a server that answers nothing else, nothing can be had.
        """
        self._lose(outcome, now, reason, shrink=False)

    def hold(self) -> None:
        """An operator holds the lane, for who knows how long."""
        self._begin_again(inf)

    def resume(self, now: float) -> None:
        """The lane begins to work once more: with the least, if it had been held."""
        self.taken = self.refused = 0
        if self.ramp is not None and self.ramp.since == inf:
            self._begin_again(self.next_message_at(now) if self.paused(now) else now)

    def paused(self, now: float) -> bool:
        return self.pause is not None and now < self.pause.until

    def would_be_missed(self, now: float) -> bool:
        """Whether one that begins anew would do anything else: of most lanes of the long tail there is nothing to keep."""
        held = self.next_message_at(now) > now or self.next_connection_at(now) > now or self.share(now) < 1
        few = self.messages_per_connection(now) < self.limits.messages_per_connection
        return held or few or bool(self.pauses) or bool(self.lost) or not self.window.untried

    def connections(self, now: float) -> int:
        """Connections that may be open now: none while the lane is paused."""
        if self.paused(now):
            return 0
        allowed = self.window.allowed(now)
        return allowed if self.ramp is None else min(allowed, int(self.ramp.at(now)))

    def next_message_at(self, now: float) -> float:
        """When one more message may go."""
        due = self.pace.next_message_at(now)
        return due if self.pause is None else max(due, self.pause.until)

    def next_connection_at(self, now: float) -> float:
        """When one more connection may be opened, if the window has room for it."""
        due = self.pace.next_connection_at(now)
        return due if self.pause is None else max(due, self.pause.until)

    def take_message(self, now: float) -> None:
        """One more message goes now."""
        self.pace.take_message(now, 1.0 if self.pace.slowed is None and self.ramp is None else self.share(now))

    def take_connection(self, now: float) -> None:
        """One more connection is opened, as soon as it may be."""
        self.pace.take_connection(now, self.share(now))

    def share(self, now: float) -> float:
        """The share of the full rates that is allowed now."""
        share = self.pace.share(now)
        if self.ramp is None:
            return share
        if now >= self.returned_at:
            self.ramp = None
            return share
        return min(share, SLOWEST * self.ramp.at(now))

    def messages_per_second(self, now: float) -> float:
        """The pace that is allowed now, pauses apart."""
        return self.limits.messages_per_second * self.share(now)

    @property
    def returned_at(self) -> float:
        """When the lane may do all that its limits permit, after its last pause; 0 where there was none lately."""
        if self.ramp is None:
            return 0.0
        return self.ramp.reaches(log2(max(1 / SLOWEST, self.limits.connections)))

    def messages_per_connection(self, now: float) -> int:
        if self.few is None:
            return self.limits.messages_per_connection
        if now >= self.few.ends:
            self.few = None
            return self.limits.messages_per_connection
        return int(self.few.at(now))

    def actions(self, now: float) -> Iterator[tuple[Action, Pause]]:
        """What refusals have brought about and is not over, each with why and until when."""
        for action, cause in (
            (Action.PAUSE, self.pause),
            (Action.HALVE, self.slowed),
            (Action.ONE_CONNECTION, self.shrunk),
            (Action.MESSAGES_PER_CONNECTION, self.fewer),
        ):
            if cause is not None and now < cause.until:
                yield action, cause

    def why(self, now: float) -> str:
        """One line an operator can read: what holds this lane, or that nothing does."""
        if self.pause is not None and now < self.pause.until:
            return f"paused for {self.pause.until - now:.0f} s more: {self.pause!r}"
        wait_s = self.next_message_at(now) - now
        if wait_s > 0:
            return f"next message in {wait_s:.2f} s: {self.pace!r}"
        back = f", all that it may in {self.returned_at - now:.0f} s" if self.share(now) < 1 and self.ramp is not None else ""
        return f"open: {self.connections(now)} connections{back}, {self.pace!r}"

    def _act(self, action: Action, outcome: Outcome, now: float, reason: str) -> None:
        up_s, pause_s = self.scale * UP_S, self.scale * (outcome.pause_s or 0.0)
        if action is Action.PAUSE:
            self._pause(outcome, now, reason)
        elif action is Action.STOP_SOURCE:
            self._pause(outcome, now, reason, _STOP_S)
        elif action is Action.HALVE:
            self.window.troubled(now, pause_s, up_s)
            self.before = self.window.ceiling
            self.pace.slow(now, pause_s, up_s)
            self.slowed = _because(outcome, now + pause_s + up_s, reason)
        elif action is Action.ONE_CONNECTION:
            self.window.limited(now, pause_s or up_s)
            self.before = self.window.ceiling
            self.shrunk = _because(outcome, now + (pause_s or up_s), reason)
            self.pace.hold_connections(now + self.scale * _LIMITED_S * (1 + self.rng()))
        elif action is Action.MESSAGES_PER_CONNECTION and outcome.limit is not None:
            most = self.limits.messages_per_connection
            hold_s = pause_s or self.scale * _STOP_S
            self.few = Slope(low=min(outcome.limit, most), high=most, since=now, hold_s=hold_s, over_s=up_s)
            self.fewer = _because(outcome, self.few.ends, reason)

    def _lose(self, outcome: Outcome, now: float, reason: str, *, shrink: bool = True) -> None:
        """A session came to nothing."""
        if _ours(outcome):
            return
        if not self.lost:
            self.patience, self.before = self.window.allowed(now) + _LOST_MORE, self.window.ceiling
        self.lost += 1
        if self.lost < self.patience:
            if shrink:
                self.window.troubled(now, 0.0, self.scale * UP_S)
            return
        self.window.ceiling = self.before
        why = f"{self.lost} sessions in a row came to nothing, the last one: {reason}"
        self._pause(outcome, now, why, OUTAGE_S, OUTAGE_MAX_S)

    def _pause(
        self, outcome: Outcome, now: float, reason: str, without_s: float = 0.0, without_max_s: float | None = None
    ) -> None:
        """Stop for as long as the outcome says, or `without_s`; then begin again with the least.

        Replies that arrive during a pause were under way when it began: they lengthen it, and do not count again.
        """
        if not self.paused(now):
            self.pauses += 1
        pause_s = outcome.pause_s or without_s
        most_s = max(pause_s, outcome.pause_max_s or without_max_s or pause_s)
        grown_s = min(pause_s * _GROWTH ** min(self.pauses - 1, 20), most_s)
        until = now + self.scale * grown_s * (1 + _SPREAD * self.rng())
        if self.pause is None or until > self.pause.until:
            self.pause = _because(outcome, until, reason)
            self._begin_again(until)

    def _begin_again(self, at: float) -> None:
        self.window.restart()
        self.ramp = Doubling(since=at, every_s=self.scale * DOUBLING_S)

    def __repr__(self) -> str:
        return f"<Throttle {self.window!r} {self.pace!r} {self.pause!r}>"


def _ours(outcome: Outcome) -> bool:
    """Whether something of ours was wanting: that says nothing about the receiver."""
    return outcome.verdict is Verdict.UNSENT and outcome.category is Category.SYSTEM


def _because(outcome: Outcome, until: float, reason: str) -> Pause:
    return Pause(until=until, rule=outcome.rule, category=outcome.category, reason=reason)
