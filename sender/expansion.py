"""From the inbox to the routes: checks campaigns, finds where each recipient's mail goes, and packs it.

1. An announced campaign is parsed and its template compiled; what can't be used goes to the dead letters with the reason.
2. Of each open campaign the next rows batches are read, a bounded distance ahead of delivery.
3. Each row becomes an envelope: address checked and normalised, merge fields complete, or a final state with the reason.
4. Each domain becomes a destination, a receiver, a route; a domain that DNS can't tell us about now waits on the route
   `UNRESOLVED`, whose lane looks again.
5. Envelopes of one route travel in packs; the batches and what became of them are handed over in one `Chunk`.

The Expander holds nothing that matters: killed at any moment, another begins where the last finished chunk ended.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import trio

from sender.campaigns import Campaign, Campaigns
from sender.content.row import read_row
from sender.content.spec import dump
from sender.errors import ConfigErrors, ContentError, ResolutionError
from sender.events import Event
from sender.model import Destination, Envelope, Route, State
from sender.policy.receivers import Profiles
from sender.queue.base import BATCH_ROWS, Announcement, Chunk, Inflow, Queue, Refusal, RoutedPack, RowBatch
from sender.queue.pack import encode

UNRESOLVED = "~unresolved"  # the receiver of domains DNS can't tell us about now; "~" keeps it out of labels
_BATCHES_PER_CHUNK = 20
_LOOKUPS_AT_ONCE = 64

_lines = msgspec.json.Decoder()


class Resolves(Protocol):
    async def destination(self, domain: str) -> Destination: ...


class Observes(Protocol):
    def expanded(self, outcome: str, count: int) -> None: ...
    def inbox_refused(self, what: str, count: int = 1) -> None: ...


@dataclass(slots=True)
class _Sorting:
    """What a chunk's rows came to, while they are being sorted."""

    campaign: Campaign
    now: float
    envelopes: list[Envelope] = field(default_factory=list)
    states: dict[State, int] = field(default_factory=lambda: defaultdict(int))
    events: list[bytes] = field(default_factory=list)

    def end(self, ordinal: int, row: Mapping[str, object], state: State, why: str) -> None:
        """This recipient goes no further; what came with it goes back as it came, as far as it is text."""
        fields = {name: value for name, value in row.items() if isinstance(value, str)}
        self.states[state] += 1
        event = Event(
            id=f"{self.campaign.id}:{ordinal}:0:{state}",
            type=str(state),
            at=self.now,
            campaign=self.campaign.id,
            ordinal=ordinal,
            to=fields.pop("to", ""),
            fields=self.campaign.extras(fields),
            why=why,
        )
        self.events.append(event.encode())


