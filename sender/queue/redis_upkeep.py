"""The Redis backend's upkeep: what is due, what the dead leave behind, what may be forgotten.

A scheduler calls `promote` and `reclaim` every few seconds; any number of schedulers may. Four things are forgotten:
a dead owner's claims, a campaign's content as soon as its last recipient is final, the campaign `KEPT_S` later, and old
events where memory is short. Until a campaign is forgotten its id is known, so that a repeated submission sends nothing;
afterwards it is a new one.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, field

from sender.queue.base import BATCH_ROWS
from sender.queue.client import Client, Command
from sender.queue.fates import SEGMENT
from sender.queue.keys import CONTROL, ENDED, FENCED, FINISHED, KNOWN, MEMBERS, SCHEDULED, CampaignKeys, Layout
from sender.queue.redis_doubts import RedisDoubts
from sender.queue.redis_leases import fields_of
from sender.queue.redis_owners import RedisOwners
from sender.queue.redis_standing import RedisStanding
from sender.queue.redis_suppressions import RedisSuppressions
from sender.queue.redis_views import RedisViews
from sender.queue.scripts import Argument

KEPT_S = 7 * 86400.0
_LOOK_AGAIN_S = 60.0
_LOOK_AT = 500  # campaigns in one call
_CROWDED = 0.8  # share of maxmemory from which events go: before HIGH_WATER, where submissions are refused
_EVENTS_LEFT = 1000  # entries of each partition's stream that stay in any case
_TOLD = b"2"  # of a fenced owner: see lua/join.lua


@dataclass(slots=True)
class _Gone:
    """Whose leases were given back."""

    unfinished: set[bytes] = field(default_factory=set)  # of these some are left
    # by owner and account: units that are there again
    units: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


class RedisUpkeep(RedisViews, RedisOwners, RedisSuppressions, RedisDoubts, RedisStanding):
    """Promotion, giving back, forgetting."""

    def __init__(self, client: Client, layout: Layout) -> None:
        super().__init__(client, layout)
        self._swept = 0  # of the partitions: the next one whose claims are looked through

    async def promote(self, now: float, limit: int) -> int:
        partitions = self._layout.partitions
        looks: list[Command] = []
        for part in partitions:
            looks += [("ZCOUNT", part.key("due"), "-inf", now), ("ZCARD", part.key("later"))]  # of now, of earlier programs
        found = await self._client.run(looks)
        promoted = 0
        for partition, due, earlier in zip(partitions, found[::2], found[1::2], strict=True):
            if (due or earlier) and promoted < limit:
                keys = (partition.key("due"), partition.key("later"))
                script = self._script("promote", keys, partition.prefix, now, limit - promoted)
                promoted += (await self._client.run([script]))[0]
        return promoted

    async def unbind(self, pools: Mapping[str, str], patience_s: float, now: float, limit: int) -> int:
        partitions, there = self._layout.partitions, [f"{pool}@{source}" for source, pool in pools.items()]
        waiting = await self._client.run([("ZCARD", part.key("owned")) for part in partitions])
        moved = 0
        for partition, routes in zip(partitions, waiting, strict=True):
            if routes and moved < limit:
                keys, arguments = (partition.key("owned"),), (partition.prefix, now, patience_s, limit - moved)
                moved += (await self._client.run([self._script("unbind", keys, *arguments, *there)]))[0]
        return moved

    async def reclaim(self, now: float) -> int:
        partitions = self._layout.partitions
        swept = partitions[self._swept % len(partitions)]
        self._swept += 1
        *leases, claims = await self._client.run(
            [*(("HGETALL", part.key("leases")) for part in partitions), ("HVALS", swept.key("claims"))]
        )
        holding = await self._accounts.holders(self._swept)
        # Only now: whoever got one of these leases, claims or units had joined before.
        names, pairs = await self._client.run([("HKEYS", MEMBERS), ("HGETALL", FENCED)])
        members, fenced = set(names), fields_of(pairs)
        returned, gone = await self._give_back_all(leases, members, fenced, now)
        owners = {claim.partition(b" ")[2] for claim in claims}
        await self._client.run([self._script("unclaim", (swept.key("claims"),), owner) for owner in owners - members])
        await self._forget_owners((fenced.keys() | set(holding) - members) - gone.unfinished, fenced, gone.units, now)
        await self._drop_content(now)
        await self._forget_campaigns(now)
        await self._sweep_suppressions(now)
        await self._make_room()
        return returned

    async def _give_back_all(
        self, leases: Sequence[list[bytes]], members: Set[bytes], fenced: Mapping[bytes, bytes], now: float
    ) -> tuple[int, "_Gone"]:
        """Give back what no member holds, of the leases of each partition; how many envelopes, and whose they were."""
        returned, gone = 0, _Gone()
        for partition, pairs in zip(self._layout.partitions, leases, strict=True):
            for lease, owner in fields_of(pairs).items():
                if owner not in members:
                    back = await self._give_back(partition, lease.decode(), now, unsent=fenced.get(owner) == _TOLD)
                    returned += back.envelopes
                    gone.units[owner.decode()][back.account] += back.units
                    if not back.envelopes:
                        gone.unfinished.add(owner)
        return returned, gone

    async def _forget_owners(
        self, owners: Set[bytes], fenced: Container[bytes], units: Mapping[str, Mapping[str, int]], now: float
    ) -> None:
        """Free the claims of fenced owners, whose leases are given back, and what others than members hold of accounts.

        What one of them still asks for, not knowing that it was fenced, the next calls find: its leases at once, its claims
        when their partition's turn comes. Units that one of them gave back in an earlier call than this count as used.
        """
        await self._accounts.forget({owner.decode(): units.get(owner.decode(), {}) for owner in owners}, now)
        for owner in owners:
            if owner in fenced:
                await self._client.run([*self._unclaim_all(owner.decode()), ("HDEL", FENCED, owner)])

    async def _drop_content(self, now: float) -> None:
        """Look which campaigns are finished: their content goes at once."""
        (looked,) = await self._client.run([("ZRANGEBYSCORE", ENDED, "-inf", now, "LIMIT", 0, _LOOK_AT)])
        seen: list[Argument] = []
        content: list[Command] = []
        for status in await self.status([name.decode() for name in looked]):
            finished = status.complete and status.queued == 0
            # What an operator may still send again needs its content: it is looked at again, like what is not finished.
            seen += [status.campaign, "parked" if finished and status.parked else int(finished)]
            if finished and not status.parked:
                keys = CampaignKeys(status.campaign)
                content.append(self._script("drop_spec", (keys.spec, keys.progress, keys.rows)))
        await self._client.run(content)  # first: who dies in between does both again
        await self._client.run([self._script("retire", (ENDED, FINISHED, SCHEDULED), now, now + _LOOK_AGAIN_S, *seen)])

    async def _forget_campaigns(self, now: float) -> None:
        """Forget what was finished long ago: its id last of all, so that whoever dies in between leaves nothing to its heir.

        The next campaign of that id would find counters that take its chunks for repeats.
        """
        old = self._script("old", (FINISHED,), now - KEPT_S, _LOOK_AT, _LOOK_AGAIN_S)
        (names,) = await self._client.run([old])
        commands: list[Command] = []
        forgotten = await self._old([name.decode() for name in names])
        for campaign, own in forgotten.items():
            commands.append(("UNLINK", *own))
            commands += [self._script("forget", partition.of(campaign), campaign) for partition in self._layout.partitions]
        await self._client.run(commands)
        if forgotten:
            await self._client.run([self._script("unlist", (KNOWN, FINISHED, ENDED, SCHEDULED, CONTROL), *forgotten)])

    async def _old(self, campaigns: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Those to forget, each with its own keys: what is parked goes first, so that nothing is sent again after the look."""
        for campaign in campaigns:
            await self._drop(campaign, ())
        lengths = await self._client.run([("STRLEN", CampaignKeys(campaign).done) for campaign in campaigns])
        queued = {status.campaign for status in await self.status(campaigns) if status.queued}
        found = {}
        for campaign, octets in zip(campaigns, lengths, strict=True):
            if campaign not in queued:
                keys, segments = CampaignKeys(campaign), -(-octets * 8 * BATCH_ROWS // SEGMENT)
                found[campaign] = (*keys.all, *map(keys.fates, range(segments)))
        return found

    async def _make_room(self) -> None:
        """Where memory is short a quarter of all events goes, the oldest: delivery drains mail, and nothing drains them."""
        if max(each.share for each in await self.standing()) < _CROWDED:
            return
        streams = [partition.key("events") for partition in self._layout.partitions]
        lengths = await self._client.run([("XLEN", stream) for stream in streams])
        left = [max(_EVENTS_LEFT, length * 3 // 4) for length in lengths]
        await self._client.run([("XTRIM", stream, "MAXLEN", most) for stream, most in zip(streams, left, strict=True)])
