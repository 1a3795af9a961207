"""The snapshot that live views draw, and the stream of changes: rates of what really goes, and few calls to the store."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.explaining.board import Board, Boards, Change, changes, difference
from sender.explaining.documents import board_document
from sender.explaining.lane_rows import LaneRow
from sender.model import LaneId, Reply, Route, Source
from sender.policy.stops import Stops
from sender.queue.finding import LaneReport
from sender.queue.lane_holds import LaneHold
from sender.reporting import Reporter
from sender.settings import Settings, load
from tests.asking import NOW, OWNER, configured, paused, report, store
from tests.office import OK, Office
from tests.rig import SOURCE, Rig, clock, submitted

S2 = Source(name="s2", address="", ehlo="mta.shop.example", pool="main")
FULL = Reply(code=452, enhanced="4.2.2", lines=("mailbox full",))


def at(receiver: str, said: LaneReport, **more: Any) -> LaneReport:
    """The same report of a lane at another receiver."""
    lane, route = LaneId(source=said.lane.source, receiver=receiver), Route(pool="main", receiver=receiver)
    return replace(said, lane=lane, route=route, **more)


def named(rows: Sequence[LaneRow]) -> list[str]:
    return [str(row.lane) for row in rows]


def fleet(tmp_path: Path, warmup: str = "") -> Settings:
    """Settings that know the sources of a rig."""
    table = '[[source]]\nname="{}"\nehlo="mta.shop.example"\npool="main"\n' + warmup
    (tmp_path / "sources.toml").write_text("\n".join(table.format(source.name) for source in (SOURCE, S2)))
    return load(tmp_path)


@asynccontextmanager
async def sending(rig: Rig) -> AsyncIterator[None]:
    """An engine that sends, and tells of its lanes."""
    engine = rig.engine(sources=(SOURCE, S2))
    reporter = Reporter(lanes=engine, stops=Stops(), queue=rig.queue, owner=lambda: "host/1-1", clock=clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.run)
        nursery.start_soon(reporter.run)
        nursery.start_soon(rig.keep_time)
        yield
        nursery.cancel_scope.cancel()


async def seen(boards: Boards, seconds: int) -> Board:
    """What a board shows that is looked at each second."""
    for _ in range(seconds):
        await boards.look()
        await trio.sleep(1.0)
    return await boards.look()


async def test_rates_are_those_of_what_goes(autojump_clock: MockClock, tmp_path: Path) -> None:
    rig = Rig(limits={"connections": 4, "messages_per_second": 20}, office=Office(rtt_s=0.1))
    answers = (FULL if number % 5 == 4 else OK for number in range(10**9))
    rig.office.answer = lambda transaction: next(answers)
    await submitted(rig.queue, 5_000)
    boards = Boards(rig.queue, fleet(tmp_path))
    async with sending(rig):
        first = await boards.look()
        assert (first.fleet.per_second, first.campaigns[0].rate) == (None, None), "of one look nothing can be said"
        await seen(boards, 15)
        before = rig.office.copies.total()
        board = await seen(boards, 10)
        really = (rig.office.copies.total() - before) / 10
        depth = await rig.queue.depth(clock())
    assert board.fleet.per_second == pytest.approx(really, rel=0.1)
    assert board.fleet.per_second == pytest.approx(sum(row.rate or 0.0 for row in board.lanes), rel=0.05)
    assert board.fleet.refused_per_second == pytest.approx(really / 4, rel=0.2)
    assert named(board.lanes) == ["s1/big", "s2/big"]
    (campaign,) = board.campaigns
    assert campaign.rate == pytest.approx(really, rel=0.1)
    assert campaign.left_s == pytest.approx(campaign.status.queued / (campaign.rate or 0.0))
    assert (board.fleet.ready, board.fleet.leased, board.fleet.later) == (sum(depth.ready.values()), depth.leased, depth.later)
    assert [row.report.refusal for row in board.lanes if row.report] == ["452 4.2.2 mailbox full"] * 2
    assert (board.fleet.processes, board.fleet.lanes, board.fleet.held_up) == (1, 2, 0)
    assert board.fleet.sessions == sum(row.report.sessions for row in board.lanes if row.report) > 0


async def test_lanes_that_come_and_go_are_counted_from_their_beginning(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Each receiver of a long tail gets one message: its lane has sent it before anybody looks."""
    rig = Rig(office=Office(rtt_s=0.1))
    boards = Boards(rig.queue, fleet(tmp_path))
    async with sending(rig):
        await boards.look()
        for second in range(9):
            for number in range(3):
                name = f"~{second}-{number}.example"
                route = Route(pool="main", receiver=name)
                await submitted(rig.queue, 1, campaign=f"c{second}-{number}", domains=[name[1:]], route=route)
            await trio.sleep(1.0)
            board = await boards.look()
    assert board.fleet.per_second == pytest.approx(3.0, rel=0.35), "the last of them are still on their way"
    assert named(board.lanes) == ["s1/other", "s2/other"]
    assert sum(row.lanes for row in board.lanes) > 20


