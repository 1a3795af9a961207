"""The Redis backend's first half: what comes in, and how it is expanded exactly once.

A chunk is expanded in three steps, so that no script touches two hash tags: it is staged with its campaign, appended to
each partition, committed with its campaign. Staging decides who has the number. From then on whoever comes by finishes
it: partitions know the last chunk of each campaign they took, and a commit that was done does nothing.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import trio

from sender.errors import BackendError
from sender.model import Route, State
from sender.queue import inbox
from sender.queue.base import Announcement, Chunk, Inflow, Refusal, RowBatch
from sender.queue.client import Command
from sender.queue.fates import NUMBERS
from sender.queue.keys import CAMPAIGNS, DEAD, ENDED, KNOWN, OPEN, SCHEDULED, CampaignKeys, Partition
from sender.queue.redis_part import DEAD_ENTRIES, EVENT_ENTRIES, Bits, number_or_none
from sender.queue.redis_standing import RedisStanding
from sender.queue.scripts import Argument

_ENTRY_MAX = inbox.MAX_SPEC + 64 * 1024  # octets: the largest value and its small companions
_READ_TOTAL = 64 * 1024 * 1024  # octets read in one go
_ROUNDS = 100  # of finishing what somebody has begun
_ROWS_BEFORE = "rows/"  # an entry's name says which stream it stands in
_CAMPAIGNS_BEFORE = "campaigns/"


class _Staged(msgspec.Struct, array_like=True, frozen=True):
    """A chunk as it is written down before it is applied."""

    number: int
    priority: int
    entries: list[str]
    batches: list[int]
    packs: list[tuple[str, str, bytes]]  # pool, receiver, pack
    states: dict[State, int]
    events: bytes
    ended: list[tuple[int, State]] = []
    spill: tuple[float, float] = (0.0, 0.0)  # see Spill


class RedisInbox(RedisStanding):
    """Announcing, adding rows, checking and expanding."""

    async def announce(self, campaign: str, spec: bytes) -> None:
        entry = ("XADD", CAMPAIGNS, "*", "v", 1, "id", inbox.campaign_id(campaign), "spec", spec)
        await self._make_sure_of_room()
        await self._client.submit([entry])

    async def add_rows(self, campaign: str, batches: Sequence[RowBatch]) -> int:
        keys = CampaignKeys(inbox.campaign_id(campaign))
        arguments = await trio.to_thread.run_sync(_compressed, batches)
        await self._make_sure_of_room()
        (new,) = await self._client.submit([self._script("add_rows", (keys.seen, keys.rows), *arguments)])
        return int(new)

    async def close_rows(self, campaign: str, batches: int) -> None:
        keys = CampaignKeys(inbox.campaign_id(campaign))
        await self._client.submit([("HSETNX", keys.progress, "end", batches)])

    async def announcements(self, limit: int) -> Sequence[Announcement]:
        (found,) = await self._client.run([self._script("read", (CAMPAIGNS,), limit, _ENTRY_MAX, _READ_TOTAL)])
        announcements, refusals = [], []
        for entry, content in found:
            name = _CAMPAIGNS_BEFORE + entry.decode()
            if isinstance(content, int):
                refusals.append(_too_large(name, "", content))
                continue
            announcement = inbox.read_announcement(name, _fields(content))
            if isinstance(announcement, Refusal):
                refusals.append(announcement)
            else:
                announcements.append(announcement)
        if refusals:
            await self._bury(refusals)
        return announcements

    async def accept(self, announcement: Announcement, spec: bytes, now: float, *, scheduled: bool = False) -> None:
        """Store, hold, open, in this order: whoever dies in between, nothing can be leased that should wait."""
        keys = CampaignKeys(announcement.campaign)
        own = (keys.spec, keys.seen, keys.rows, keys.progress)
        (waits,) = await self._client.before_others([self._script("store_spec", own, spec, announcement.row, int(scheduled))])
        if waits:
            await self._client.run(
                [
                    self._script("first_hold", (part.key("holds"), part.count(keys.campaign)), keys.campaign)
                    for part in self._layout.partitions
                ]
            )
        entry = announcement.entry.removeprefix(_CAMPAIGNS_BEFORE)
        shared = (CAMPAIGNS, KNOWN, OPEN, SCHEDULED)
        await self._client.run([self._script("open", shared, entry, keys.campaign, now, waits)])

    async def refuse(self, refusals: Sequence[Refusal], now: float) -> None:
        await self._bury([refusal for refusal in refusals if refusal.entry.startswith(_CAMPAIGNS_BEFORE)])
        by_campaign: dict[str, list[Refusal]] = defaultdict(list)
        for refusal in refusals:
            if refusal.entry.startswith(_ROWS_BEFORE):
                by_campaign[refusal.campaign].append(refusal)
        for campaign, some in by_campaign.items():
            await self._drop_rows(CampaignKeys(campaign), some)

    async def _bury(self, refusals: Sequence[Refusal]) -> None:
        arguments: list[Argument] = [DEAD_ENTRIES]
        for refusal in refusals:
            entry = refusal.entry.removeprefix(_CAMPAIGNS_BEFORE)
            arguments += [entry, refusal.campaign, refusal.why, refusal.payload[: inbox.MAX_PAYLOAD]]
        if refusals:
            await self._client.run([self._script("bury", (CAMPAIGNS, DEAD), *arguments)])

    async def _drop_rows(self, keys: CampaignKeys, refusals: Sequence[Refusal]) -> None:
        """Dead letter first, then the entry goes: dying in between tells twice and loses nothing."""
        entries = [refusal.entry.removeprefix(_ROWS_BEFORE) for refusal in refusals]
        there = await self._client.run([("XRANGE", keys.rows, entry, entry) for entry in entries])
        await self._client.run(
            [self._dead_letter(refusal) for refusal, found in zip(refusals, there, strict=True) if found],
        )
        own = (keys.rows, keys.seen, keys.done)
        await self._client.run([self._script("drop_rows", own, inbox.MAX_BATCHES - 1, *entries)])

    async def spec(self, campaign: str) -> bytes | None:
        (spec,) = await self._client.run([("GET", CampaignKeys(inbox.campaign_id(campaign)).spec)])
        return bytes(spec) if spec is not None else None

    async def open_campaigns(self) -> Sequence[str]:
        (names,) = await self._client.run([("ZRANGE", OPEN, 0, -1)])
        return [name.decode() for name in names]

    async def rows(self, campaign: str, limit: int) -> Inflow:
        keys = CampaignKeys(inbox.campaign_id(campaign))
        read = self._script("read", (keys.rows,), 2 * limit + 10, _ENTRY_MAX, _READ_TOTAL)
        for _ in range(_ROUNDS):
            progress, staged, done, entries = await self._client.run(
                [("HMGET", keys.progress, "chunk", "end"), ("HGET", keys.staged, "chunk"), ("GET", keys.done), read]
            )
            if staged is None:
                break
            await self._finish(keys, _unstage(staged))
        else:
            raise BackendError(f"campaign {campaign}: other expanders begin its chunks faster than they can be finished")
        end = number_or_none(progress[1])
        found = [_rows_entry(campaign, entry.decode(), content) for entry, content in entries]
        ends = [item for item in found if isinstance(item, inbox.End)]
        if ends:
            end = await self._end(keys, ends)
        batches = [item for item in found if not isinstance(item, inbox.End)]
        return inbox.inflow(campaign, batches, Bits(done), end, int(progress[0] or 0), limit)

    async def _end(self, keys: CampaignKeys, ends: Sequence[inbox.End]) -> int | None:
        """Note where the rows end, by the first entry that says so, and drop those entries."""
        entries = [item.entry.removeprefix(_ROWS_BEFORE) for item in ends]
        (end,) = await self._client.run([self._script("end_rows", (keys.progress, keys.rows), ends[0].batches, *entries)])
        return number_or_none(end)

    async def expand(self, chunk: Chunk, now: float) -> bool:
        keys = CampaignKeys(inbox.campaign_id(chunk.campaign))
        staged = _stage(chunk)
        octets = msgspec.msgpack.encode(staged)
        stage = self._script("stage", (keys.progress, keys.staged), chunk.number, sha256(octets).digest(), octets)
        (answer,) = await self._client.run([stage])
        if answer == b"staged":
            await self._finish(keys, staged)
        return bool(answer != b"taken")

    async def _finish(self, keys: CampaignKeys, staged: _Staged) -> None:
        await self._client.before_others(list(self._appends(keys.campaign, staged)))
        own = (keys.progress, keys.staged, keys.rows, keys.done)
        entries, batches = msgspec.msgpack.encode(staged.entries), msgspec.msgpack.encode(staged.batches)
        fates = self._note(keys.campaign, ((ordinal, NUMBERS[state]) for ordinal, state in staged.ended))
        await self._client.run([*fates, self._script("commit", own, staged.number, entries, batches)])

    def _appends(self, campaign: str, staged: _Staged) -> Iterator[Command]:
        """One command for each partition that gets anything of a chunk."""
        home = self._layout.home(campaign)
        packs: dict[Partition, list[Argument]] = {home: []} if staged.states or staged.events else {}
        for pool, receiver, pack in staged.packs:
            route = Route(pool=pool, receiver=receiver)
            packs.setdefault(self._layout.of(route), []).extend((str(route), pack))
        for partition, pairs in packs.items():
            states = msgspec.msgpack.encode(staged.states if partition is home else {})
            yield self._script(
                "append",
                (partition.count(campaign), partition.key("events")),
                partition.prefix,
                campaign,
                staged.number,
                staged.priority,
                states,
                staged.events if partition is home else b"",
                EVENT_ENTRIES,
                _spill(*staged.spill),
                *pairs,
            )

    async def finish_rows(self, campaign: str) -> None:
        name = inbox.campaign_id(campaign)
        await self._client.run([self._script("finish_rows", (ENDED, OPEN), name)])


def _compressed(batches: Sequence[RowBatch]) -> list[Argument]:
    inbox.check(batches)
    arguments: list[Argument] = []
    for batch in batches:
        arguments += [batch.number, zlib.compress(batch.rows)]
    return arguments


def _rows_entry(campaign: str, entry: str, content: Any) -> RowBatch | inbox.End | Refusal:
    name = _ROWS_BEFORE + entry
    if isinstance(content, int):
        return _too_large(name, campaign, content)
    return inbox.read_rows(name, campaign, _fields(content))


def _too_large(entry: str, campaign: str, octets: int) -> Refusal:
    return Refusal(entry=entry, campaign=campaign, why=f"{octets} octets; allowed are {_ENTRY_MAX}", payload=b"")


def _fields(content: Sequence[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(content[::2], content[1::2], strict=True))


def _stage(chunk: Chunk) -> _Staged:
    entries = (*(batch.entry for batch in chunk.batches), *chunk.drop)
    return _Staged(
        number=chunk.number,
        priority=chunk.priority,
        entries=[entry.removeprefix(_ROWS_BEFORE) for entry in entries],
        batches=[batch.number for batch in chunk.batches],
        packs=[(routed.route.pool, routed.route.receiver, routed.pack) for routed in chunk.packs],
        states=dict(chunk.states),
        events=b"\n".join(chunk.events),
        ended=list(chunk.ended),
        spill=(chunk.spill.after_s, chunk.spill.start),
    )


def _spill(after_s: float, start: float) -> str:
    """As the lease script reads it; "" where there is nothing to wait for."""
    return f"{after_s} {start}" if after_s else ""


def _unstage(octets: bytes) -> _Staged:
    try:
        return msgspec.msgpack.decode(octets, type=_Staged)
    except msgspec.DecodeError as error:
        raise BackendError(f"a staged chunk can't be read: {error}") from error
