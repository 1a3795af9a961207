"""The Redis backend's windows: what waits, what became of it, and the events. Nothing here changes anything."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sender.model import Route, State
from sender.queue.base import CampaignStatus, Depth, ReadyRoute
from sender.queue.client import Client, Command
from sender.queue.keys import DEAD, KNOWN, CampaignKeys, Layout
from sender.queue.redis_part import Bits, RedisPart, number_or_none
from sender.queue.walk import Walk

_START = "0-0"


class RedisViews(RedisPart):
    """Looking."""

    def __init__(self, client: Client, layout: Layout) -> None:
        super().__init__(client, layout)
        self._walk = Walk()

    async def ready(self, limit: int) -> Sequence[ReadyRoute]:
        partitions = self._layout.partitions
        lengths = await self._client.run([("ZCARD", part.key("routes")) for part in partitions])
        stretches = self._walk.stretches(lengths, limit)
        answers = await self._client.run(
            [
                self._script("ready", (part.key("routes"), part.key("waiting")), *stretch)
                for part, stretch in zip(partitions, stretches, strict=True)
            ]
        )
        routes = [
            (place, ReadyRoute(route=Route.read(name.decode()), envelopes=int(envelopes), oldest=float(oldest)))
            for place, answer in enumerate(answers)
            for name, oldest, envelopes in answer
        ]
        kept = sorted(routes, key=lambda found: (found[1].oldest, str(found[1].route)))[:limit]
        given = Counter(place for place, _ in kept)  # of each partition the first ones: it answers in the same order
        self._walk.shown([given[place] for place in range(len(partitions))])
        return [ready for _, ready in kept]

    async def campaigns(self) -> Sequence[str]:
        (names,) = await self._client.run([("ZREVRANGE", KNOWN, 0, -1)])
        return [name.decode() for name in names]

    async def status(self, campaigns: Sequence[str]) -> Sequence[CampaignStatus]:
        each = 4 + len(self._layout.partitions)
        commands: list[Command] = []
        for campaign in campaigns:
            keys = CampaignKeys(campaign)
            commands += [("ZSCORE", KNOWN, campaign), ("HGET", keys.progress, "end"), ("GET", keys.done)]
            commands += [("XLEN", keys.rows)]
            commands += [("HGETALL", part.count(campaign)) for part in self._layout.partitions]
        replies = await self._client.run(commands)
        found = [(name, replies[place * each : (place + 1) * each]) for place, name in enumerate(campaigns)]
        return [_status(name, some) for name, some in found if some[0] is not None]

    async def depth(self, now: float) -> Depth:
        commands: list[Command] = [("XLEN", DEAD)]
        for part in self._layout.partitions:
            commands += [
                self._script("depth", (part.key("waiting"),)),
                ("ZRANGE", part.key("routes"), 0, 0, "WITHSCORES"),
                ("ZRANGE", part.key("due"), 0, 0, "WITHSCORES"),
            ]
        refused, *replies = await self._client.run(commands)
        ready, aside, leased, later = Counter[Route](), Counter[Route](), 0, 0
        for there_leased, there_later, *routes in replies[::3]:
            leased, later = leased + there_leased, later + there_later
            for name, envelopes, out_of_line in zip(routes[::3], routes[1::3], routes[2::3], strict=True):
                ready[Route.read(name.decode())] += envelopes
                aside[Route.read(name.decode())] += out_of_line
        return Depth(
            ready=ready,
            aside=aside,
            leased=leased,
            later=later,
            oldest_ready_s=_age(replies[1::3], now),
            oldest_due_s=_age(replies[2::3], now),
            refused=refused,
        )

    async def events(self, after: str, limit: int) -> tuple[str, Sequence[bytes]]:
        """An entry is given whole: the last one may carry some more than `limit`."""
        partitions = self._layout.partitions
        cursors = after.split(",") if after else [_START] * len(partitions)
        if len(cursors) != len(partitions):
            raise ValueError(f"{after!r} is no cursor of this store")
        answers = await self._client.run(
            [
                ("XRANGE", part.key("events"), f"({cursor}", "+", "COUNT", limit)
                for part, cursor in zip(partitions, cursors, strict=True)
            ]
        )
        entries = [(_moment(name), place, fields) for place, answer in enumerate(answers) for name, fields in answer]
        events: list[bytes] = []
        for (milliseconds, number), place, fields in sorted(entries, key=lambda entry: entry[:2]):
            if len(events) >= limit:
                break
            cursors[place] = f"{milliseconds}-{number}"
            events += fields[fields.index(b"lines") + 1].split(b"\n")
        return ",".join(cursors), events


def _status(campaign: str, replies: Sequence[Any]) -> CampaignStatus:
    _, end, done, waiting, *counts = replies
    accepted, parked, final, deferrals = 0, 0, dict[tuple[str, State], int](), dict[str, int]()
    for pairs in counts:
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            what, _, receiver = name.decode().partition(" ")
            if what == "=accepted":
                accepted += int(value)
            elif what == "=parked":
                parked += int(value)
            elif what == "deferred":
                deferrals[receiver] = deferrals.get(receiver, 0) + int(value)
            elif not what.startswith("="):
                final[receiver, State(what)] = final.get((receiver, State(what)), 0) + int(value)
    last, bits = number_or_none(end), Bits(done)
    return CampaignStatus(
        campaign=campaign,
        accepted=accepted,
        waiting_batches=waiting,
        complete=last is not None and all(number in bits for number in range(last)),
        final=final,
        deferrals=deferrals,
        parked=parked,
    )


def _moment(entry: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry.decode().partition("-")
    return int(milliseconds), int(number)


def _age(oldest: Sequence[Sequence[bytes]], now: float) -> float:
    """How long ago the smallest of some scores was."""
    return max((max(0.0, now - float(pair[1])) for pair in oldest if pair), default=0.0)
