"""A TTL cache for answers that take a while to fetch: bounded, single-flight, and stale rather than empty-handed.

The value is the fetcher's own business; an answer that says "there is none" is a value like any other. What the cache adds:

1. One fetch per key at a time: whoever else asks meanwhile waits for it. If the task that fetches is cancelled, one of those
   that wait fetches in its place.
2. A failed fetch is remembered for `failure_s`, so that a dead server is not asked again by every task.
3. An answer that has expired is still given for `stale_s` while fetching fails (RFC 8767).
4. The least recently used entries go first once there are more than `size`.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class FetchFailed(Exception):
    """The answer could not be had for now; what is known already stays true for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh(Generic[T]):
    """A fetched value and how many seconds it holds."""

    value: T
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    entries: int
    hits: int
    misses: int  # fetches begun
    stale: int  # expired answers given because fetching failed
    failures: int  # fetches that failed


@dataclass(slots=True, kw_only=True)
class _Entry(Generic[T]):
    fresh: Fresh[T] | None = None
    expires: float = 0.0
    failure: str = ""
    retry_at: float = 0.0


@dataclass(slots=True)
class _Flight(Generic[T]):
    landed: trio.Event = field(default_factory=trio.Event)
    entry: _Entry[T] | None = None  # stays None when the fetching task was cancelled


class TtlCache(Generic[T]):
    """Answers by key. Times are seconds of `trio.current_time`; `count` is told "hit", "miss" or "stale"."""

    def __init__(self, *, size: int, stale_s: float, failure_s: float, count: Callable[[str], None] | None = None) -> None:
        self._size, self._stale_s, self._failure_s = size, stale_s, failure_s
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._flights: dict[str, _Flight[T]] = {}
        self._count = count
        self._hits = self._misses = self._stale = self._failures = 0

    def __repr__(self) -> str:
        return f"<TtlCache {len(self._entries)} of {self._size}, {len(self._flights)} in flight>"

    def get_nowait(self, key: str) -> Fresh[T] | None:
        """The answer if it is here and has not expired."""
        entry = self._entries.get(key)
        if entry is None or entry.fresh is None or trio.current_time() >= entry.expires:
            return None
        self._entries.move_to_end(key)
        self._hits += 1
        if self._count is not None:
            self._count("hit")
        return entry.fresh

    async def get(self, key: str, fetch: Callable[[T | None], Awaitable[Fresh[T]]]) -> T:
        """The answer, fetched where need be; `fetch` is given the last one known, however old.

        Raises FetchFailed where it could not be had and none is known that is less than `stale_s` out of date.
        """
        await trio.lowlevel.checkpoint()
        while True:
            known = self.get_nowait(key)
            if known is not None:
                return known.value
            entry = self._entries.get(key)
            if entry is not None and trio.current_time() < entry.retry_at:
                return self._stale_or_raise(entry)
            flight = self._flights.get(key)
            if flight is None:
                return self._settled(await self._fetch(key, fetch))
            await flight.landed.wait()
            if flight.entry is not None:
                return self._settled(flight.entry)

    async def _fetch(self, key: str, fetch: Callable[[T | None], Awaitable[Fresh[T]]]) -> _Entry[T]:
        flight = self._flights[key] = _Flight()
        entry = self._entries.get(key) or _Entry()
        self._misses += 1
        if self._count is not None:
            self._count("miss")
        try:
            try:
                entry.fresh = await fetch(entry.fresh.value if entry.fresh else None)
                entry.expires, entry.retry_at = trio.current_time() + entry.fresh.ttl_s, 0.0
            except FetchFailed as error:
                self._failures += 1
                entry.failure, entry.retry_at = str(error), trio.current_time() + self._failure_s
            flight.entry = entry
            self._keep(key, entry)
            return entry
        finally:
            del self._flights[key]
            flight.landed.set()

    def _keep(self, key: str, entry: _Entry[T]) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def _settled(self, entry: _Entry[T]) -> T:
        """The outcome of a fetch that has just ended: its answer counts even if its TTL is 0."""
        if entry.retry_at:
            return self._stale_or_raise(entry)
        assert entry.fresh is not None
        return entry.fresh.value

    def _stale_or_raise(self, entry: _Entry[T]) -> T:
        if entry.fresh is not None and trio.current_time() < entry.expires + self._stale_s:
            self._stale += 1
            if self._count is not None:
                self._count("stale")
            return entry.fresh.value
        raise FetchFailed(entry.failure)

    def statistics(self) -> CacheStatistics:
        """Counts since the cache was made."""
        return CacheStatistics(
            entries=len(self._entries),
            hits=self._hits,
            misses=self._misses,
            stale=self._stale,
            failures=self._failures,
        )
