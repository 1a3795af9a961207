"""What became of each recipient, four bits an ordinal: how one is found again after it has left every other place.

A state's number is stored, so it never changes; a new state takes a free one. They are a memory for operators, written beside
the settlement and not with it: what counts is counted in the partitions.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sender.model import State
from sender.queue.base import BATCH_ROWS

NONE = 0  # nothing was recorded
DEFERRED = 15  # an attempt was made, and another will follow
SEGMENT = 1000 * BATCH_ROWS  # ordinals of one string in the store: one stray batch number must not take 500 MB

NUMBERS: Mapping[State, int] = {
    State.DELIVERED: 1,
    State.REJECTED: 2,
    State.EXPIRED: 3,
    State.SUPPRESSED: 4,
    State.INVALID: 5,
    State.CANCELLED: 6,
    State.UNKNOWN: 7,
}
STATES: Mapping[int, State] = {number: state for state, number in NUMBERS.items()}


def by_segment(fates: Iterable[tuple[int, int]]) -> Mapping[int, Mapping[int, list[str]]]:
    """(ordinal, fate) pairs as the store takes them: segment -> fate -> places in the segment, as BITFIELD writes them."""
    segments: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for ordinal, fate in fates:
        segments[ordinal // SEGMENT][fate].append(f"#{ordinal % SEGMENT}")
    return segments


class Fates:
    """The fates of one campaign in memory: a kilobyte for each batch of which one recipient has any."""

    def __init__(self) -> None:
        self._batches: dict[int, bytearray] = {}

    def __getitem__(self, ordinal: int) -> int:
        batch = self._batches.get(ordinal // BATCH_ROWS)
        return batch[ordinal % BATCH_ROWS] if batch is not None else NONE

    def __setitem__(self, ordinal: int, fate: int) -> None:
        batch = self._batches.setdefault(ordinal // BATCH_ROWS, bytearray(BATCH_ROWS))
        batch[ordinal % BATCH_ROWS] = fate
