"""The Redis backend's controls: what holds a campaign back, or ends it.

An operator's word stands once, in {inbox}. Holds and budgets stand in every partition, beside the work they hold back, so
that the lease script obeys them without looking elsewhere. A limited rate is a token bucket with the campaign; what it gives
is shared out to the partitions' budgets. Who dies on the way loses tokens and never makes any.
"""

from collections.abc import Mapping, Sequence

import msgspec

from sender.model import State
from sender.queue import inbox
from sender.queue.client import Client, Command
from sender.queue.control import Control, Hold
from sender.queue.keys import CONTROL, SCHEDULED, CampaignKeys, Layout
from sender.queue.ration import Place, rooms, shares, surplus
from sender.queue.redis_part import RedisPart

_ROUTES_AT_ONCE = 1000  # that line up again with a grant


class _Word(msgspec.Struct, frozen=True):
    """A Control as it is kept; control.lua reads `ended`."""

    paused: bool
    ended: State | None
    by: str
    at: float
    why: str


class RedisControl(RedisPart):
    """See `sender.queue.control.Controls`."""

    def __init__(self, client: Client, layout: Layout) -> None:
        super().__init__(client, layout)
        self._scheduled: dict[str, bytes] = {}  # the specs of scheduled campaigns: they never change

    async def set_control(self, control: Control) -> Control:
        campaign = inbox.campaign_id(control.campaign)
        word = _Word(paused=control.paused, ended=control.ended, by=control.by, at=control.at, why=control.why)
        (stands,) = await self._client.run([self._script("control", (CONTROL,), campaign, msgspec.json.encode(word))])
        return _control(campaign, stands)

    async def controls(self, campaigns: Sequence[str] | None = None) -> Mapping[str, Control]:
        if campaigns is None:
            (pairs,) = await self._client.run([("HGETALL", CONTROL)])
            found = zip((name.decode() for name in pairs[::2]), pairs[1::2], strict=True)
        else:
            words = await self._client.run([("HGET", CONTROL, campaign) for campaign in campaigns])
            found = zip(campaigns, words, strict=True)
        return {campaign: _control(campaign, word) for campaign, word in found if word is not None}

    async def schedules(self) -> Mapping[str, bytes]:
        (names,) = await self._client.run([("SMEMBERS", SCHEDULED)])
        campaigns = sorted(name.decode() for name in names)
        unknown = [campaign for campaign in campaigns if campaign not in self._scheduled]
        specs = await self._client.run([("GET", CampaignKeys(campaign).spec) for campaign in unknown])
        known = self._scheduled | {campaign: spec for campaign, spec in zip(unknown, specs, strict=True) if spec is not None}
        self._scheduled = {campaign: known[campaign] for campaign in campaigns if campaign in known}
        return dict(self._scheduled)

    async def hold(self, holds: Sequence[Hold]) -> None:
        flat = [part for hold in holds for part in (inbox.campaign_id(hold.campaign), hold.start, hold.end)]
        if flat:
            await self._client.run([self._script("hold", keys, *flat) for keys in self._keys("holds", "asides")])

    async def limit_rate(self, campaign: str, limited: bool) -> None:
        name = inbox.campaign_id(campaign)
        commands = [self._script("limit", keys, name, int(limited)) for keys in self._keys("budget", "asides")]
        await self._client.run(commands if limited else [*commands, ("DEL", CampaignKeys(name).rate)])

    async def wake(self, now: float, limit: int) -> int:
        partitions = self._layout.partitions
        waiting = await self._client.run([("ZCOUNT", part.key("asides"), "-inf", now) for part in partitions])
        woken = 0
        for partition, count in zip(partitions, waiting, strict=True):
            if count and woken < limit:
                script = self._script("wake", (partition.key("asides"),), partition.prefix, now, limit - woken)
                woken += (await self._client.run([script]))[0]
        return woken

    async def grant(self, campaign: str, rate: float, burst: float, now: float) -> int:
        name, partitions = inbox.campaign_id(campaign), self._layout.partitions
        places = await self._places(name)
        if not any(place.ready or place.budget for place in places):
            return 0
        returned = await self._recall(name, places)
        left = [Place(ready=one.ready, budget=one.budget - back) for one, back in zip(places, returned, strict=True)]
        most = rooms(left)
        out = sum(max(0, place.budget) for place in left)
        arguments = (rate, burst, now, sum(returned), out, sum(most))
        ((taken, number),) = await self._client.run([self._script("rate", (CampaignKeys(name).rate,), *arguments)])
        refills = [
            self._script("refill", (part.key("budget"),), part.prefix, name, more, number, now, _ROUTES_AT_ONCE)
            for part, more in zip(partitions, shares(taken, most), strict=True)
            if more
        ]
        return sum(await self._client.run(refills))

    async def _places(self, campaign: str) -> list[Place]:
        """What each partition has of a campaign."""
        looks = [self._script("weigh", keys, campaign) for keys in self._keys(f"where:{campaign}", "budget")]
        return [Place(ready=ready, budget=budget) for ready, budget in await self._client.run(looks)]

    async def _recall(self, campaign: str, places: Sequence[Place]) -> list[int]:
        """Take back what others need more; gives how much came from each partition."""
        wanted = surplus(places)
        asked = [
            self._script("recall", (part.key("budget"),), campaign, most)
            for part, most in zip(self._layout.partitions, wanted, strict=True)
            if most
        ]
        answers = iter(await self._client.run(asked))
        return [next(answers) if most else 0 for most in wanted]

    async def discard(self, campaign: str, state: State, limit: int, now: float) -> int:
        name, partitions = inbox.campaign_id(campaign), self._layout.partitions
        looks: list[Command] = []
        for part in partitions:
            looks += [("HLEN", part.key(f"where:{name}")), ("ZCARD", part.key(f"later:{name}"))]
        found = await self._client.run(looks)
        ended = 0
        for part, routes, packs in zip(partitions, found[::2], found[1::2], strict=True):
            if (routes or packs) and ended < limit:
                keys = (part.key(f"where:{name}"), part.key(f"later:{name}"), part.key("asides"))
                script = self._script("discard", keys, part.prefix, name, state, limit - ended)
                ended += (await self._client.run([script]))[0]
        return ended

    def _keys(self, *names: str) -> list[tuple[str, ...]]:
        """The same keys in every partition."""
        return [tuple(map(part.key, names)) for part in self._layout.partitions]


def _control(campaign: str, octets: bytes) -> Control:
    word = msgspec.json.decode(octets, type=_Word)
    return Control(campaign=campaign, paused=word.paused, ended=word.ended, by=word.by, at=word.at, why=word.why)
