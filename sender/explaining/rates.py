"""Rates of counters that somebody else counts: looked at now and then, over the last seconds.

`Growth` makes one steady total of counters that come, go and begin again from 0; `Rates` tells how fast a total grows.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from operator import sub

OVER_S = 10.0
_KEPT_S = 300.0  # a counter that nobody has heard of for so long, and that says something again, has begun again


class Growth:
    """By how much counters have grown since they were looked at last; several that begin together have one key."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[float, tuple[int, ...]]] = {}
        self._began: float | None = None  # when the first of them was looked at

    def take(self, key: Hashable, now: float, counts: tuple[int, ...]) -> tuple[int, ...]:
        """Counters say this now; their growth.

        Where one says less than before, all of them have begun again. Those that were never seen are new, unless this is the
        first look at all.
        """
        if self._began is None:
            self._began = now
        seen = self._seen.get(key)
        self._seen[key] = (now, counts)
        if seen is None:
            return (0,) * len(counts) if now <= self._began else counts
        grown = tuple(map(sub, counts, seen[1]))
        return counts if min(grown) < 0 else grown

    def forget(self, now: float) -> None:
        """Forget what was not heard of for long."""
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[0] < _KEPT_S}

    def __repr__(self) -> str:
        return f"<Growth of {len(self._seen)} lots of counters>"


class Rates:
    """Takes in what totals say, and tells by how much each of them grows in a second."""

    def __init__(self, over_s: float = OVER_S) -> None:
        self._over_s = over_s
        self._seen: dict[Hashable, deque[tuple[float, int]]] = {}

    def take(self, key: Hashable, at: float, total: int) -> float | None:
        """A total was this at that time; its rate now, or None where nothing can be said yet."""
        samples = self._seen.setdefault(key, deque())
        if not samples or at > samples[-1][0]:
            samples.append((at, total))
        while len(samples) > 2 and samples[1][0] <= at - self._over_s:
            samples.popleft()
        (first, before), (last, after) = samples[0], samples[-1]
        return (after - before) / (last - first) if last > first else None

    def keep(self, keys: Iterable[Hashable]) -> None:
        """Forget all others."""
        for key in self._seen.keys() - set(keys):
            del self._seen[key]

    def __repr__(self) -> str:
        return f"<Rates of {len(self._seen)} totals over {self._over_s:g} s>"
