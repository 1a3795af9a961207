"""Lanes that an operator holds: one, all of a source, all at a receiver, or all there are.

The store keeps the words; each worker reads them about once a second, beside leasing, and keeps to them. So a hold is no
part of the lease script: what a lane has leased in the moment between is given back untried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sender.model import LaneId
from sender.queue.control import FOR_EVER
from sender.queue.warmups import OTHER, TAIL

ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneHold:
    """An operator's word that nothing is leased for these lanes before `until` (Unix seconds)."""

    source: str = ANY  # its name, or all sources
    receiver: str = ANY  # its name, `OTHER` for all without a profile, or all receivers
    until: float = FOR_EVER
    by: str = ""  # who said it: user@host
    at: float = 0.0  # Unix seconds
    why: str = ""

    @property
    def name(self) -> str:
        """Whom it is about: "s1/google", "s1/*" or "*/google"."""
        return f"{self.source}/{self.receiver}"

    def covers(self, lane: LaneId) -> bool:
        """Whether it is about this lane; whether it is over is for whoever has a clock."""
        tail = self.receiver == OTHER and lane.receiver.startswith(TAIL)
        return self.source in (ANY, lane.source) and (tail or self.receiver in (ANY, lane.receiver))


class Words:
    """Who is held, by the words that stand: cheap to ask, once a lane and not once a message."""

    def __init__(self, holds: Sequence[LaneHold] = ()) -> None:
        self._holds: Mapping[str, LaneHold] = {hold.name: hold for hold in holds}

    def __bool__(self) -> bool:
        return bool(self._holds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Words) and self._holds == other._holds

    def __hash__(self) -> int:
        return hash(tuple(self._holds))

    def of(self, lane: LaneId, now: float) -> LaneHold | None:
        """What holds this lane now: the word that ends last."""
        if not self._holds:
            return None
        found = [hold for name in _names(lane) if (hold := self._holds.get(name)) is not None and now < hold.until]
        return max(found, key=lambda hold: hold.until, default=None)

    def __repr__(self) -> str:
        return f"<Words on {', '.join(self._holds) or 'nobody'}>"


def _names(lane: LaneId) -> list[str]:
    receivers = [lane.receiver, ANY, *([OTHER] if lane.receiver.startswith(TAIL) else [])]
    return [f"{source}/{receiver}" for source in (lane.source, ANY) for receiver in receivers]


class HoldsLanes(Protocol):
    """The part of a queue that keeps these words."""

    async def hold_lanes(self, holds: Sequence[LaneHold]) -> None:
        """Write these words down, each in place of the one there was about the same lanes."""

    async def free_lanes(self, names: Sequence[str]) -> None:
        """Take back what stands under these names, if anything does."""

    async def lane_holds(self) -> Sequence[LaneHold]:
        """The words that stand, those that are over included, by name."""
