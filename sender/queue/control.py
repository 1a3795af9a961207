"""What holds a campaign back, or ends it: by an operator's word, by its schedule, by its rate.

Two layers. A `Control` is an operator's word, kept once for the whole store: it is the truth, and whoever looks can say who
said it and when. `hold`, `discard` and `grant` carry it (and the schedule) into every partition, where the lease script
obeys: all of them may be repeated, so a scheduler applies them until they are true everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sender.model import State

FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """An operator's word on one campaign; `ended` is CANCELLED, or None while the campaign may still be sent."""

    campaign: str
    paused: bool = False
    ended: State | None = None  # for good: neither resume nor pause changes it
    by: str = ""  # who said it: user@host
    at: float = 0.0  # Unix seconds
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing of a campaign is leased from `start` until before `end` (Unix seconds); `FOR_EVER` has no end."""

    campaign: str
    start: float
    end: float


class Controls(Protocol):
    """The part of a queue that holds campaigns back."""

    async def set_control(self, control: Control) -> Control:
        """Write an operator's word down; gives what stands then: an `ended` campaign stays ended. O(1)."""

    async def controls(self, campaigns: Sequence[str] | None = None) -> Mapping[str, Control]:
        """The words on these campaigns, or all there are."""

    async def schedules(self) -> Mapping[str, bytes]:
        """Campaigns that are not finished and have a start, windows, a deadline or a rate, each with its checked spec."""

    async def hold(self, holds: Sequence[Hold]) -> None:
        """Set each campaign's hold in every partition, in place of the one it had; `end <= start` lifts it.

        What is leased stays leased. A campaign that is lifted, or whose hold has passed, is leased again after `wake`.
        """

    async def wake(self, now: float, limit: int) -> int:
        """Put back in line what the lease script had set aside and no hold or empty budget holds any more; how many routes."""

    async def limit_rate(self, campaign: str, limited: bool) -> None:
        """From now on the campaign is leased only as far as `grant` permits; False lifts that."""

    async def grant(self, campaign: str, rate: float, burst: float, now: float) -> int:
        """Let some more of a rate-limited campaign be leased: `rate` envelopes a second since the last call, `burst` at most.

        Any number of callers: what is granted is counted once for the whole store. The first call finds the full burst. What
        was granted and not leased counts towards the burst, and moves to where it can be used. Gives how many envelopes.
        """

    async def discard(self, campaign: str, state: State, limit: int, now: float) -> int:
        """End up to about `limit` envelopes of a campaign that wait, ready or for later, in this state; how many.

        Bounded work: call again until it gives 0. What is leased is not touched.
        """
