"""The memory backend's parked envelopes."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import trio

from sender.model import Route, State
from sender.queue.doubts import Doubt, by_campaign, forgiven
from sender.queue.fates import NONE
from sender.queue.memory_part import MemoryPart
from sender.queue.pack import encode


class MemoryDoubts(MemoryPart):
    """See `sender.queue.doubts.Doubts`."""

    async def doubts(self, campaign: str = "", after: str = "", limit: int = 1000) -> tuple[str, Sequence[Doubt]]:
        await trio.lowlevel.checkpoint()
        there = sorted((name, ordinal) for name in self._parked for ordinal in self._parked[name] if campaign in ("", name))
        if after:
            name, _, ordinal = after.partition(":")
            there = there[bisect_right(there, (name, int(ordinal))) :]
        some = [self._parked[name][ordinal] for name, ordinal in there[:limit]]
        return (some[-1].envelope.id if len(there) > limit else ""), some

    async def resend(self, envelopes: Sequence[str], now: float) -> int:
        await trio.lowlevel.checkpoint()
        sent = 0
        for doubt in self._take(envelopes):
            campaign = self._campaign(doubt.envelope.campaign)
            unknown = doubt.receiver, State.UNKNOWN
            campaign.final[unknown] -= 1
            if not campaign.final[unknown]:
                del campaign.final[unknown]
            campaign.fates[doubt.envelope.ordinal] = NONE
            route = Route(pool=doubt.pool, receiver=doubt.receiver)
            self._put(route, doubt.envelope.campaign, encode([forgiven(doubt.envelope, now)]))
            sent += 1
        return sent

    async def drop_doubts(self, envelopes: Sequence[str]) -> int:
        await trio.lowlevel.checkpoint()
        return sum(1 for _ in self._take(envelopes))

    def _take(self, envelopes: Sequence[str]) -> Iterator[Doubt]:
        for campaign, ordinals in by_campaign(envelopes).items():
            parked = self._parked.get(campaign, {})
            for ordinal in ordinals:
                if ordinal in parked:
                    yield parked.pop(ordinal)