class Expander:
    """Moves recipients from the inbox to the routes, a bounded distance ahead of delivery."""

    def __init__(
        self,
        queue: Queue,
        campaigns: Campaigns,
        resolver: Resolves,
        profiles: Profiles,
        clock: Callable[[], float],
        metrics: Observes,
        *,
        pack_size: int = 200,
        ahead: int = 1_000_000,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._queue, self._campaigns, self._resolver, self._profiles = queue, campaigns, resolver, profiles
        self._clock, self._metrics = clock, metrics
        self._pack_size, self._ahead, self._on_trouble = pack_size, ahead, on_trouble

    async def step(self) -> bool:
        """Do what there is to do once, one chunk a campaign; false where nothing was waiting."""
        busy = await self._check_announcements()
        for campaign_id in await self._queue.open_campaigns():
            busy = await self._advance(campaign_id) or busy
        return busy

    async def _check_announcements(self) -> bool:
        announcements = await self._queue.announcements(100)
        for announcement in announcements:
            try:
                spec = self._campaigns.check(announcement.campaign, announcement.spec)
            except ConfigErrors as error:
                await self._refuse("campaign", [_refusal(announcement, str(error))])
            else:
                await self._queue.accept(announcement, dump(spec), self._clock())
        return bool(announcements)

    async def _advance(self, campaign_id: str) -> bool:
        campaign = await self._usable(campaign_id)
        if campaign is None or await self._far_ahead(campaign_id):
            return False
        inflow = await self._queue.rows(campaign_id, _BATCHES_PER_CHUNK)
        if inflow.malformed:
            await self._refuse("rows", inflow.malformed)
        if not inflow.batches and not inflow.repeats:
            if inflow.exhausted:
                await self._queue.finish_rows(campaign_id)
            return bool(inflow.malformed)
        await self._expand(campaign, inflow)
        return True

    async def _usable(self, campaign_id: str) -> Campaign | None:
        """The campaign; None where this configuration can't send it: it waits for one that can, and holds up no other."""
        try:
            return await self._campaigns.get(campaign_id)
        except ConfigErrors as error:
            self._on_trouble(str(error))
            return None

    async def _far_ahead(self, campaign_id: str) -> bool:
        (status,) = await self._queue.status([campaign_id]) or (None,)
        return status is not None and status.queued >= self._ahead

    async def _refuse(self, what: str, refusals: Sequence[Refusal]) -> None:
        await self._queue.refuse(refusals, self._clock())
        self._metrics.inbox_refused(what, len(refusals))

    async def _expand(self, campaign: Campaign, inflow: Inflow) -> None:
        now = self._clock()
        sorting, broken, good = _Sorting(campaign, now), [], []
        for batch in inflow.batches:
            try:
                rows = _rows(batch)
            except ContentError as error:
                broken.append(Refusal(entry=batch.entry, campaign=campaign.id, why=str(error), payload=batch.rows))
                continue
            good.append(batch)
            for place, row in enumerate(rows):
                self._sort(sorting, batch.number * BATCH_ROWS + place, row)
        if broken:
            await self._refuse("rows", broken)
        packs = self._packs(campaign, await self._routed(sorting))
        if await self._queue.expand(_chunk(sorting, inflow, good, packs), now):
            self._count(sorting)

    def _sort(self, sorting: _Sorting, ordinal: int, row: object) -> None:
        """One row becomes an envelope or a final state."""
        if not isinstance(row, dict):
            sorting.end(ordinal, {}, State.INVALID, f"row: expected an object with a key 'to', found {str(row)[:200]!r}")
            return
        try:
            address, fields = read_row(row)
        except ContentError as error:
            sorting.end(ordinal, row, State.INVALID, str(error))
            return
        if missing := sorting.campaign.compiled.missing(fields):
            sorting.end(ordinal, row, State.INVALID, f"the template needs {', '.join(missing)}")
            return
        sorting.envelopes.append(
            Envelope(
                campaign=sorting.campaign.id,
                ordinal=ordinal,
                address=str(address),
                fields=fields,
                queued_at=sorting.now,
            )
        )

    async def _routed(self, sorting: _Sorting) -> Mapping[str, Sequence[Envelope]]:
        """Envelopes by receiver; those of domains that take no mail end here."""
        by_domain: dict[str, list[Envelope]] = defaultdict(list)
        for envelope in sorting.envelopes:
            by_domain[envelope.domain].append(envelope)
        receivers = await self._receivers(by_domain.keys())
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

    async def _receivers(self, domains: Iterable[str]) -> Mapping[str, str | None]:
        """Each domain's receiver; None for a null MX."""
        receivers: dict[str, str | None] = {}
        limiter = trio.CapacityLimiter(_LOOKUPS_AT_ONCE)

        async def look_up(domain: str) -> None:
            async with limiter:
                try:
                    destination = await self._resolver.destination(domain)
                except ResolutionError:
                    receivers[domain] = UNRESOLVED
                else:
                    receivers[domain] = self._profiles.receiver(destination, domain) if destination.hosts else None

        async with trio.open_nursery() as nursery:
            for domain in domains:
                nursery.start_soon(look_up, domain)
        return receivers

    def _packs(self, campaign: Campaign, routed: Mapping[str, Sequence[Envelope]]) -> list[RoutedPack]:
        packs = []
        for receiver, envelopes in routed.items():
            route = Route(pool=campaign.spec.pool, receiver=receiver)
            for start in range(0, len(envelopes), self._pack_size):
                some = envelopes[start : start + self._pack_size]
                packs.append(RoutedPack(route=route, pack=encode(some), count=len(some)))
        return packs

    def _count(self, sorting: _Sorting) -> None:
        for state, count in sorting.states.items():
            self._metrics.expanded(str(state), count)
        self._metrics.expanded("queued", len(sorting.envelopes) - sorting.states.get(State.REJECTED, 0))


def _rows(batch: RowBatch) -> Sequence[object]:
    try:
        rows: list[object] = _lines.decode_lines(batch.rows)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContentError(f"batch {batch.number}", f"not JSON lines: {error}") from error
    if len(rows) > BATCH_ROWS:
        raise ContentError(f"batch {batch.number}", f"{len(rows)} recipients, at most {BATCH_ROWS} are allowed")
    return rows


def _chunk(sorting: _Sorting, inflow: Inflow, batches: Sequence[RowBatch], packs: Sequence[RoutedPack]) -> Chunk:
    return Chunk(
        campaign=sorting.campaign.id,
        number=inflow.chunk,
        priority=sorting.campaign.spec.priority,
        batches=tuple(batches),
        packs=tuple(packs),
        states=dict(sorting.states),
        drop=inflow.repeats,
        events=tuple(sorting.events),
    )


def _refusal(announcement: Announcement, why: str) -> Refusal:
    return Refusal(entry=announcement.entry, campaign=announcement.campaign, why=why, payload=announcement.spec)
