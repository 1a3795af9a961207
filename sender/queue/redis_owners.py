"""The Redis backend's owners: who is a member, who was fenced, and what each of them holds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sender.model import LaneId, Route
from sender.queue.base import HeldLease, Lease
from sender.queue.client import Command
from sender.queue.keys import FENCED, MEMBERS, Partition
from sender.queue.redis_leases import Record, RedisLeases, fields_of
from sender.queue.redis_part import Bits
from sender.queue.scripts import Argument

_RECORDS_AT_ONCE = 200


class RedisOwners(RedisLeases):
    """Joining, beating, fencing, resigning."""

    async def join(self, owner: str) -> None:
        (joined,) = await self._client.run([self._script("join", (MEMBERS, FENCED), owner)])
        if not joined:
            raise ValueError(f"owner {owner} was fenced: its name is never used again")

    async def heartbeat(self, owner: str) -> Sequence[str]:
        (names,) = await self._client.run([self._script("beat", (MEMBERS,), owner)])
        members = sorted(name.decode() for name in names)
        if owner not in members:
            self._accounts.lost(owner)
        return members

    async def beats(self) -> Mapping[str, int]:
        (pairs,) = await self._client.run([("HGETALL", MEMBERS)])
        return {owner.decode(): int(beat) for owner, beat in fields_of(pairs).items()}

    async def fence(self, owners: Mapping[str, int | None], *, told: bool = False) -> Sequence[str]:
        arguments: list[Argument] = [int(told)]
        for owner, beat in owners.items():
            arguments += [owner, "" if beat is None else beat]
        (names,) = await self._client.run([self._script("fence", (MEMBERS, FENCED), *arguments)])
        return [name.decode() for name in names]

    async def fenced(self) -> Sequence[str]:
        (names,) = await self._client.run([("HKEYS", FENCED)])
        return sorted(name.decode() for name in names)

    async def resign(self, owner: str) -> None:
        await self._client.run([("HDEL", MEMBERS, owner), *self._unclaim_all(owner)])
        await self._accounts.resign(owner)

    def _unclaim_all(self, owner: str) -> Iterator[Command]:
        for partition in self._layout.partitions:
            yield self._script("unclaim", (partition.key("claims"),), owner)

    async def held(self, owner: str) -> Sequence[HeldLease]:
        partitions = self._layout.partitions
        answers = await self._client.run([("HGETALL", part.key("leases")) for part in partitions])
        theirs = [
            (partition, lease.decode())
            for partition, pairs in zip(partitions, answers, strict=True)
            for lease, holder in fields_of(pairs).items()
            if holder == owner.encode()
        ]
        held: list[HeldLease] = []
        for start in range(0, len(theirs), _RECORDS_AT_ONCE):
            held += await self._read_held(theirs[start : start + _RECORDS_AT_ONCE])
        return held

    async def _read_held(self, leases: Sequence[tuple[Partition, str]]) -> list[HeldLease]:
        """These leases, without those that are gone or that nobody can have got, because a pack can't be read."""
        commands: list[Command] = []
        for partition, lease in leases:
            commands += [("HGETALL", partition.key(f"lease:{lease}")), ("GET", partition.key(f"settled:{lease}"))]
        answers = await self._client.run(commands)
        found = [_held(lease, *answers[2 * place : 2 * place + 2]) for place, (_, lease) in enumerate(leases)]
        return [held for held in found if held is not None]

    async def time(self) -> float:
        ((seconds, microseconds),) = await self._client.run([self._script("clock", (MEMBERS,))])
        return int(seconds) + int(microseconds) / 1e6


def _held(lease: str, pairs: Any, settled: bytes | None) -> HeldLease | None:
    fields = fields_of(pairs)
    record, done = Record.read(fields), Bits(settled)
    if not fields or record.unreadable:
        return None
    source, _, receiver = fields[b"lane"].decode().partition("/")
    return HeldLease(
        lease=Lease(
            id=lease,
            lane=LaneId(source=source, receiver=receiver),
            route=Route.read(fields[b"route"].decode()),
            owner=fields[b"owner"].decode(),
            envelopes=tuple(record.envelopes.values()),
        ),
        open=frozenset(position for position in record.envelopes if position not in done),
    )
