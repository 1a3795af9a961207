"""The Redis backend's warmup: caps and what is counted of them, where every lane stands, and who changed it.

A lane's cap and statistics stand in its route's partition, beside the leases that they bind. A shared account has a hash tag
of its own; the statistics under its name are the sum over partitions, because marks are counted where leases are settled.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sender.model import Cap, Mark
from sender.queue.client import Command
from sender.queue.keys import ACCOUNTS, AUDIT, AUDIT_TOLD, PROGRESS, Partition, account
from sender.queue.quota import Quota, use_of
from sender.queue.redis_leases import fields_of
from sender.queue.redis_upkeep import RedisUpkeep
from sender.queue.scripts import Argument
from sender.queue.warmups import AUDIT_KEPT, Account, Change, Kept, Use

_COMPLAINTS = "complaints"
_MARKS = frozenset(Mark)


class RedisWarmups(RedisUpkeep):
    """See `sender.queue.warmups.Warmups`."""

    async def set_caps(self, caps: Mapping[Account, Cap | None], now: float) -> None:
        shared = [to.name for to in caps if to.route is None]
        first: list[Command] = [("SADD", ACCOUNTS, *shared)] if shared else []  # before any of its units is reserved
        await self._client.run(first)
        await self._client.run([self._set_cap(to, cap, now) for to, cap in caps.items()])

    def _set_cap(self, to: Account, cap: Cap | None, now: float) -> Command:
        keys, outstanding = self._counted(to)
        return self._script("set_cap", keys, outstanding, now, _kept_cap(cap) if cap is not None else "")

    def _counted(self, to: Account) -> tuple[tuple[str, str], str]:
        """Where an account's units are counted: its key, and the key and the field of those outstanding."""
        if to.route is None:
            return (account(to.name), account(to.name)), "out"
        partition = self._layout.of(to.route)
        return (partition.key(f"cap:{to.name}"), partition.key("out")), to.name

    async def use(self, accounts: Sequence[Account], now: float) -> Mapping[Account, Use]:
        commands: list[Command] = []
        for one in accounts:
            (key, outstanding), name = self._counted(one)
            commands += [("HGETALL", key), ("HGET", outstanding, name)]
            commands += [("HGETALL", partition.key(f"marks:{one.name}")) for partition in self._homes(one)]
        answers = iter(await self._client.run(commands))
        found = {}
        for one in accounts:
            quota = _quota(fields_of(next(answers)), int(next(answers) or 0))
            marks = [fields_of(next(answers)) for _ in self._homes(one)]
            found[one] = use_of(quota, now, *_statistics(marks))
        return found

    def _homes(self, of: Account) -> Sequence[Partition]:
        """The partitions that have statistics under this name."""
        return (self._layout.of(of.route),) if of.route is not None else self._layout.partitions

    async def complain(self, account: Account, day: int, complaints: int) -> None:
        home = self._homes(account)[0] if account.route is not None else self._layout.home(account.name)
        key = home.key(f"marks:{account.name}")
        await self._client.run([("HINCRBY", key, f"{day} {_COMPLAINTS}", complaints)])

    async def reserve(self, account: Account, units: int, now: float) -> int:
        return await self._accounts.take(account.name, units, now)

    async def progress(self, names: Sequence[str] | None = None) -> Mapping[str, Kept]:
        if names is None:
            (pairs,) = await self._client.run([("HGETALL", PROGRESS)])
            return {name.decode(): _kept(name.decode(), octets) for name, octets in fields_of(pairs).items()}
        states = await self._client.run([("HGET", PROGRESS, name) for name in names])
        return {name: _kept(name, octets) for name, octets in zip(names, states, strict=True) if octets is not None}

    async def change_progress(self, changes: Sequence[Change]) -> Sequence[str]:
        arguments: list[Argument] = [AUDIT_KEPT]
        for change in changes:
            arguments += [change.name, change.version, change.body, change.audit]
        (names,) = await self._client.run([self._script("change_progress", (PROGRESS, AUDIT), *arguments)])
        return [name.decode() for name in names]

    async def audit(self, before: str = "", limit: int = 100) -> tuple[str, Sequence[bytes]]:
        last = f"({before}" if before else "+"
        (entries,) = await self._client.run([("XREVRANGE", AUDIT, last, "-", "COUNT", limit)])
        cursor = entries[-1][0].decode() if len(entries) == limit else ""
        return cursor, [fields_of(fields)[b"line"] for _, fields in entries]

    async def untold_audit(self, limit: int) -> Sequence[tuple[str, bytes]]:
        (told,) = await self._client.run([("GET", AUDIT_TOLD)])
        first = f"({told.decode()}" if told else "-"
        (entries,) = await self._client.run([("XRANGE", AUDIT, first, "+", "COUNT", limit)])
        return [(name.decode(), fields_of(fields)[b"line"]) for name, fields in entries]

    async def audit_told(self, last: str) -> None:
        await self._client.run([("SET", AUDIT_TOLD, last)])

    async def tell_audit(self, entries: Sequence[bytes]) -> None:
        await self._client.run([("XADD", AUDIT, "MAXLEN", "~", AUDIT_KEPT, "*", "v", 1, "line", entry) for entry in entries])


def _kept_cap(cap: Cap) -> str:
    """A cap as quota.lua reads it; repr gives back the very same number."""
    return f"{cap.day} {cap.starts!r} {cap.ends!r} {cap.per_day} {cap.per_hour} {cap.per_minute}"


def _quota(fields: Mapping[bytes, bytes], outstanding: int) -> Quota:
    if b"cap" not in fields:
        return Quota(outstanding=outstanding)
    day, starts, ends, per_day, per_hour, per_minute = fields[b"cap"].split()
    return Quota(
        cap=Cap(
            day=int(day),
            starts=float(starts),
            ends=float(ends),
            per_day=int(per_day),
            per_hour=int(per_hour),
            per_minute=int(per_minute),
        ),
        lifted=fields[b"lifted"] == b"1",
        at=float(fields[b"at"]),
        counts=[int(fields[name]) for name in (b"d", b"h", b"m")],
        begun=[float(fields[name]) for name in (b"D", b"H", b"M")],
        outstanding=outstanding,
    )


def _statistics(several: Sequence[Mapping[bytes, bytes]]) -> tuple[Mapping[int, Mapping[Mark, int]], Mapping[int, int]]:
    """Marks and complaints by sending day, summed up; what a later program counts is passed over."""
    marks: dict[int, Counter[Mark]] = defaultdict(Counter)
    complaints: Counter[int] = Counter()
    for fields in several:
        for field, count in fields.items():
            day, _, what = field.decode().partition(" ")
            if what == _COMPLAINTS:
                complaints[int(day)] += int(count)
            elif what in _MARKS:
                marks[int(day)][Mark(what)] += int(count)
    return {day: dict(counts) for day, counts in marks.items()}, dict(complaints)


def _kept(name: str, octets: bytes) -> Kept:
    version, _, body = octets.partition(b" ")
    return Kept(name=name, version=int(version), body=body)
