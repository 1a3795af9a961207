"""The memory backend's suppressions: who gets no mail, and the news of it."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

import trio

from sender.queue.memory_part import MemoryPart
from sender.queue.suppressions import GLOBAL, NEWS_KEPT, News, Suppression


class MemorySuppressions(MemoryPart):
    """Adding, removing, asking, following."""

    def __init__(self) -> None:
        super().__init__()
        self._suppressed: dict[str, dict[bytes, Suppression]] = {}  # by list
        self._mark = ""
        self._told = 0  # news so far
        self._news: deque[tuple[int, Suppression]] = deque(maxlen=NEWS_KEPT)

    async def suppression_mark(self, mark: str) -> str:
        await trio.lowlevel.checkpoint()
        self._mark = self._mark or mark
        return self._mark

    async def suppress(self, entries: Sequence[Suppression]) -> int:
        await trio.lowlevel.checkpoint()
        return self._suppress(entries)

    def _suppress(self, entries: Sequence[Suppression]) -> int:
        new = 0
        for entry in entries:
            there = self._suppressed.setdefault(entry.list, {})
            found = there.get(entry.digest)
            if found is None or entry.outlasts(found):
                new += found is None or not found.holds(entry.at)
                there[entry.digest] = entry
                self._told += 1
                self._news.append((self._told, entry))
        return new

    async def unsuppress(self, digests: Sequence[bytes], list_name: str) -> int:
        await trio.lowlevel.checkpoint()
        there = self._suppressed.get(list_name, {})
        return sum(there.pop(digest, None) is not None for digest in digests)

    async def suppressed(self, digests: Sequence[bytes], list_name: str, now: float) -> Sequence[Suppression | None]:
        await trio.lowlevel.checkpoint()
        return [self._holding(digest, list_name, now) for digest in digests]

    def _holding(self, digest: bytes, list_name: str, now: float) -> Suppression | None:
        for name in (list_name, GLOBAL):
            found = self._suppressed.get(name, {}).get(digest)
            if found is not None and found.holds(now):
                return found
        return None

    async def suppressions(self, after: str, limit: int) -> tuple[str, Sequence[Suppression]]:
        await trio.lowlevel.checkpoint()
        some = sorted((entry for there in self._suppressed.values() for entry in there.values()), key=_place)
        if after:
            name, _, digest = after.rpartition(" ")
            some = [entry for entry in some if _place(entry) > (name, bytes.fromhex(digest))]
        given = some[:limit]
        return (f"{given[-1].list} {given[-1].digest.hex()}" if len(some) > limit else "", given)

    async def suppression_news(self, after: str, limit: int) -> News:
        await trio.lowlevel.checkpoint()
        if not after:
            return News(cursor=str(self._told), entries=())
        last = int(after)
        skipped = max(0, last - self._news[0][0] + 1) if self._news else 0
        some = list(islice(self._news, skipped, skipped + limit))
        if not some:
            return News(cursor=after, entries=())
        return News(cursor=str(some[-1][0]), entries=[entry for _, entry in some], missed=some[0][0] != last + 1)

    def _sweep_suppressions(self, now: float) -> None:
        """Forget what has expired."""
        for there in self._suppressed.values():
            for digest in [digest for digest, entry in there.items() if not entry.holds(now)]:
                del there[digest]


def _place(entry: Suppression) -> tuple[str, bytes]:
    return entry.list, entry.digest