async def test_the_long_tail_is_one_row_a_source_unless_it_is_asked_for(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    tail = [at(f"~{number:04}.example", report("s1", "nothing to send"), taken=number) for number in range(3_000)]
    busy = at("~busy.example", report("s1", "receiver"), refusal="450 later", refused_at=NOW - 9)
    slow = at("~slow.example", paused("s1", NOW + 60))
    queue = await store(*tail, busy, slow, report("s2"), route=Route(pool="main", receiver="~busy.example"), recipients=70)
    board = await Boards(queue, settings).look()
    assert named(board.lanes) == ["s1/other", "s2/other", "s2/google"], "s2 might have a lane there"
    row = board.lanes[0]
    assert (row.lanes, row.state, row.waits) == (3_002, "sending", 70)
    assert row.report is not None
    assert (row.report.sessions, row.report.taken, row.report.refusal) == (3_002 * 5, 2_999 * 1_500, "450 later")
    assert row.report.why == "3,002 receivers: 3,000 idle, 1 paused, 1 sending"
    assert (board.fleet.lanes, board.fleet.held_up) == (3_003, 1)
    every = await Boards(queue, settings, tail=True).look()
    assert (len(every.lanes), every.more_lanes) == (1_000, 3_004 - 1_000)
    assert named(every.lanes)[:2] == ["s1/~slow.example", "s1/~busy.example"], "held up first, then those with work"


async def test_a_hold_on_all_of_the_tail_holds_its_row(tmp_path: Path) -> None:
    queue = await store(at("~a.example", report("s1")), at("~b.example", report("s1")))
    settings = configured(tmp_path)
    await queue.hold_lanes([LaneHold(source="s1", receiver="~a.example")])
    (row,) = [row for row in (await Boards(queue, settings).look()).lanes if row.lane.receiver == "other"]
    assert (row.state, row.report.why if row.report else "") == ("at window", "2 receivers: 1 held, 1 at window")
    await queue.hold_lanes([LaneHold(source="s1", receiver="other")])
    board = await Boards(queue, settings).look()
    assert [(str(row.lane), row.state) for row in board.lanes if row.lane.source == "s1"] == [
        ("s1/other", "held"),
        ("s1/google", "no lane yet"),
    ]


WARMUP = 'warmup = "mine"\n'
PLAN = "[stages]\nday = [100, 200, 400]\nhour = [80, 160, 320]\nminute = [80, 160, 320]\n"


async def test_lanes_that_warm_up_say_where_they_stand(autojump_clock: MockClock, tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup/mine.toml").write_text(PLAN)
    queue = await store(report("s1"), at("~a.example", report("s2")))
    (tmp_path / "sources.toml").write_text(
        "\n".join(f'[[source]]\nname="{name}"\nehlo="m.shop.example"\nhost="alpha"\n{WARMUP}' for name in ("s1", "s2"))
    )
    board = await Boards(queue, load(tmp_path)).look()
    standings = {str(row.lane): row.standing for row in board.lanes}
    assert set(standings) == {"s1/google", "s2/google", "s2/other"}
    for standing in standings.values():
        assert standing is not None
        assert (standing.progress.stage, len(standing.plan.stages), standing.cap.per_day) == (0, 3, 100)
    warmup = board_document(board)["lanes"][0]["warmup"]
    assert warmup == {
        "plan": "mine",
        "stage": 1,
        "stages": 3,
        "warm": False,
        "used": 0,
        "cap": 100,
        "held": False,
        "stopped": False,
    }


def counted(queue: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each question is asked from now on."""
    asked: Counter[str] = Counter()

    def counting(name: str, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **more: Any) -> Any:
            asked[name] += 1
            return await real(*args, **more)

        return call

    for name in dir(queue):
        if not name.startswith("_") and callable(getattr(queue, name)):
            monkeypatch.setattr(queue, name, counting(name, getattr(queue, name)))
    return asked


async def test_a_look_is_few_calls_however_large_the_fleet_is(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, rig = fleet(tmp_path, WARMUP.replace("mine", "steady")), Rig()
    for number in range(30):
        await submitted(rig.queue, 3, campaign=f"c{number}", route=Route(pool="main", receiver=f"~r{number}.example"))
    boards = Boards(rig.queue, settings)
    asked = counted(rig.queue, monkeypatch)
    await boards.look()
    assert asked.pop("spec") == 30, "each campaign's content, once"
    often = dict.fromkeys(("time", "lanes", "beats", "lane_holds", "ready", "depth", "controls", "status"), 1)
    assert asked == {**often, "campaigns": 1, "progress": 1, "use": 1}
    for _ in range(4):
        await trio.sleep(1.0)
        asked.clear()
        await boards.look()
        assert asked == often


async def test_a_campaign_that_is_over_is_not_asked_for_again(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, names = Rig(), list[Sequence[str]]()
    for number in range(170):
        await submitted(rig.queue, 0, campaign=f"over{number}")
    await submitted(rig.queue, 9, campaign="going")
    boards, real = Boards(rig.queue, fleet(tmp_path)), rig.queue.status

    async def status(campaigns: Sequence[str]) -> Any:
        names.append(campaigns)
        return await real(campaigns)

    monkeypatch.setattr(rig.queue, "status", status)
    for _ in range(3):
        board = await boards.look()
        await trio.sleep(1.0)
    assert [len(some) for some in names] == [100, 72, 1]
    assert names[-1] == ["going"]
    assert [row.status.campaign for row in board.campaigns[:2]] == ["going", "over169"]
    assert (len(board.campaigns), board.more_campaigns) == (21, 150)


async def taken(stream: Any, count: int) -> list[Change]:
    found = []
    async for change in stream:
        found.append(change)
        if len(found) == count:
            break
    return found


async def test_the_stream_tells_what_is_other_and_no_more(autojump_clock: MockClock, tmp_path: Path) -> None:
    queue = await store(report("s1"), report("s2"))
    async with aclosing(changes(Boards(queue, configured(tmp_path)), 1.0)) as stream:
        (first,) = await taken(stream, 1)
        assert named(first.lanes) == ["s1/google", "s2/google"]
        assert [row.status.campaign for row in first.campaigns] == ["spring"]
        await queue.report_lanes(OWNER, [replace(report(name), at=NOW + 1) for name in ("s1", "s2")])
        assert len((await taken(stream, 1))[0].lanes) == 2, "now there are rates"
        await queue.report_lanes(OWNER, [replace(report("s1"), at=NOW + 2), paused("s2", NOW + 9)])
        (second,) = await taken(stream, 1)
        assert named(second.lanes) == ["s2/google"], "s1 has said the same again"
        assert (second.gone, second.forgotten) == ([], [])
        await queue.report_lanes(OWNER, [at("yahoo", report("s1"))])
        (third,) = await taken(stream, 1)
        assert named(third.lanes) == ["s1/google", "s2/google", "s1/yahoo"], "work, and no lane yet"
    after = replace(third.board, lanes=third.board.lanes[1:], campaigns=[])
    last = difference(third.board, after)
    assert (len(last.gone), last.forgotten, last.lanes) == (1, ["spring"], [])


async def test_a_store_that_is_away_is_told_and_what_was_seen_stays(autojump_clock: MockClock, tmp_path: Path) -> None:
    rig = Rig()
    await submitted(rig.queue, 9)
    async with aclosing(changes(Boards(rig.queue, fleet(tmp_path)), 1.0)) as stream:
        (first,) = await taken(stream, 1)
        rig.queue.away = True
        several = await taken(stream, 2)
        assert [change.trouble for change in several] == ["the store is away"] * 2
        assert [change.board for change in several] == [first.board] * 2
        rig.queue.away = False
        (back,) = await taken(stream, 1)
        assert (back.trouble, back.board.now > first.board.now) == ("", True)
    rig.queue.away = True
    with pytest.raises(BackendError):
        await Boards(rig.queue, fleet(tmp_path)).look()


async def test_the_document_has_these_keys(tmp_path: Path) -> None:
    queue = await store(replace(report("s1"), refusal="550 5.1.1 nobody", refused_at=NOW - 3, refused=1))
    await queue.hold_lanes([LaneHold(receiver="yahoo")])
    document = board_document(await Boards(queue, configured(tmp_path)).look())
    assert list(document) == ["at", "fleet", "lanes", "more_lanes", "campaigns", "more_campaigns", "holds"]
    assert document["fleet"] == {
        "per_second": None,
        "refused_per_second": None,
        "processes": 1,
        "lanes": 1,
        "held_up": 0,
        "sessions": 5,
        "ready": 1000,
        "leased": 0,
        "later": 0,
        "oldest_ready_s": 60.0,
        "overdue_s": 0.0,
        "in_doubt": 0,
    }
    lane = document["lanes"][0]
    assert (lane["lane"], lane["per_second"], lane["lanes"], lane["warmup"]) == ("s1/google", None, 1, None)
    assert lane["report"]["last_refusal"] == {"at": NOW - 3, "code": 550, "text": "550 5.1.1 nobody"}
    campaign = document["campaigns"][0]
    assert (campaign["campaign"], campaign["delivered"], campaign["per_second"], campaign["left_s"]) == (
        "spring",
        0,
        None,
        None,
    )
