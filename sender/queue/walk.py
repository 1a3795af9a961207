"""A walk over all routes with work, a few at a time, so that routes which can't be served now hide no others.

Routes stand in one or more rows, each oldest first. Where all fit into one call, each call gives all. Where they don't, a
call goes on where the last one ended, and a walk begins again only when every row has come to its end. The state is a place
in each row and nothing else: what leaves a row while a walk is on may let others slip by, until the next walk.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Stretch(NamedTuple):
    """The part of a row to look at."""

    start: int
    most: int  # routes


class Walk:
    """Where one observer stands."""

    def __init__(self) -> None:
        self._starts: list[int] = []

    def stretches(self, lengths: Sequence[int], limit: int) -> list[Stretch]:
        """What to look at of rows that are so long now: of each its share of `limit`, and at least one route."""
        if sum(lengths) <= limit or len(self._starts) != len(lengths):
            self._starts = [0] * len(lengths)
        left = self._left(lengths)
        if not any(left):
            self._starts = [0] * len(lengths)
            left = self._left(lengths)
        total = max(sum(left), limit, 1)
        shares = [-(-limit * count // total) for count in left]  # rounded up
        return [Stretch(start, share) for start, share in zip(self._starts, shares, strict=True)]

    def shown(self, counts: Sequence[int]) -> None:
        """So many of each row were given to the caller."""
        self._starts = [start + count for start, count in zip(self._starts, counts, strict=True)]

    def _left(self, lengths: Sequence[int]) -> list[int]:
        return [max(0, length - start) for length, start in zip(lengths, self._starts, strict=True)]
