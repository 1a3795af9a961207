"""The Redis backend's upkeep: who lives, what is due, what the dead leave behind, what may be forgotten.

A scheduler calls `promote` and `reclaim` every few seconds; any number of schedulers may. Three things are forgotten:
a dead owner's claims, a campaign's content as soon as its last recipient is final, and the campaign `KEPT_S` later. Until
then its id is known, so that a repeated submission sends nothing; afterwards it is a new one.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

import msgspec

from sender.model import Envelope, State
from sender.queue.base import OWNER_LIFE_S, Refusal
from sender.queue.client import Client, Command
from sender.queue.keys import ENDED, FINISHED, KNOWN, OWNERS, CampaignKeys, Layout, Partition
from sender.queue.pack import PackError, counted, decode, encode_all
from sender.queue.redis_part import EVENT_ENTRIES, Bits
from sender.queue.redis_views import RedisViews
from sender.queue.scripts import Argument

KEPT_S = 7 * 86400.0
_LOOK_AGAIN_S = 60.0
_LOOK_AT = 500  # campaigns in one call
_LIVE_KNOWN_S = 5.0  # how long the list of live owners is used: well below an owner's life


class RedisUpkeep(RedisViews):
    """Heartbeats, promotion, giving back, forgetting."""

    def __init__(self, client: Client, layout: Layout) -> None:
        super().__init__(client, layout)
        self._live: tuple[str, ...] = ()
        self._live_at = float("-inf")

    async def heartbeat(self, owner: str, now: float) -> Sequence[str]:
        return list(await self._look_who_lives(now, owner))

    async def _who_lives(self, now: float, owners: Set[str]) -> Sequence[str]:
        """The live owners as of a moment ago, these among them: whoever leases lives, so that its leases are its own."""
        if 0 <= now - self._live_at <= _LIVE_KNOWN_S and owners <= set(self._live):
            return self._live
        return await self._look_who_lives(now, *owners)

    async def _look_who_lives(self, now: float, *owners: str) -> Sequence[str]:
        (names,) = await self._client.run([self._script("beat", (OWNERS,), now, OWNER_LIFE_S, *sorted(owners))])
        self._live, self._live_at = tuple(sorted(name.decode() for name in names)), now
        return self._live

    async def resign(self, owner: str) -> None:
        self._live_at = float("-inf")
        await self._client.run([("ZREM", OWNERS, owner), *self._unclaim_all(owner)])

    def _unclaim_all(self, owner: str) -> Iterator[Command]:
        for partition in self._layout.partitions:
            yield self._script("unclaim", (partition.key("claims"),), owner)

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
        partitions = self._layout.partitions
        leases = await self._client.run([("HGETALL", part.key("leases")) for part in partitions])
        # Only now: whoever got one of these leases had told before that it lives.
        live = {owner.encode() for owner in await self._look_who_lives(now)}
        returned = 0
        for partition, found in zip(partitions, leases, strict=True):
            for lease, owner in zip(found[::2], found[1::2], strict=True):
                if owner not in live:
                    returned += await self._give_back(partition, lease.decode())
        await self._bury_owners(now)
        await self._forget_campaigns(now)
        return returned

    async def _give_back(self, partition: Partition, lease: str) -> int:
        """Make ready what a lease has not settled; a pack that can't be read is parked, and it alone."""
        record, bits = partition.key(f"lease:{lease}"), partition.key(f"settled:{lease}")
        fields, settled = await self._client.run([("HGETALL", record), ("GET", bits)])
        held = _Held.read(dict(zip(fields[::2], fields[1::2], strict=True)))
        if held.unreadable:
            await self._client.run(self._park(partition, lease, held))
            (settled,) = await self._client.run([("GET", bits)])
        done = Bits(settled)
        left = [envelope for position, envelope in held.envelopes.items() if position not in done]
        keys = (record, bits, partition.key("leases"))
        (returned,) = await self._client.run(
            [self._script("give_back", keys, partition.prefix, lease, settled or b"", *encode_all(left))]
        )
        return int(returned)

    def _park(self, partition: Partition, lease: str, held: "_Held") -> list[Command]:
        """The commands that end what can't be read: its envelopes are UNKNOWN, each pack a dead letter."""
        keys = (partition.key("leases"), partition.key("later"), partition.key("events"))
        positions = [position for some, _, _ in held.unreadable for position in some]
        told = msgspec.msgpack.encode([(lease, {State.UNKNOWN: positions}, (), 0)])
        entry = f"leases/{lease}"
        letters = [
            self._dead_letter(Refusal(entry=entry, campaign="", why=why, payload=pack)) for _, pack, why in held.unreadable
        ]
        return [*letters, self._script("settle", keys, partition.prefix, told, EVENT_ENTRIES)]

    async def _bury_owners(self, now: float) -> None:
        """Free the claims of owners that live no more."""
        dead = ("-inf", f"({now - OWNER_LIFE_S}")
        (names,) = await self._client.run([("ZRANGEBYSCORE", OWNERS, *dead)])
        for name in names:
            await self._client.run(list(self._unclaim_all(name.decode())))
        await self._client.run([("ZREMRANGEBYSCORE", OWNERS, *dead)])  # those that have not woken meanwhile

    async def _forget_campaigns(self, now: float) -> None:
        looked, old = await self._client.run(
            [
                ("ZRANGEBYSCORE", ENDED, "-inf", now, "LIMIT", 0, _LOOK_AT),
                ("ZRANGEBYSCORE", FINISHED, "-inf", now - KEPT_S, "LIMIT", 0, _LOOK_AT),
            ]
        )
        seen: list[Argument] = []
        content: list[Command] = []
        for status in await self.status([name.decode() for name in looked]):
            finished = status.complete and status.queued == 0
            seen += [status.campaign, int(finished)]
            if finished:
                keys = CampaignKeys(status.campaign)
                content.append(self._script("drop_spec", (keys.spec, keys.progress)))
        await self._client.run(content)  # first: who dies in between does both again
        commands = [self._script("retire", (ENDED, FINISHED), now, now + _LOOK_AGAIN_S, *seen)]
        for name in old:
            campaign = name.decode()
            commands.append(("UNLINK", *CampaignKeys(campaign).all))
            commands += [("UNLINK", partition.count(campaign)) for partition in self._layout.partitions]
            commands += [("ZREM", KNOWN, campaign), ("ZREM", FINISHED, campaign)]
        await self._client.run(commands)


@dataclass(slots=True)
class _Held:
    """What a lease's record holds, by position; a pack that can't be read takes as many as the scripts counted it for."""

    envelopes: dict[int, Envelope] = field(default_factory=dict)
    unreadable: list[tuple[range, bytes, str]] = field(default_factory=list)  # positions, pack, why

    @classmethod
    def read(cls, record: Mapping[bytes, bytes]) -> "_Held":
        held, start, size = cls(), 0, int(record.get(b"size", 0))
        for number in sorted(int(name) for name in record if name.isdigit()):
            pack = record[str(number).encode()]
            positions = range(start, start + counted(pack))
            try:
                found = zip(positions, decode(pack), strict=True)
                held.envelopes.update((position, envelope) for position, envelope in found if position < size)
            except PackError as error:
                held.unreadable.append((positions, pack, str(error)))
            start = positions.stop
        return held
