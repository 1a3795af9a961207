"""The Redis backend's suppressions: hashes from digest to entry, and a stream of news, all under one tag."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sender.queue.client import Command
from sender.queue.keys import (
    SUPPRESSED,
    SUPPRESSED_OF,
    SUPPRESSION_EXPIRY,
    SUPPRESSION_LISTS,
    SUPPRESSION_MARK,
    SUPPRESSION_NEWS,
    SUPPRESSION_TOLD,
)
from sender.queue.redis_part import RedisPart
from sender.queue.suppressions import GLOBAL, NEWS_KEPT, News, Suppression

DIGEST_OCTETS = 16
_AT_ONCE = 1000  # entries of one command: a script holds up everybody else
_SWEPT_AT_ONCE = 1000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str, float, float]).decode


class RedisSuppressions(RedisPart):
    """Adding, removing, asking, following."""

    async def suppression_mark(self, mark: str) -> str:
        (found,) = await self._client.run([("GET", SUPPRESSION_MARK)])
        if found is None:
            _, found = await self._client.run([("SET", SUPPRESSION_MARK, mark, "NX"), ("GET", SUPPRESSION_MARK)])
        return str(found.decode())

    async def suppress(self, entries: Sequence[Suppression]) -> int:
        return sum(await self._client.run(list(self._suppress("suppress", entries))))

    async def _suppress_refused(self, entries: Sequence[Suppression]) -> None:
        """The same where memory is short."""
        await self._client.run(list(self._suppress("suppress_refused", entries)))

    def _suppress(self, script: str, entries: Sequence[Suppression]) -> Iterator[Command]:
        by_list: dict[str, list[Suppression]] = defaultdict(list)
        for entry in entries:
            by_list[entry.list].append(_checked(entry))
        for name, several in by_list.items():
            keys = (_key(name), SUPPRESSION_EXPIRY, SUPPRESSION_LISTS, SUPPRESSION_NEWS, SUPPRESSION_TOLD)
            for start in range(0, len(several), _AT_ONCE):
                pairs = [(entry.digest, _written(entry)) for entry in several[start : start + _AT_ONCE]]
                yield self._script(script, keys, name, NEWS_KEPT, *(octets for pair in pairs for octets in pair))

    async def unsuppress(self, digests: Sequence[bytes], list_name: str) -> int:
        keys = (_key(list_name), SUPPRESSION_EXPIRY, SUPPRESSION_LISTS)
        starts = range(0, len(digests), _AT_ONCE)
        return sum(
            await self._client.run(
                [self._script("unsuppress", keys, list_name, *digests[start : start + _AT_ONCE]) for start in starts]
            )
        )

    async def suppressed(self, digests: Sequence[bytes], list_name: str, now: float) -> Sequence[Suppression | None]:
        lists = (list_name, GLOBAL) if list_name != GLOBAL else (GLOBAL,)
        pieces = [digests[start : start + _AT_ONCE] for start in range(0, len(digests), _AT_ONCE)]
        found: list[Suppression | None] = [None] * len(digests)
        answers = await self._client.run([("HMGET", _key(name), *piece) for name in lists for piece in pieces])
        entries = (octets for answer in answers for octets in answer)
        for name in lists:
            for place, digest in enumerate(digests):
                octets = next(entries)
                if octets is not None and found[place] is None and (entry := _read(digest, name, octets)).holds(now):
                    found[place] = entry
        return found

    async def suppressions(self, after: str, limit: int) -> tuple[str, Sequence[Suppression]]:
        """The cursor is the server's own in one hash, and that hash's list."""
        cursor, _, name = after.partition(" ") if after else ("0", "", GLOBAL)
        following: Command = ("ZRANGEBYLEX", SUPPRESSION_LISTS, f"({name}" if name else "-", "+", "LIMIT", 0, 1)
        (reached, pairs), lists = await self._client.run([("HSCAN", _key(name), cursor, "COUNT", limit), following])
        entries = [_read(digest, name, octets) for digest, octets in zip(pairs[::2], pairs[1::2], strict=True)]
        if reached != b"0":
            return f"{reached.decode()} {name}", entries
        return (f"0 {lists[0].decode()}" if lists else "", entries)

    async def suppression_news(self, after: str, limit: int) -> News:
        """The cursor is an entry's id, and its number: who meets another number than the next one has missed some."""
        if not after:
            (last,) = await self._client.run([("XREVRANGE", SUPPRESSION_NEWS, "+", "-", "COUNT", 1)])
            return News(cursor=_cursor(last[0]) if last else "0-0 0", entries=())
        entry, _, number = after.partition(" ")
        (found,) = await self._client.run([("XRANGE", SUPPRESSION_NEWS, f"({entry}", "+", "COUNT", limit)])
        if not found:
            return News(cursor=after, entries=())
        news = [_fields(fields) for _, fields in found]
        return News(
            cursor=_cursor(found[-1]),
            entries=[_read(one[b"digest"], one[b"list"].decode(), one[b"entry"]) for one in news],
            missed=int(news[0][b"n"]) != int(number) + 1,
        )

    async def _sweep_suppressions(self, now: float) -> None:
        """Forget some of what has expired; the rest at the next call."""
        keys = (SUPPRESSION_EXPIRY, SUPPRESSION_LISTS)
        await self._client.run([self._script("sweep_suppressions", keys, now, _SWEPT_AT_ONCE, DIGEST_OCTETS)])


def _key(list_name: str) -> str:
    return SUPPRESSED if list_name == GLOBAL else SUPPRESSED_OF + list_name


def _checked(entry: Suppression) -> Suppression:
    if len(entry.digest) != DIGEST_OCTETS:
        raise ValueError(f"a digest has {DIGEST_OCTETS} octets, found {len(entry.digest)}")
    return entry


def _written(entry: Suppression) -> bytes:
    return _encode((entry.reason, entry.source, entry.at, entry.expires))


def _read(digest: bytes, list_name: str, octets: bytes) -> Suppression:
    """An entry that can't be read still means that somebody gets no mail."""
    try:
        reason, source, at, expires = _decode(octets)
    except msgspec.MsgspecError:
        reason, source, at, expires = "unreadable", "", 0.0, 0.0
    return Suppression(digest=digest, list=list_name, reason=reason, source=source, at=at, expires=expires)


def _fields(pairs: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _cursor(entry: Sequence[Any]) -> str:
    name, pairs = entry
    return f"{name.decode()} {_fields(pairs)[b'n'].decode()}"
