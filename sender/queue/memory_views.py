"""The memory backend's windows: what waits, what became of it, and the events. Nothing here changes anything."""

import itertools
from collections import Counter
from collections.abc import Sequence

import trio

from sender.model import Route
from sender.queue.base import CampaignStatus, Depth, ReadyRoute, shown_as
from sender.queue.memory_part import MemoryPart
from sender.queue.pack import size


class MemoryViews(MemoryPart):
    """Looking."""

    async def ready(self, limit: int) -> Sequence[ReadyRoute]:
        await trio.lowlevel.checkpoint()
        routes = [
            ReadyRoute(route=route, envelopes=work.in_line, oldest=work.oldest)
            for route, work in self._ready.items()
            if work.in_line
        ]
        (stretch,) = self._walk.stretches([len(routes)], limit)
        oldest_first = sorted(routes, key=lambda ready: (ready.oldest, str(ready.route)))
        shown = oldest_first[stretch.start : stretch.start + stretch.most]
        self._walk.shown([len(shown)])
        return shown

    async def campaigns(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return self._accepted[::-1]

    async def status(self, campaigns: Sequence[str]) -> Sequence[CampaignStatus]:
        await trio.lowlevel.checkpoint()
        known = {name: self._campaigns[name] for name in campaigns if name in self._campaigns}
        return [
            CampaignStatus(
                campaign=name,
                accepted=campaign.accepted,
                waiting_batches=len(campaign.entries),
                complete=campaign.complete,
                final=dict(campaign.final),
                deferrals=dict(campaign.deferrals),
                parked=len(self._parked.get(name, ())),
            )
            for name, campaign in known.items()
            if campaign.known
        ]

    async def depth(self, now: float) -> Depth:
        await trio.lowlevel.checkpoint()
        ready, aside = Counter[Route](), Counter[Route]()
        for route, work in self._ready.items():
            ready[shown_as(route)] += work.envelopes
            aside[shown_as(route)] += work.envelopes - work.in_line
        return Depth(
            ready=ready,
            aside=aside,
            leased=sum(len(held.open) for held in self._leases.values()),
            later=sum(size(pack) for _, _, _, pack in self._later),
            oldest_ready_s=max((max(0.0, now - work.oldest) for work in self._ready.values() if work.in_line), default=0.0),
            oldest_due_s=max(0.0, now - min((due for due, _, _, _ in self._later), default=now)),
            refused=len(self._dead),
        )

    async def events(self, after: str, limit: int) -> tuple[str, Sequence[bytes]]:
        await trio.lowlevel.checkpoint()
        start, events = int(after or 0), list[bytes]()
        for told in itertools.dropwhile(lambda told: told.number <= start, self._events):
            if len(events) >= limit:
                break
            after = str(told.number)
            events += told.events
        return after, events
