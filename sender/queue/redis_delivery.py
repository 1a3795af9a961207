"""The Redis backend's second half: leasing, settling, and what returns.

The lease script hands out whole packs; where the last one holds more than was asked for, the rest is packed here and
handed back before the lease is given to anyone. What goes back is packed here too: scripts read pack headers only.
"""

import itertools
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from sender.model import Envelope, LaneId, Route
from sender.queue.base import OWNER_LIFE_S, Lease, LeaseRequest, Settlement
from sender.queue.client import Client, Command
from sender.queue.keys import OWNERS, Layout, Partition
from sender.queue.later import Return, group
from sender.queue.pack import decode, encode_all
from sender.queue.redis_part import EVENT_ENTRIES, Bits, RedisPart
from sender.queue.scripts import Argument

_LIVE_KNOWN_S = 5.0  # how long the list of live owners is used: well below an owner's life
_ARGUMENTS_BEFORE = 3  # of settle.lua, before its packs and events

_Told: TypeAlias = tuple[Settlement, Sequence[Return]]


class RedisDelivery(RedisPart):
    """Leasing, settling, heartbeats, and giving back."""

    def __init__(self, client: Client, layout: Layout) -> None:
        super().__init__(client, layout)
        self._tokens = (f"{secrets.token_hex(6)}-{number}-" for number in itertools.count())
        self._live: tuple[str, ...] = ()
        self._live_at = float("-inf")

    async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Sequence[Lease]:
        if not 0 <= now - self._live_at <= _LIVE_KNOWN_S:
            await self._look_who_lives(now)
        by_partition: dict[Partition, list[LeaseRequest]] = defaultdict(list)
        for request in requests:
            by_partition[self._layout.of(request.route)].append(request)
        owners = {request.owner for request in requests}
        beats: list[Command] = [("ZADD", OWNERS, "GT", now, owner) for owner in owners]
        scripts = [self._lease(partition, some, now) for partition, some in by_partition.items()]
        answers = (await self._client.run(beats + scripts))[len(beats) :]
        leases: list[Lease] = []
        splits: list[Command] = []
        for (partition, some), granted in zip(by_partition.items(), answers, strict=True):
            for number, *record in granted:
                lease, rest = _read_lease(some[number], record)
                leases.append(lease)
                splits += [
                    self._script("split", (partition.key(f"lease:{lease.id}"),), partition.prefix, pack)
                    for pack in encode_all(rest)
                ]
        await self._client.run(splits)
        return leases

    def _lease(self, partition: Partition, requests: Sequence[LeaseRequest], now: float) -> Command:
        keys = (partition.key("claims"), partition.key("leases"), partition.key("epoch"))
        live = msgspec.msgpack.encode(self._live)
        arguments: list[Argument] = [partition.prefix, now, OWNER_LIFE_S, next(self._tokens), live]
        for request in requests:
            arguments += [str(request.lane), str(request.route), request.owner, request.envelopes]
        return self._script("lease", keys, *arguments)

    async def settle(self, settlements: Sequence[Settlement], now: float) -> None:
        """Settle, then once more what had to be packed again because it was settled in part before."""
        by_partition: dict[Partition, list[Settlement]] = defaultdict(list)
        for settlement in settlements:
            by_partition[self._layout.of(settlement.route)].append(settlement)
        work: list[tuple[Partition, list[_Told]]] = [
            (partition, [(settlement, group(settlement.again)) for settlement in some])
            for partition, some in by_partition.items()
        ]
        while work:
            answers = await self._client.run([self._settle(partition, some) for partition, some in work])
            work = [
                (partition, [_what_is_open(some, *place) for place in partly])
                for (partition, some), partly in zip(work, answers, strict=True)
                if partly
            ]

    def _settle(self, partition: Partition, settlements: Sequence[_Told]) -> Command:
        keys = (partition.key("leases"), partition.key("later"), partition.key("events"))
        octets: list[bytes] = []
        told = [_settlement(settlement, returns, octets) for settlement, returns in settlements]
        return self._script("settle", keys, partition.prefix, msgspec.msgpack.encode(told), EVENT_ENTRIES, *octets)

    async def heartbeat(self, owner: str, now: float) -> Sequence[str]:
        await self._client.run([("ZADD", OWNERS, "GT", now, owner)])
        return list(await self._look_who_lives(now))

    async def _look_who_lives(self, now: float) -> Sequence[str]:
        (names,) = await self._client.run([("ZRANGEBYSCORE", OWNERS, now - OWNER_LIFE_S, "+inf")])
        self._live, self._live_at = tuple(sorted(name.decode() for name in names)), now
        return self._live

    async def resign(self, owner: str) -> None:
        self._live_at = float("-inf")
        everywhere = [self._script("unclaim", (part.key("claims"),), owner) for part in self._layout.partitions]
        await self._client.run([("ZREM", OWNERS, owner), *everywhere])

    async def unclaim(self, owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        by_partition: dict[Partition, list[str]] = defaultdict(list)
        for lane, route in zip(lanes, routes, strict=True):
            by_partition[self._layout.of(route)].append(str(lane))
        await self._client.run(
            [self._script("unclaim", (part.key("claims"),), owner, *some) for part, some in by_partition.items()]
        )

    async def promote(self, now: float, limit: int) -> int:
        partitions = self._layout.partitions
        due = await self._client.run([("ZCOUNT", part.key("later"), "-inf", now) for part in partitions])
        promoted = 0
        for partition, count in zip(partitions, due, strict=True):
            if count and promoted < limit:
                script = self._script("promote", (partition.key("later"),), partition.prefix, now, limit - promoted)
                promoted += (await self._client.run([script]))[0]
        return promoted

    async def reclaim(self, now: float) -> int:
        live = {owner.encode() for owner in await self._look_who_lives(now)}
        partitions = self._layout.partitions
        leases = await self._client.run([("HGETALL", part.key("leases")) for part in partitions])
        returned = 0
        for partition, found in zip(partitions, leases, strict=True):
            for lease, owner in zip(found[::2], found[1::2], strict=True):
                if owner not in live:
                    returned += await self._give_back(partition, lease.decode())
        return returned

    async def _give_back(self, partition: Partition, lease: str) -> int:
        record, bits = partition.key(f"lease:{lease}"), partition.key(f"settled:{lease}")
        fields, settled = await self._client.run([("HGETALL", record), ("GET", bits)])
        held = dict(zip(fields[::2], fields[1::2], strict=True))
        done = Bits(settled)
        envelopes = _envelopes(held)[: int(held.get(b"size", 0))]
        left = [envelope for position, envelope in enumerate(envelopes) if position not in done]
        keys = (record, bits, partition.key("leases"))
        (returned,) = await self._client.run(
            [self._script("give_back", keys, partition.prefix, lease, settled or b"", *encode_all(left))]
        )
        return int(returned)


def _read_lease(request: LeaseRequest, record: Sequence[Any]) -> tuple[Lease, list[Envelope]]:
    """What the lease script granted, and the envelopes beyond it that go back."""
    name, _, _, granted, *packs = record
    envelopes = [envelope for pack in packs for envelope in decode(pack)]
    lease = Lease(
        id=name.decode(),
        lane=request.lane,
        route=request.route,
        owner=request.owner,
        envelopes=tuple(envelopes[:granted]),
    )
    return lease, envelopes[granted:]


def _envelopes(held: Mapping[bytes, bytes]) -> list[Envelope]:
    """All envelopes of a lease's record, in the order of their positions."""
    numbers = sorted(int(name) for name in held if name.isdigit())
    return [envelope for number in numbers for envelope in decode(held[str(number).encode()])]


def _settlement(settlement: Settlement, returns: Sequence[Return], octets: list[bytes]) -> tuple[object, ...]:
    """A settlement as settle.lua reads it; packs and events are added to `octets` and named by their place in ARGV."""
    final: dict[str, list[int]] = defaultdict(list)
    for position, state in settlement.final:
        final[state].append(position)
    backs = []
    for back in returns:
        octets.append(back.pack)
        backs.append((back.due, [again.position for again in back.again], _ARGUMENTS_BEFORE + len(octets)))
    if settlement.events:
        octets.append(b"\n".join(settlement.events))
    return settlement.lease, final, backs, _ARGUMENTS_BEFORE + len(octets) if settlement.events else 0


def _what_is_open(settlements: Sequence[_Told], number: int, place: int, *positions: int) -> _Told:
    """One return that was settled in part, packed anew from what is open."""
    settlement, returns = settlements[number]
    told = Settlement(lease=settlement.lease, route=settlement.route, campaign=settlement.campaign)
    return told, group(returns[place].again, positions)
