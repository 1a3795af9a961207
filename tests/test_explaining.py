"""What binds an envelope, a campaign and a lane: over a real queue in memory, with what lanes would have said of themselves."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from sender.content.spec import dump, parse
from sender.controlling import Controller
from sender.events import Event
from sender.explaining import explain_envelope
from sender.explaining_campaigns import explain_campaign
from sender.explaining_lanes import explain_lane
from sender.explanation import FOR_EVER, Explanation, Limit, span
from sender.facts import campaign_facts, envelope_facts, fleet_facts
from sender.model import Envelope, LaneId, Route, State
from sender.queue.base import Again, Chunk, Lease, LeaseRequest, RoutedPack, RowBatch, Settlement
from sender.queue.control import Control
from sender.queue.finding import LaneReport
from sender.queue.memory import MemoryQueue
from sender.queue.pack import encode_all, size
from sender.settings import Settings, load
from tests.queue.feeding import parking

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


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
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
            Envelope(campaign="spring", ordinal=number, address=f"r{number}@gmail.com", queued_at=NOW - 60)
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
    return explain_lane(await fleet_facts(queue, settings), lane, (await queue.work_on([route]))[route])


def noted(explanation: Explanation) -> dict[str, str]:
    return {note.name: note.text for note in explanation.notes}


async def test_paused_by_an_operator(settings: Settings) -> None:
    queue = await store(report())
    await said(queue, paused=True)
    for found in (await message(queue, settings, 700), await campaign(queue, settings)):
        (reason,) = found.reasons
        assert (reason.limit, reason.text) == (Limit.PAUSE, "the campaign is paused by ann@alpha: wrong link")
        assert reason.origin.endswith("penstock resume spring")
        assert found.next == FOR_EVER


async def test_a_start_that_has_not_come(settings: Settings) -> None:
    start = NOW + 7_200
    queue = await store(report(), spec={**SPEC, "start": datetime.fromtimestamp(start, UTC).isoformat()})
    await Controller(queue).run_once(NOW)
    found = await message(queue, settings, 3)
    assert (found.reasons[0].limit, found.next) == (Limit.START, start)
    assert (await campaign(queue, settings)).state == "scheduled"


async def test_outside_its_windows(settings: Settings) -> None:
    opens = datetime.fromtimestamp(NOW + 5 * 3_600, UTC).replace(minute=0, second=0)
    window = {"from": f"{opens:%H:%M}", "to": f"{opens.replace(minute=59):%H:%M}"}
    queue = await store(report(), spec={**SPEC, "windows": [window]})
    await Controller(queue).run_once(NOW)
    found = await message(queue, settings, 3)
    assert (found.reasons[0].limit, found.next) == (Limit.WINDOW, opens.timestamp())


async def test_a_rate_that_is_used_up(settings: Settings) -> None:
    queue = await store(report(limit="nothing to send"), spec={**SPEC, "rate": "100/h"})
    await Controller(queue).run_once(NOW)
    while await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner=OWNER, envelopes=10)], NOW):
        pass
    found = await message(queue, settings, 700)
    assert (found.reasons[0].limit, found.reasons[0].text) == (Limit.RATE, "the campaign's rate is used up: 100/h")
    assert found.next == pytest.approx(NOW + 700 * 36, abs=40)
    assert (await campaign(queue, settings)).reasons[0].limit is Limit.RATE


async def test_all_lanes_paused_the_first_to_open_counts(settings: Settings) -> None:
    queue = await store(paused("s1", NOW + 900), paused("s2", NOW + 600))
    found = await message(queue, settings, 0)
    (reason,) = found.reasons
    assert (reason.limit, reason.detail, found.next) == (Limit.LANE, "pause", NOW + 600)
    assert "none of 2 lanes" in reason.text
    assert f"s2/google is paused: {REFUSAL}" in reason.text
    assert reason.origin.startswith("rule google/source-rate (")
    assert reason.origin.endswith("receivers/google.toml)")


async def test_one_lane_paused_and_another_sending(settings: Settings) -> None:
    queue = await store(paused("s1", NOW + 900), report("s2", "pace", why="100 messages a second, the receiver's limit"))
    found = await message(queue, settings, 500)
    (reason,) = found.reasons
    assert (reason.limit, reason.detail) == (Limit.TURN, "pace")
    assert reason.text.startswith("about 500 of its campaign go first; s2/google sends at its pace")
    assert found.next == NOW + 5
    assert "limits.messages_per_second" in reason.origin


@pytest.mark.parametrize(
    ("limit", "origin"),
    [
        ("window", "limits.connections ("),
        ("connection pace", "limits.connections_per_minute ("),
        ("pace", "limits.messages_per_second ("),
        ("process", "delivery.sessions (penstock.toml)"),
        ("receiver", f"process {OWNER}"),
    ],
)
async def test_what_binds_a_lane_that_sends(settings: Settings, limit: str, origin: str) -> None:
    queue = await store(report(limit=limit))
    for found in (await message(queue, settings, 0), await lane(queue, settings)):
        (reason,) = found.reasons
        assert (reason.limit, reason.detail) == (Limit.LANE, limit)
        assert reason.origin.startswith(origin)
    assert (await lane(queue, settings)).state == "running"


async def test_a_lane_that_is_free_takes_it_at_once(settings: Settings) -> None:
    queue = await store(report(limit="nothing to send"))
    found = await message(queue, settings, 700)
    assert (found.reasons[0].text, found.next) == ("s1/google is free, and asks for work within a second", NOW)


async def test_a_retry_with_what_was_answered_last(settings: Settings) -> None:
    queue = await store(report(limit="nothing to send"))
    event = Event(
        id="spring:4:1:deferred",
        type="deferred",
        at=NOW - 60,
        campaign="spring",
        ordinal=4,
        to="r4@gmail.com",
        attempt=1,
        source="s1",
        mx="mx.google.com",
        step="RCPT",
        code=452,
        enhanced="4.2.2",
        reply="out of\x1b[2J storage",
        rule="google/full-mailbox",
    )
    await settled(queue, 4, None, NOW + 240, event)
    found = await message(queue, settings, 4)
    (reason,) = found.reasons
    assert (found.state, reason.limit, found.next) == ("waits for its next attempt", Limit.RETRY, NOW + 240)
    text = "deferred from s1 at mx.google.com, RCPT: 452 4.2.2 out of?[2J storage [rule google/full-mailbox]"
    assert noted(found)["attempt 1"] == text
    await said(queue, paused=True)
    assert [reason.limit for reason in (await message(queue, settings, 4)).reasons] == [Limit.PAUSE, Limit.RETRY]


async def test_a_retry_that_is_due_while_its_lanes_are_paused_for_longer(settings: Settings) -> None:
    queue = await store(paused("s1", NOW + 900), paused("s2", NOW + 1_000))
    await settled(queue, 4, None, NOW + 240)
    found = await message(queue, settings, 4)
    assert ([reason.limit for reason in found.reasons], found.next) == ([Limit.LANE, Limit.RETRY], NOW + 900)


async def test_a_retry_that_nobody_promotes(settings: Settings) -> None:
    queue = await store(report())
    await settled(queue, 4, None, NOW - 240)
    found = await message(queue, settings, 4)
    assert found.reasons[0].limit is Limit.SCHEDULER
    assert "due for 4 min: is a scheduler running?" in found.reasons[0].text


async def test_leased(settings: Settings) -> None:
    queue = await store(report())
    await leased(queue)
    found = await message(queue, settings, 5)
    assert (found.state, found.reasons[0].detail) == ("with a lane", "window")
    await queue.report_lanes(OWNER, [])
    assert (await message(queue, settings, 5)).reasons[0].text == "lane s1/google has just got it"
    await queue.fence({OWNER: None})
    gone = (await message(queue, settings, 5)).reasons[0]
    assert (gone.limit, "its process alpha/delivery-1 is gone" in gone.text) == (Limit.NO_PROCESS, True)


async def test_in_the_inbox(settings: Settings) -> None:
    queue = await store(report(), expanded=False)
    found = await message(queue, settings, 3)
    assert (found.state, found.reasons[0].limit) == ("in the inbox", Limit.EXPANSION)
    assert (await campaign(queue, settings)).reasons[0].limit is Limit.EXPANSION


async def test_in_the_inbox_behind_what_is_queued(settings: Settings) -> None:
    queue = await store(report(), recipients=2_500)
    await queue.add_rows("spring", [RowBatch(number=5, rows=b"{}")])
    found = await message(queue, settings, 5_000)
    assert found.state == "in the inbox"
    assert found.reasons[0].origin == "delivery.ahead (penstock.toml)"
    assert "2,500 of its envelopes are queued" in found.reasons[0].text


@pytest.mark.parametrize("state", [State.DELIVERED, State.REJECTED, State.EXPIRED])
async def test_final(settings: Settings, state: State) -> None:
    queue = await store(report())
    await settled(queue, 4, state)
    found = await message(queue, settings, 4)
    assert (found.state, found.reasons, found.next) == (str(state), (), None)


async def test_in_doubt(settings: Settings) -> None:
    queue = await store(report())
    await queue.settle([parking(await leased(queue), [2])], NOW)
    found = await message(queue, settings, 2)
    assert (found.state, found.next) == ("unknown: in doubt", FOR_EVER)
    assert (found.reasons[0].limit, found.reasons[0].origin) == (Limit.DOUBT, "penstock doubts resend spring:2")
    assert "1 in doubt: penstock doubts list spring" in noted(await campaign(queue, settings))["recipients"]


async def test_nobody_of_that_number(settings: Settings) -> None:
    queue = await store(report())
    found = await message(queue, settings, 5_000)
    assert (found.state, found.reasons[0].limit) == ("not found", Limit.NOTHING)
    assert "no recipient 5,000 of this campaign: 1,000 were read" in found.reasons[0].text


async def test_a_campaign_that_nobody_knows_and_one_that_nobody_has_checked(settings: Settings) -> None:
    queue = await store(report())
    await queue.announce("summer", b"{}")
    assert ((await message(queue, settings, 1, "winter")).state, (await campaign(queue, settings, "winter")).state) == (
        "not found",
        "unknown",
    )
    for found in (await message(queue, settings, 1, "summer"), await campaign(queue, settings, "summer")):
        assert (found.state, found.reasons[0].limit) == ("announced", Limit.EXPANSION)


async def test_cancelled(settings: Settings) -> None:
    queue = await store(report())
    await said(queue, ended=State.CANCELLED)
    for found in (await message(queue, settings, 3), await campaign(queue, settings)):
        assert found.reasons[0].limit is Limit.CANCELLED
        assert found.reasons[0].text == "the campaign was cancelled by ann@alpha: wrong link"
        assert found.next is None


async def test_nobody_can_send_it(settings: Settings) -> None:
    queue = await store(report(), route=Route(pool="nobody", receiver="google"))
    found = await message(queue, settings, 3)
    assert (found.reasons[0].limit, found.next) == (Limit.NO_SOURCE, FOR_EVER)
    assert found.reasons[0].text == "no source is in pool 'nobody'; there are: main, night"
    queue = await store(report(), route=Route(pool="night", receiver="google"))
    found = await message(queue, settings, 3)
    assert found.reasons[0].limit is Limit.NO_PROCESS
    assert "no delivery process runs on beta" in found.reasons[0].text
    assert "those that run are on alpha" in found.reasons[0].text
    queue = await store(running=False)
    for found in (await message(queue, settings, 3), await campaign(queue, settings), await lane(queue, settings)):
        assert (found.reasons[0].limit, found.reasons[0].text) == (Limit.NO_PROCESS, "no delivery process runs")


async def test_a_lane_that_has_not_begun_and_one_that_has_nothing_to_do(settings: Settings) -> None:
    queue = await store()
    assert "no lane of main/google has said anything yet" in (await message(queue, settings, 3)).reasons[0].text
    assert (await lane(queue, settings)).state == "not running"
    idle = await lane(queue, settings, replace(LANE, receiver="orange"))
    assert (idle.reasons[0].limit, noted(idle)["route"]) == (Limit.NOTHING, "main/orange, 0 envelopes ready")
    await said(queue, paused=True)
    await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner=OWNER, envelopes=10)], NOW)
    assert noted(await lane(queue, settings))["route"].endswith("ready, all of them held back with their campaigns")


async def test_a_lane_of_no_source_of_ours(settings: Settings) -> None:
    found = await lane(await store(), settings, replace(LANE, source="s9"))
    assert (found.state, found.reasons[0].text) == ("unknown", "no source is called 's9'; there are: s1, s2, s3")


async def test_what_a_lane_said_long_ago_does_not_count(settings: Settings) -> None:
    queue = await store(replace(paused("s1", NOW + 900), at=NOW - 11))
    assert (await lane(queue, settings)).state == "not running"


async def test_a_hold_that_nothing_stands_behind_any_more(settings: Settings) -> None:
    queue = await store(report())
    await said(queue, paused=True)
    await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner=OWNER, envelopes=10)], NOW)
    await queue.set_control(Control(campaign="spring"))
    assert (await message(queue, settings, 3)).reasons[0].limit is Limit.SCHEDULER


def test_the_two_largest_units_of_a_span() -> None:
    spans = [0, 0.4, 1, 61, 240, 3_600, 3_661, 90_000, 25_164]
    assert [span(seconds) for seconds in spans] == [
        "a moment",
        "a moment",
        "1 s",
        "1 min 1 s",
        "4 min",
        "1 h",
        "1 h 1 min",
        "1 d 1 h",
        "6 h 59 min",
    ]
