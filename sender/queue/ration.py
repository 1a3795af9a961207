"""How a limited rate is shared out among places that have work: pure arithmetic.

A rate holds for a campaign as a whole, but what it permits lies in budgets, one in each partition of the store. Whoever has
used up his budget is hungry and gets more; one that can't use what it has, because its lanes are held, gives half of it back
each time, so that it keeps nobody else waiting.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one partition has of a campaign: envelopes ready, and how many of them it may lease."""

    ready: int
    budget: int

    @property
    def hungry(self) -> bool:
        return self.ready > 0 and self.budget <= 0

    @property
    def room(self) -> int:
        """How many more envelopes it could use."""
        return max(0, self.ready - self.budget)


def surplus(places: Sequence[Place]) -> list[int]:
    """What each is to give back: all where nothing is ready, else half of it, but only where another one is hungry."""
    hungry = any(place.hungry for place in places)
    return [_surplus(place, hungry) for place in places]


def _surplus(place: Place, hungry: bool) -> int:
    if place.ready <= 0:
        return max(0, place.budget)
    return max(0, place.budget) // 2 if hungry else 0


def rooms(places: Sequence[Place]) -> list[int]:
    """How many more envelopes each may get: the hungry ones alone, where there are any."""
    hungry = any(place.hungry for place in places)
    return [place.room if place.hungry or not hungry else 0 for place in places]


def shares(amount: int, most: Sequence[int]) -> list[int]:
    """Share an amount in proportion, nobody more than his most; whole numbers, the largest remainders first."""
    total = sum(most)
    if amount >= total:
        return list(most)
    given = [amount * one // total for one in most]
    by_remainder = sorted(range(len(most)), key=lambda place: -(amount * most[place] % total))
    for place in by_remainder[: amount - sum(given)]:
        given[place] += 1
    return given
