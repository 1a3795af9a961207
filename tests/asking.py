"""What tests of explanations share: a campaign in memory, what its lanes would have said of themselves, and the questions."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import trio

from sender.content.spec import dump, parse
from sender.controlling import Controller
from sender.events import Event
from sender.explaining.campaigns import explain_campaign
from sender.explaining.envelopes import explain_envelope
from sender.explaining.explanation import Explanation
from sender.explaining.facts import campaign_facts, envelope_facts, fleet_facts
from sender.explaining.lanes import explain_lane
from sender.model import Envelope, LaneId, Route, State
from sender.queue.base import Again, Chunk, Lease, LeaseRequest, RoutedPack, RowBatch, Settlement
from sender.queue.control import Control
from sender.queue.finding import LaneReport
from sender.queue.memory import MemoryQueue
from sender.queue.pack import encode_all, size
from sender.settings import Settings, load

NOW = 1_790_000_000.0
OWNER = "alpha/delivery-1"
ROUTE = Route(pool="main", receiver="google")
LANE = LaneId(source="s1", receiver="google")
SPEC = {"from": "Shop <news@shop.example>", "subject": "Hello", "text": "Hi"}
REFUSAL = "rate: 421-4.7.28 unusual rate of unsolicited mail"


class Store(MemoryQueue):
    async def time(self) -> float:
        await trio.lowlevel.checkpoint()
        return NOW


def configured(tmp_path: Path) -> Settings:
    """Two sources of one pool on a host, one of another on another."""
    (tmp_path / "penstock.toml").write_text("[delivery]\nahead = 2000\n")
    places = (("s1", "main", "alpha"), ("s2", "main", "alpha"), ("s3", "night", "beta"))
    table = '[[source]]\nname="{}"\nehlo="m.shop.example"\npool="{}"\nhost="{}"\n'
    tables = [table.format(*place) for place in places]
    (tmp_path / "sources.toml").write_text("\n".join(tables))
    return load(tmp_path)


def report(source: str = "s1", limit: str = "window", *, until: float = 0.0, rule: str = "", why: str = "5 of 5") -> LaneReport:
    return LaneReport(
        lane=replace(LANE, source=source),
        route=ROUTE,
        owner=OWNER,
        at=NOW - 0.5,
        sessions=5,
        connections=5,
        holding=64,
        messages_per_second=100.0,
        limit=limit,
        until=until,
        rule=rule,
        why=why,
    )


def paused(source: str, until: float) -> LaneReport:
    return report(source, "pause", until=until, rule="google/source-rate", why=REFUSAL)


async def store(
    *reports: LaneReport,
    route: Route = ROUTE,
    recipients: int = 1000,
    expanded: bool = True,
    running: bool = True,
    spec: Mapping[str, object] = SPEC,
    fields: Mapping[str, str] | None = None,
) -> Store:
    """A campaign of a thousand, all of them ready on a route, and what its lanes say."""
    queue, document = Store(), dump(parse(dict(spec), file="spring"))
    if running:
        await queue.join(OWNER)
    await queue.announce("spring", document)
    (announcement,) = await queue.announcements(10)
    await queue.accept(announcement, document, NOW, scheduled=parse(document, file="spring").scheduled)
    await queue.add_rows("spring", [RowBatch(number=0, rows=b"{}")])
    await queue.close_rows("spring", 1)
    if expanded:
        some = [
            Envelope(campaign="spring", ordinal=number, address=f"r{number}@gmail.com", fields=fields or {}, queued_at=NOW - 60)
            for number in range(recipients)
        ]
        packs = tuple(RoutedPack(route=route, pack=pack, count=size(pack)) for pack in encode_all(some, 200))
        batches = (await queue.rows("spring", 10)).batches
        assert await queue.expand(Chunk(campaign="spring", number=0, priority=5, batches=batches, packs=packs), NOW)
    await queue.report_lanes(OWNER, reports)
    return queue


async def leased(queue: Store, count: int = 10) -> Lease:
    (lease,) = await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner=OWNER, envelopes=count)], NOW)
    return lease


async def settled(queue: Store, position: int, state: State | None, due: float = 0.0, event: Event | None = None) -> None:
    """One envelope of a new lease ends, or is deferred."""
    lease = await leased(queue)
    told = Settlement(
        lease=lease.id, route=ROUTE, campaign="spring", events=(event.encode(),) if event else (), ordinals=(position,)
    )
    if state is not None:
        await queue.settle([replace(told, final=((position, state),))], NOW)
    else:
        again = Again(position=position, envelope=replace(lease.envelopes[position], attempts=1), due=due)
        await queue.settle([replace(told, again=(again,))], NOW)


async def said(queue: Store, *, paused: bool = False, ended: State | None = None) -> None:
    """An operator's word, carried out."""
    await queue.set_control(Control(campaign="spring", paused=paused, ended=ended, by="ann@alpha", at=NOW, why="wrong link"))
    controller = Controller(queue)
    for _ in range(3):
        await controller.run_once(NOW)


async def message(queue: Store, settings: Settings, ordinal: int, campaign: str = "spring") -> Explanation:
    return explain_envelope(await envelope_facts(queue, settings, campaign, ordinal))


async def campaign(queue: Store, settings: Settings, name: str = "spring") -> Explanation:
    facts = await campaign_facts(queue, settings, name, with_waits=True)
    return explain_campaign(facts, await fleet_facts(queue, settings))


async def lane(queue: Store, settings: Settings, lane: LaneId = LANE) -> Explanation:
    route = Route(pool="main", receiver=lane.receiver)
    own = route.own(lane.source)
    work = await queue.work_on([route, own])
    return explain_lane(await fleet_facts(queue, settings), lane, work[route], work[own])


def noted(explanation: Explanation) -> dict[str, str]:
    return {note.name: note.text for note in explanation.notes}
