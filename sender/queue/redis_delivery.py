"""The Redis backend's second half: leasing, settling, and what returns.

The lease script hands out whole packs; where the last one holds more than was asked for, the rest is packed here and
handed back before the lease is given to anyone. What goes back is packed here too: scripts read pack headers only.
"""

import itertools
import secrets
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from sender.errors import BackendError
from sender.model import Envelope, LaneId, Route
from sender.queue.base import Granted, Lease, LeaseRequest, Settlement
from sender.queue.client import Client, Command
from sender.queue.control import FOR_EVER
from sender.queue.fates import DEFERRED, NUMBERS
from sender.queue.keys import Layout, Partition
from sender.queue.later import Return, group
from sender.queue.ledger import Claims
from sender.queue.pack import PackError, decode, encode_all
from sender.queue.redis_accounts import Day
from sender.queue.redis_doubts import encode_doubt
from sender.queue.redis_part import EVENT_ENTRIES
from sender.queue.redis_upkeep import RedisUpkeep
from sender.queue.scripts import Argument, Script
from sender.queue.warmups import Wait, Window

_PIECE_MIN = 100  # envelopes: smaller packs compress badly
_ARGUMENTS_BEFORE = 4  # of settle.lua, before its packs and events

_Asked: TypeAlias = tuple[Partition, str, Sequence[tuple[LeaseRequest, Day]]]  # with the start of its leases' ids
_Told: TypeAlias = tuple[Settlement, Sequence[Return]]


