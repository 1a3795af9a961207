"""The Redis backend's search: where one envelope is, where a campaign waits, and what lanes say of themselves.

`find` asks for everything in one round trip. Places come before fates: a settlement that came too late may have noted a fate
that did not hold, but where an envelope stands, it is.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sender.model import LaneId, Route
from sender.queue import inbox
from sender.queue.base import BATCH_ROWS
from sender.queue.client import Command
from sender.queue.control import Hold
from sender.queue.fates import DEFERRED, SEGMENT, STATES
from sender.queue.finding import Found, LaneReport, RouteWork, Waits, Whereabouts, newest
from sender.queue.keys import REPORTERS, CampaignKeys, lanes
from sender.queue.pack import PackError, decode, distance, place_of
from sender.queue.redis_part import Bits, RedisPart, number_or_none

_LOOKED_AT = 500  # routes, and leases, of a partition: keeps the server busy for some milliseconds at most
_ROUTES_COUNTED = 2000  # of a partition, where a campaign waits
_OCTETS = 512 * 1024  # of packs that one partition hands over
_AROUND = 16  # packs to either side of the likeliest one of a route, where that one does not have it
_REPORT_LIFE_S = 15
_EVENT_ENTRIES, _EVENT_OCTETS = 500, 2_000_000  # of a partition: what is looked through for an envelope's newest event

_reports = msgspec.msgpack.Decoder(list[LaneReport])


@dataclass(frozen=True, slots=True)
class _Inbox:
    """What a campaign's own keys say of an ordinal."""

    expanded: bool
    waiting: bool  # its batch may still be in the inbox
    fate: int

    @classmethod
    def read(cls, batch: int, replies: Sequence[Any]) -> "_Inbox":
        end, seen, noted, done, waiting, (fate,) = replies
        last = number_or_none(end)
        beyond = last is not None and batch >= last
        return cls(bool(done), not done and not beyond and bool(seen or (waiting and not noted)), fate or 0)


