"""The memory backend's first half: what comes in, and how it is expanded exactly once."""

import itertools
from collections.abc import Sequence

import trio

from sender.queue import inbox
from sender.queue.base import Announcement, Chunk, Inflow, Refusal, RowBatch
from sender.queue.control import FOR_EVER, Hold
from sender.queue.fates import NUMBERS
from sender.queue.memory_part import MemoryCampaign, MemoryPart


class MemoryInbox(MemoryPart):
    """Announcing, adding rows, checking and expanding."""

    async def announce(self, campaign: str, spec: bytes) -> None:
        await trio.lowlevel.checkpoint()
        entry = self._entry()
        self._announced[entry] = Announcement(entry=entry, campaign=inbox.campaign_id(campaign), spec=spec)

    async def add_rows(self, campaign: str, batches: Sequence[RowBatch]) -> int:
        await trio.lowlevel.checkpoint()
        rows = self._campaign(campaign)
        inbox.check(batches)
        new = 0
        for batch in batches:
            if batch.number not in rows.seen:
                rows.seen.add(batch.number)
                entry = self._entry()
                rows.entries[entry] = RowBatch(number=batch.number, rows=batch.rows, entry=entry)
                new += 1
        return new

    async def close_rows(self, campaign: str, batches: int) -> None:
        await trio.lowlevel.checkpoint()
        rows = self._campaign(campaign)
        rows.end = batches if rows.end is None else rows.end

    async def announcements(self, limit: int) -> Sequence[Announcement]:
        await trio.lowlevel.checkpoint()
        return list(itertools.islice(self._announced.values(), limit))

    async def accept(self, announcement: Announcement, spec: bytes, now: float, *, scheduled: bool = False) -> None:
        await trio.lowlevel.checkpoint()
        self._announced.pop(announcement.entry, None)
        campaign = self._campaign(announcement.campaign)
        if not campaign.known:
            campaign.known, campaign.spec, campaign.open, campaign.scheduled = True, spec, True, scheduled
            if scheduled:
                hold = Hold(campaign=announcement.campaign, start=-FOR_EVER, end=FOR_EVER)
                self._holds.setdefault(announcement.campaign, hold)
            self._accepted.append(announcement.campaign)
            if announcement.row:
                entry = self._entry()
                campaign.entries[entry] = RowBatch(number=0, rows=announcement.row, entry=entry)
                campaign.seen.add(0)
                campaign.end = 1

    async def refuse(self, refusals: Sequence[Refusal], now: float) -> None:
        await trio.lowlevel.checkpoint()
        for refusal in refusals:
            if self._drop(refusal):
                self._dead.append(refusal)

    def _drop(self, refusal: Refusal) -> bool:
        """Take the entry out of the inbox; its batch may then be submitted again, corrected."""
        if self._announced.pop(refusal.entry, None) is not None:
            return True
        campaign = self._campaigns.get(refusal.campaign)
        batch = campaign.entries.pop(refusal.entry, None) if campaign is not None else None
        if campaign is not None and batch is not None:
            campaign.seen.discard(batch.number)
        return batch is not None

    async def spec(self, campaign: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        known = self._campaigns.get(campaign)
        return known.spec if known is not None else None

    async def open_campaigns(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return [name for name in self._accepted if self._campaigns[name].open]

    async def rows(self, campaign: str, limit: int) -> Inflow:
        await trio.lowlevel.checkpoint()
        known = self._campaigns.get(campaign) or MemoryCampaign()
        return inbox.inflow(campaign, known.entries.values(), known.done, known.end, known.chunk, limit)

    async def expand(self, chunk: Chunk, now: float) -> bool:
        await trio.lowlevel.checkpoint()
        campaign = self._campaign(chunk.campaign)
        if chunk.number != campaign.chunk:
            return chunk == campaign.last  # told again, or taken by another expander
        for entry in (*(batch.entry for batch in chunk.batches), *chunk.drop):
            campaign.entries.pop(entry, None)
        campaign.done.update(batch.number for batch in chunk.batches)
        campaign.chunk, campaign.last, campaign.priority = chunk.number + 1, chunk, chunk.priority
        campaign.spill = chunk.spill if chunk.spill.after_s else campaign.spill
        for routed in chunk.packs:
            self._put(routed.route, chunk.campaign, routed.pack)
            campaign.accepted += routed.count
        for state, count in chunk.states.items():
            campaign.final["-", state] += count
            campaign.accepted += count
        for ordinal, state in chunk.ended:
            campaign.fates[ordinal] = NUMBERS[state]
        self._tell(chunk.events, now)
        return True

    async def finish_rows(self, campaign: str) -> None:
        await trio.lowlevel.checkpoint()
        self._campaign(campaign).open = False