class RedisDelivery(RedisUpkeep):
    """Leasing and settling."""

    def __init__(self, client: Client, layout: Layout) -> None:
        super().__init__(client, layout)
        self._tokens = (f"{secrets.token_hex(6)}-{number}-" for number in itertools.count())
        self._claims = Claims()
        # Starts of ids of leases that may have been granted and got to nobody, and what they were asked for with.
        self._unsure: dict[tuple[Partition, str], Sequence[LeaseRequest]] = {}

    async def lease(self, requests: Sequence[LeaseRequest], now: float) -> Granted:
        await self._give_back_unsure(now)
        reserved = await self._accounts.reserve(requests, now)
        by_partition: dict[Partition, list[tuple[LeaseRequest, Day]]] = defaultdict(list)
        for request, day in zip(reserved.requests, reserved.days, strict=True):
            by_partition[self._layout.of(request.route)].append((request, day))
        asked = [(partition, next(self._tokens), some) for partition, some in by_partition.items()]
        scripts = [_lease(self._client.scripts["lease"], self._claims, *one, now) for one in asked]
        try:
            granted = await self._granted(asked, await self._client.run(scripts), now)
        except BaseException:  # also when cancelled: nobody will settle what was granted
            self._unsure |= {(partition, token): [request for request, _ in some] for partition, token, some in asked}
            raise
        self._accounts.leased(reserved.requests, granted)
        await self._tell_accounts(now)
        granted.waits += tuple(reserved.waits)
        return granted

    async def _tell_accounts(self, now: float) -> None:
        """What they do not hear now they hear with the next call: until then it counts as used."""
        with suppress(BackendError):
            await self._accounts.tell(now)

    async def _granted(self, asked: Sequence[_Asked], answers: Sequence[Any], now: float) -> Granted:
        """The leases that the script granted; what they hold beyond that, or beside a broken pack, is handed back first."""
        leases = Granted()
        more: list[Command] = []
        unreadable: list[tuple[Partition, str]] = []
        for (partition, _, requests), (granted, waits) in zip(asked, answers, strict=True):
            leases.waits += tuple(_wait(requests[number][0], *why) for number, *why in waits)
            for number, *record in granted:
                request, day = requests[number]
                try:
                    lease, rest = _read_lease(request, day, record)
                except PackError:
                    unreadable.append((partition, record[0].decode()))
                    continue
                leases.append(lease)
                self._claims.granted(lease, capped=float(record[4]) < FOR_EVER)
                if rest:
                    # In pieces of what was asked for, so that the next one who asks need not split again.
                    pieces = encode_all(rest, max(request.envelopes, _PIECE_MIN))
                    key = partition.key(f"lease:{lease.id}")
                    more.append(self._script("split", (key,), partition.prefix, *pieces))
        await self._client.run(more)
        for partition, lease_id in unreadable:
            await self._give_back(partition, lease_id, now)
        return leases

    async def _give_back_unsure(self, now: float) -> None:
        """Make ready again what an earlier call that failed may have been granted.

        Its units of shared accounts go back only then: whoever found such a lease of a dead owner would give them back, too.
        """
        for partition, token in tuple(self._unsure):
            (names,) = await self._client.run([("HKEYS", partition.key("leases"))])
            for name in names:
                if name.startswith(token.encode()):
                    await self._give_back(partition, name.decode(), now)
            self._accounts.leased(self._unsure.pop((partition, token), ()), ())

    async def settle(self, settlements: Sequence[Settlement], now: float) -> int:
        """Settle, then once more what had to be packed again because it was settled in part before.

        Who does not exist is suppressed first: what fails in between is told again, and neither half is lost.
        """
        if refused := [entry for settlement in settlements for entry in settlement.refused]:
            await self._suppress_refused(refused)
        by_partition: dict[Partition, list[Settlement]] = defaultdict(list)
        for settlement in settlements:
            by_partition[self._layout.of(settlement.route)].append(settlement)
        work: list[tuple[Partition, list[_Told]]] = [
            (partition, [(settlement, group(settlement.again)) for settlement in some])
            for partition, some in by_partition.items()
        ]
        gone, fates = 0, self._fates(settlements)
        while work:
            scripts = [self._settle(partition, some, now) for partition, some in work]
            answers = (await self._client.run([*scripts, *fates]))[: len(scripts)]
            fates = []
            gone += sum(late for _, late in answers)
            work = [
                (partition, [_what_is_open(some, *place) for place in partly])
                for (partition, some), (partly, _) in zip(work, answers, strict=True)
                if partly
            ]
        self._accounts.settled(settlements)
        await self._tell_accounts(now)
        return gone

    def _settle(self, partition: Partition, settlements: Sequence[_Told], now: float) -> Command:
        keys = (partition.key("leases"), partition.key("due"), partition.key("events"))
        octets: list[bytes] = []  # packs and events: they come behind the MessagePack
        told = [_settlement(settlement, returns, octets) for settlement, returns in settlements]
        return self._script("settle", keys, partition.prefix, msgspec.msgpack.encode(told), EVENT_ENTRIES, now, *octets)

    def _fates(self, settlements: Sequence[Settlement]) -> list[Command]:
        """What the settled recipients came to, a command or two a campaign."""
        fates: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for settlement in settlements:
            pairs = fates[settlement.campaign]
            pairs += [(again.envelope.ordinal, DEFERRED) for again in settlement.again if again.due and again.tried]
            ended = zip(settlement.ordinals, settlement.final, strict=False)  # ordinals may be unknown
            pairs += [(ordinal, NUMBERS[state]) for ordinal, (_, state) in ended]
        return [command for campaign, pairs in fates.items() for command in self._note(campaign, pairs)]

    async def heartbeat(self, owner: str) -> Sequence[str]:
        members = await super().heartbeat(owner)
        if owner not in members:
            self._claims.forget(owner)
        return members

    async def unclaim(self, owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        by_partition: dict[Partition, list[str]] = defaultdict(list)
        for lane, route in zip(lanes, routes, strict=True):
            by_partition[self._layout.of(route)].append(str(lane))
        self._claims.drop(owner, lanes)
        await self._client.run(
            [self._script("unclaim", (part.key("claims"),), owner, *some) for part, some in by_partition.items()]
        )


def _lease(
    script: Script, claims: Claims, partition: Partition, token: str, requests: Sequence[tuple[LeaseRequest, Day]], now: float
) -> Command:
    keys = (partition.key("claims"), partition.key("leases"), partition.key("epoch"))
    arguments: list[Argument] = [partition.prefix, now, token]
    for request, (day, _) in requests:
        arguments += [str(request.lane), str(request.route), request.owner, request.envelopes]
        arguments += [str(request.choice), request.engagement_min, int(request.capped), request.account, day]
        arguments += claims.told(request)
    return script(keys, *arguments)


def _read_lease(request: LeaseRequest, day: Day, record: Sequence[Any]) -> tuple[Lease, list[Envelope]]:
    """What the lease script granted, and the envelopes beyond it that go back."""
    name, route, _, granted, ends, *packs = record
    envelopes = [envelope for pack in packs for envelope in decode(pack)]
    lease = Lease(
        id=name.decode(),
        lane=request.lane,
        route=Route.read(route.decode()),
        owner=request.owner,
        envelopes=tuple(envelopes[:granted]),
        day_ends=min(float(ends), day[1]),
    )
    return lease, envelopes[granted:]


def _wait(request: LeaseRequest, window: bytes, opens: bytes, most: int, outstanding: int) -> Wait:
    """Why a lane's own cap kept it from getting any."""
    return Wait(
        lane=request.lane,
        account=str(request.lane),
        window=Window(window.decode()),
        opens=float(opens),
        most=most,
        outstanding=outstanding,
    )


def _settlement(settlement: Settlement, returns: Sequence[Return], octets: list[bytes]) -> tuple[object, ...]:
    """A settlement as settle.lua reads it; packs and events are added to `octets` and named by their place in ARGV."""
    final: dict[str, list[int]] = defaultdict(list)
    for position, state in settlement.final:
        final[state].append(position)
    backs = []
    for back in returns:
        octets.append(back.pack)
        positions = [again.position for again in back.again]
        route = str(settlement.route.own(back.source)) if back.source else ""
        backs.append((back.due, positions, _ARGUMENTS_BEFORE + len(octets), back.tried, route))
    if settlement.events:
        octets.append(b"\n".join(settlement.events))
    events = _ARGUMENTS_BEFORE + len(octets) if settlement.events else 0
    doubts = {}
    for parked in settlement.parked:
        octets.append(encode_doubt(parked, settlement.route))
        doubts[parked.position] = parked.envelope.ordinal, _ARGUMENTS_BEFORE + len(octets)
    marks = {mark: (int(mark.uses), positions) for mark, positions in settlement.marks.items()}
    return settlement.lease, final, backs, events, doubts, marks, settlement.identity


def _what_is_open(settlements: Sequence[_Told], number: int, place: int, *positions: int) -> _Told:
    """One return that was settled in part, packed anew from what is open."""
    settlement, returns = settlements[number]
    told = replace(settlement, final=(), again=(), events=(), ordinals=(), parked=(), refused=())
    return told, group(returns[place].again, positions)
