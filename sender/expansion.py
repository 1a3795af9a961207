"""From the inbox to the routes: checks campaigns, finds where each recipient's mail goes, and packs it.

1. An announced campaign is parsed and its template compiled; what can't be used goes to the dead letters with the reason.
2. Of each open campaign the next rows batches are read, a bounded distance ahead of delivery.
3. Each row becomes an envelope: address checked and normalised, merge fields complete, its recipient not suppressed; or a
   final state with the reason.
4. Each domain becomes a destination, a receiver, a route; one that DNS can't tell us about now goes where a lane looks
   again (`lookups`). How much is read at once depends on how long that takes.
5. Envelopes of one route travel in packs; the batches and what became of them are handed over in one `Chunk`.
6. Of a campaign that was cancelled, or whose deadline has passed, every recipient still to be read ends in that state.

The Expander holds nothing that matters: killed at any moment, another begins where the last finished chunk ended.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import trio

from sender.campaigns import Campaign, Campaigns
from sender.condition import ending
from sender.content.spec import CampaignSpec, dump
from sender.errors import ConfigErrors, ContentError
from sender.lookups import Lookups, Resolves
from sender.model import Envelope, Route, State
from sender.policy.engagement import band_of
from sender.policy.receivers import Profiles
from sender.policy.suppression import Digests
from sender.queue.base import BATCH_ROWS, Announcement, CampaignStatus, Chunk, Inflow, Queue, Refusal, RoutedPack, RowBatch
from sender.queue.control import Control
from sender.queue.pack import encode, runs
from sender.sorting import Sorting, read_batch
from sender.suppressing import why_suppressed

_BATCHES_MOST = 20  # of a chunk
_QUICK_S, _LONG_S = 4.0, 10.0  # what finding a chunk's receivers may take for the next one to be larger, and no smaller
_LOOK_AT = 200  # open campaigns in one call


class Observes(Protocol):
    def submitted(self, count: int) -> None: ...
    def expanded(self, outcome: str, count: int) -> None: ...
    def inbox_refused(self, what: str, count: int = 1) -> None: ...


class Expander:
    """Moves recipients from the inbox to the routes, a bounded distance ahead of delivery."""

    def __init__(
        self,
        queue: Queue,
        campaigns: Campaigns,
        resolver: Resolves,
        profiles: Profiles,
        digests: Digests,
        clock: Callable[[], float],
        metrics: Observes,
        *,
        pack_size: int = 200,
        ahead: int = 1_000_000,
        warming: Collection[str] = (),
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`warming` are the signing domains that have a warmup plan of their own."""
        self._queue, self._campaigns, self._lookups = queue, campaigns, Lookups(resolver, profiles)
        self._digests, self._clock, self._metrics = digests, clock, metrics
        self._warming = frozenset(warming)
        self._pack_size, self._ahead, self._on_trouble = pack_size, ahead, on_trouble
        self._batches = 1  # of the next chunk: no more than there is time for to look up domains that nobody has asked for

    async def step(self) -> bool:
        """Do what there is to do once, one chunk a campaign; false where nothing was waiting.

        First what gives memory back: a store that is full refuses the rest.
        """
        waiting = await self._finish_complete()
        busy = await self._check_announcements()
        words = await self._queue.controls([status.campaign for status in waiting]) if waiting else {}
        for status in waiting:
            busy = await self._advance(status, words.get(status.campaign)) or busy
        return busy

    async def _finish_complete(self) -> list[CampaignStatus]:
        """Take off the list what is expanded; returns the campaigns with something in the inbox.

        The others cost no more than their status: there may be thousands.
        """
        names = await self._queue.open_campaigns()
        waiting = []
        for start in range(0, len(names), _LOOK_AT):
            for status in await self._queue.status(names[start : start + _LOOK_AT]):
                if status.waiting_batches:
                    waiting.append(status)
                elif status.complete:
                    await self._queue.finish_rows(status.campaign)
        return waiting

    async def _check_announcements(self) -> bool:
        announcements = await self._queue.announcements(100)
        for announcement in announcements:
            try:
                spec = self._campaigns.check(announcement.campaign, announcement.spec)
            except ConfigErrors as error:
                await self._refuse("campaign", [_refusal(announcement, str(error))])
            else:
                await self._queue.accept(announcement, dump(spec), self._clock(), scheduled=self._is_scheduled(spec))
        return bool(announcements)

    def _is_scheduled(self, spec: CampaignSpec) -> bool:
        """Whether a scheduler has to let it go: for its times, its rate, or because its signing domain warms up."""
        return spec.scheduled or spec.signing_domain in self._warming

    async def _advance(self, status: CampaignStatus, word: Control | None) -> bool:
        campaign_id, cancelled = status.campaign, word.ended if word is not None else None
        campaign = None if cancelled else await self._usable(campaign_id)
        over = cancelled or (ending(word, campaign.schedule, self._clock()) if campaign is not None else None)
        if over is None and (campaign is None or status.queued >= self._ahead):
            return False
        inflow = await self._queue.rows(campaign_id, _BATCHES_MOST if over is not None else self._bite(status))
        if inflow.malformed:
            await self._refuse("rows", inflow.malformed)
        if not inflow.batches and not inflow.repeats:
            return bool(inflow.malformed)
        if over is not None:
            await self._end(campaign_id, inflow, over)
        elif campaign is not None:
            await self._expand(campaign, inflow)
        return True

    def _bite(self, status: CampaignStatus) -> int:
        """How many batches to read now: no more than there is room for ahead of delivery, and time to look them up."""
        return min(self._batches, -(-(self._ahead - status.queued) // BATCH_ROWS))

    async def _usable(self, campaign_id: str) -> Campaign | None:
        """The campaign; None where this configuration can't send it: it waits for one that can, and holds up no other."""
        try:
            return await self._campaigns.get(campaign_id)
        except ConfigErrors as error:
            self._on_trouble(str(error))
            return None

    async def _refuse(self, what: str, refusals: Sequence[Refusal]) -> None:
        await self._queue.refuse(refusals, self._clock())
        self._metrics.inbox_refused(what, len(refusals))

    async def _expand(self, campaign: Campaign, inflow: Inflow) -> None:
        now = self._clock()
        sorting = Sorting(campaign, now)
        readable = await self._readable(campaign.id, inflow)
        for batch, rows in readable:
            for place, row in enumerate(rows):
                sorting.sort(batch.number * BATCH_ROWS + place, row)
        await self._leave_out_suppressed(sorting)
        packs = self._packs(campaign, await self._routed(sorting))
        if await self._queue.expand(sorting.chunk(inflow, [batch for batch, _ in readable], packs), now):
            self._metrics.submitted(sum(len(rows) for _, rows in readable))
            self._count(sorting)

    async def _end(self, campaign_id: str, inflow: Inflow, state: State) -> None:
        """Recipients of a campaign that is over end as they are read; it has one event for all of them (`controlling`)."""
        readable = await self._readable(campaign_id, inflow)
        ordinals = [batch.number * BATCH_ROWS + place for batch, rows in readable for place in range(len(rows))]
        chunk = Chunk(
            campaign=campaign_id,
            number=inflow.chunk,
            priority=9,
            batches=tuple(batch for batch, _ in readable),
            packs=(),
            states={state: len(ordinals)} if ordinals else {},
            ended=tuple((ordinal, state) for ordinal in ordinals),
            drop=inflow.repeats,
        )
        if await self._queue.expand(chunk, self._clock()):
            self._metrics.submitted(len(ordinals))
            self._metrics.expanded(str(state), len(ordinals))

    async def _readable(self, campaign_id: str, inflow: Inflow) -> list[tuple[RowBatch, Sequence[object]]]:
        """The batches that are lines of JSON, with their rows; the others go to the dead letters."""
        good, broken = [], []
        for batch in inflow.batches:
            try:
                good.append((batch, read_batch(batch)))
            except ContentError as error:
                broken.append(Refusal(entry=batch.entry, campaign=campaign_id, why=str(error), payload=batch.rows))
        if broken:
            await self._refuse("rows", broken)
        return good

    async def _leave_out_suppressed(self, sorting: Sorting) -> None:
        """Recipients who get no mail end here; who joins them later is found when a lane has leased them."""
        digests = [self._digests.of(envelope.address) for envelope in sorting.envelopes]
        found = await self._queue.suppressed(digests, sorting.campaign.spec.list, sorting.now)
        wanted = []
        for envelope, entry in zip(sorting.envelopes, found, strict=True):
            if entry is None:
                wanted.append(envelope)
            else:
                row = {"to": envelope.address, **envelope.fields}
                sorting.end(envelope.ordinal, row, State.SUPPRESSED, why_suppressed(entry))
        sorting.envelopes = wanted

    async def _routed(self, sorting: Sorting) -> Mapping[str, Sequence[Envelope]]:
        """Envelopes by receiver; those of domains that take no mail end here."""
        by_domain: dict[str, list[Envelope]] = defaultdict(list)
        for envelope in sorting.envelopes:
            by_domain[envelope.domain].append(envelope)
        began = trio.current_time()
        receivers = await self._lookups.receivers(by_domain.keys())
        self._adapt(trio.current_time() - began)
        routed: dict[str, list[Envelope]] = defaultdict(list)
        for domain, envelopes in by_domain.items():
            receiver = receivers[domain]
            if receiver is None:
                for envelope in envelopes:
                    row = {"to": envelope.address, **envelope.fields}
                    sorting.end(envelope.ordinal, row, State.REJECTED, f"{domain} takes no mail (RFC 7505)")
            else:
                routed[receiver] += envelopes
        return routed

    def _adapt(self, seconds: float) -> None:
        """Finding the receivers of a chunk took so long: other campaigns waited meanwhile."""
        if seconds < _QUICK_S:
            self._batches = min(2 * self._batches, _BATCHES_MOST)
        elif seconds > _LONG_S:
            self._batches = max(1, self._batches // 2)

    def _packs(self, campaign: Campaign, routed: Mapping[str, Sequence[Envelope]]) -> list[RoutedPack]:
        packs = []
        for receiver, envelopes in routed.items():
            route = Route(pool=campaign.spec.pool, receiver=receiver)
            # Packs are of one band each, and wait beside each other: the order within a band stays as it was submitted.
            cut = runs(sorted(envelopes, key=lambda envelope: band_of(envelope.fields)), self._pack_size)
            packs += [RoutedPack(route=route, pack=encode(some), count=len(some)) for some in cut]
        return packs

    def _count(self, sorting: Sorting) -> None:
        for state, count in sorting.states.items():
            self._metrics.expanded(str(state), count)
        self._metrics.expanded("queued", len(sorting.envelopes) - sorting.states.get(State.REJECTED, 0))


def _refusal(announcement: Announcement, why: str) -> Refusal:
    return Refusal(entry=announcement.entry, campaign=announcement.campaign, why=why, payload=announcement.spec)