class RedisFinding(RedisPart):
    """See `sender.queue.finding.Finds`."""

    async def find(self, campaign: str, ordinal: int) -> Found:
        keys = CampaignKeys(inbox.campaign_id(campaign))
        if not 0 <= ordinal < inbox.MAX_BATCHES * BATCH_ROWS:
            return Found(where=Whereabouts.UNKNOWN)
        own = _own(keys, ordinal)
        replies = await self._client.run([*own, *self._looks(campaign, ordinal, 0)])
        state, answers = _Inbox.read(ordinal // BATCH_ROWS, replies[: len(own)]), replies[len(own) :]
        found = _first_found(campaign, ordinal, answers)
        if found is None and state.expanded and state.fate not in STATES:
            answers = await self._client.run(self._looks(campaign, ordinal, _AROUND))
            found = _first_found(campaign, ordinal, answers)
        return found or _elsewhere(state, whole=all(answer[0] for answer in answers))

    def _looks(self, campaign: str, ordinal: int, around: int) -> list[Command]:
        names = ("leases", f"where:{campaign}", f"later:{campaign}", f"aside:{campaign}", "holds", "budget")
        arguments = (campaign, ordinal, _LOOKED_AT, _OCTETS, around)
        return [
            self._script("find", [part.key(name) for name in names], part.prefix, *arguments)
            for part in self._layout.partitions
        ]

    async def waits(self, campaign: str, limit: int) -> Waits:
        name = inbox.campaign_id(campaign)
        parts = self._layout.partitions
        names = (f"where:{name}", f"later:{name}", f"aside:{name}", "budget")
        commands = [
            self._script("waits", [part.key(own) for own in names], _ROUTES_COUNTED, limit, name, part.prefix) for part in parts
        ]
        answers = await self._client.run(commands)
        routes, oldest = Counter[Route](), dict[Route, float]()
        for _, _, _, _, _, _, *found in answers:
            for own, count, queued_at in zip(found[::3], found[1::3], found[2::3], strict=True):
                route = Route.read(own.decode())
                routes[route] = int(count)
                if queued_at:
                    oldest[route] = float(queued_at)
        shown, budgets = dict(routes.most_common(limit)), [int(answer[5]) for answer in answers if answer[5]]
        return Waits(
            routes=shown,
            oldest={route: queued_at for route, queued_at in oldest.items() if route in shown},
            more=sum(answer[1] for answer in answers) - len(shown),
            ready=sum(int(answer[0]) for answer in answers),
            later=sum(answer[2] for answer in answers),
            due=min((float(answer[3]) for answer in answers if answer[3]), default=None),
            aside=sum(answer[4] for answer in answers),
            budget=sum(budgets) if budgets else None,
        )

    async def work_on(self, routes: Sequence[Route]) -> Mapping[Route, RouteWork]:
        pairs = await self._client.run(
            [("HMGET", self._layout.of(route).key("waiting"), f"ready {route}", f"aside {route}") for route in routes]
        )
        counts = [(int(ready or 0), int(aside or 0)) for ready, aside in pairs]
        return {route: RouteWork(ready=ready, aside=aside) for route, (ready, aside) in zip(routes, counts, strict=True)}

    async def last_event(self, campaign: str, ordinal: int, route: Route | None) -> bytes | None:
        partitions = self._layout.partitions if route is None else (self._layout.of(route),)
        line = f'{{"v":1,"id":"{inbox.campaign_id(campaign)}:{ordinal}:'
        found = await self._client.run(
            [self._script("last_event", (part.key("events"),), line, _EVENT_ENTRIES, _EVENT_OCTETS) for part in partitions]
        )
        lines = [(int(at), line) for line, at in filter(None, found)]
        return bytes(max(lines)[1]) if lines else None

    async def report_lanes(self, owner: str, reports: Sequence[LaneReport]) -> None:
        octets = zlib.compress(msgspec.msgpack.encode(reports), 1)
        await self._client.run([self._script("report", (REPORTERS, lanes(owner)), owner, octets, _REPORT_LIFE_S)])

    async def lanes(self) -> Mapping[LaneId, LaneReport]:
        (names,) = await self._client.run([("SMEMBERS", REPORTERS)])
        octets = await self._client.run([("GET", lanes(name.decode())) for name in names])
        return newest(report for one in octets if one is not None for report in _read_reports(one))


def _own(keys: CampaignKeys, ordinal: int) -> list[Command]:
    batch, (segment, place) = ordinal // BATCH_ROWS, divmod(ordinal, SEGMENT)
    return [
        ("HGET", keys.progress, "end"),
        ("GETBIT", keys.seen, batch),
        ("STRLEN", keys.seen),  # 0: somebody else's program submits, and writes to the stream alone
        ("GETBIT", keys.done, batch),
        ("XLEN", keys.rows),
        ("BITFIELD_RO", keys.fates(segment), "GET", "u4", f"#{place}"),
    ]


def _first_found(campaign: str, ordinal: int, answers: Sequence[Any]) -> Found | None:
    """The first pack that holds it, the likeliest of all partitions first."""
    candidates = [(what, hold, budget) for _, hold, budget, packs in answers for what in packs]
    for what, hold, budget in sorted(candidates, key=lambda candidate: distance(candidate[0][1], ordinal)):
        place = place_of(what[1], ordinal)
        if place is not None:
            found = _found(what, place, _hold(campaign, hold), number_or_none(budget or None))
            if found is not None:
                return found
    return None


def _found(what: Sequence[Any], place: int, hold: Hold | None, budget: int | None) -> Found | None:
    """A pack that holds the envelope, as an answer; None where it was settled there, or can't be read."""
    try:
        envelope = decode(what[1])[place]
    except PackError:
        return None
    match what[0], *what[2:]:
        case b"leased", owner, lane, route, settled, first, size:
            if first + place >= int(size) or first + place in Bits(settled):
                return None
            source, _, receiver = lane.decode().partition("/")
            lane_id = LaneId(source=source, receiver=receiver)
            return Found(
                where=Whereabouts.LEASED,
                envelope=envelope,
                route=Route.read(route.decode()),
                lane=lane_id,
                owner=owner.decode(),
                hold=hold,
            )
        case b"ready", route, aside, before, packs, envelopes:
            ahead = int(envelopes) * before // packs + place
            return Found(
                where=Whereabouts.READY,
                envelope=envelope,
                route=Route.read(route.decode()),
                ahead=ahead,
                aside=bool(aside),
                hold=hold,
                budget=budget,
            )
        case _, route, due:
            waits = Route.read(route.decode())
            return Found(where=Whereabouts.LATER, envelope=envelope, route=waits, due=float(due), hold=hold)
    return None


def _elsewhere(state: _Inbox, *, whole: bool) -> Found:
    """It is in no place that was looked at; `whole`: there is no other."""
    if state.fate in STATES:
        return Found(where=Whereabouts.FINAL, state=STATES[state.fate])
    if not state.expanded:
        return Found(where=Whereabouts.INBOX if state.waiting else Whereabouts.UNKNOWN)
    if whole:
        return Found(where=Whereabouts.UNKNOWN)
    return Found(where=Whereabouts.LATER if state.fate == DEFERRED else Whereabouts.READY)


def _hold(campaign: str, octets: bytes) -> Hold | None:
    if not octets:
        return None
    start, _, end = octets.decode().partition(" ")
    return Hold(campaign=campaign, start=float(start), end=float(end))


def _read_reports(octets: bytes) -> list[LaneReport]:
    try:
        return _reports.decode(zlib.decompress(octets))
    except (zlib.error, msgspec.DecodeError):
        return []  # of another version, or somebody else's: what lanes say helps to understand, and is not needed
