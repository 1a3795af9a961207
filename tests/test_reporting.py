"""What lanes say of themselves: the one thing that binds each of them, as lanes that really run show it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.lane import Lane, LaneServices
from sender.leasing import Warming
from sender.metrics import LaneFigures
from sender.model import Cap, LaneId, Reply, Route
from sender.policy.stops import Stops
from sender.policy.throttle import Throttle
from sender.queue.finding import LaneReport
from sender.queue.journaling import NoJournal
from sender.queue.memory import MemoryQueue
from sender.queue.warmups import Account
from sender.reporting import Reporter
from tests.office import OK, Office
from tests.rig import ROUTE, Rig, clock, submitted
from tests.test_lane import running

LANE = LaneId(source="s1", receiver="big")
SLOW_DOWN = Reply(code=450, lines=("slow down",))
TOO_MANY = Reply(code=421, lines=("too many connections",))
NOBODY = Reply(code=550, enhanced="5.1.1", lines=("nobody " * 40,))
FEWER = Reply(code=450, lines=("fewer please",))


@dataclass(frozen=True, slots=True)
class One:
    """A lane, as an engine would show it."""

    lane: Lane

    def running(self) -> list[Lane]:
        return [self.lane]

    def resting(self, now: float) -> Iterator[tuple[LaneId, Route, Throttle]]:
        return iter(())


def said(rig: Rig, services: LaneServices, lane: Lane) -> LaneReport:
    """What this lane says now."""
    reporter = Reporter(lanes=One(lane), stops=services.crew.stops, queue=rig.queue, owner=services.owner, clock=clock)
    (report,) = reporter.reports()
    return report


async def later(rig: Rig, seconds: float, recipients: int = 2_000) -> LaneReport:
    """What a lane with so much to do says after a while."""
    await submitted(rig.queue, recipients)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await trio.sleep(seconds)
        return said(rig, services, lane)


async def test_a_window_that_is_full_and_one_that_may_grow(autojump_clock: MockClock) -> None:
    full = await later(Rig(limits={"connections": 2}, office=Office(rtt_s=1.0)), 60)
    assert (full.limit, full.why, full.sessions, full.connections) == ("window", "2 of 2", 2, 2)
    growing = await later(Rig(limits={"connections": 9}, office=Office(rtt_s=5.0)), 12)
    assert (growing.limit, growing.why) == ("window", "2 of 2; up to 9 as messages are taken")


async def test_a_window_that_a_reply_has_closed(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"connections": 8}, office=Office(rtt_s=1.0))
    refused = iter([TOO_MANY])
    rig.office.answer = lambda transaction: next(refused, OK)
    report = await later(rig, 60)
    assert (report.limit, report.rule) == ("window", "_default/one")
    assert report.why == "1 of 1, and not 8, since: 421 too many connections"
    assert report.until > clock()


async def test_a_pace_and_what_has_slowed_it(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 5}, office=Office(rtt_s=0.01))
    even = await later(rig, 5)
    assert (even.limit, even.why, even.rule) == ("pace", "5 messages a second, the receiver's limit", "")
    assert even.messages_per_second == 5
    rig = Rig(limits={"messages_per_second": 5}, office=Office(rtt_s=0.01))
    refused = iter([FEWER])
    rig.office.answer = lambda transaction: next(refused, OK)
    slowed = await later(rig, 5)
    assert (slowed.limit, slowed.rule) == ("pace", "_default/halve")
    assert slowed.why == "2.5 messages a second, 50% of the receiver's limit and rising; slowed by: 450 fewer please"
    assert slowed.until > clock()


async def test_a_pause_with_the_receivers_words(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.office.answer = lambda transaction: SLOW_DOWN
    report = await later(rig, 5)
    assert (report.limit, report.rule, report.why) == ("pause", "_default/pause", "rate: 450 slow down")
    assert 50 < report.until - clock() < 70
    assert (report.connections, report.holding) == (0, 0)


async def test_what_was_taken_and_what_was_refused_last(autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(rtt_s=0.1))
    answers = iter([OK, OK, NOBODY])
    rig.office.answer = lambda transaction: next(answers, OK)
    report = await later(rig, 5, recipients=9)
    assert (report.taken, report.refused) == (8, 1)
    assert report.refusal == f"550 5.1.1 {'nobody ' * 40}"[:200], "cut: a reply may have 64 kB, and is told again and again"
    assert 0 < clock() - report.refused_at < 5


async def test_what_was_refused_is_told_while_the_lane_rests_too(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.office.answer = lambda transaction: SLOW_DOWN
    report = await later(rig, 5)
    assert (report.taken, report.refusal) == (0, "450 slow down")
    assert report.refused >= 1


async def test_what_we_lack_ourselves_is_no_refusal(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.pen.fails = True
    report = await later(rig, 3, recipients=5)
    assert (report.refused, report.refusal, report.refused_at) == (0, "", 0.0)


async def test_an_endless_reason_is_cut(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.office.answer = lambda transaction: Reply(code=450, lines=("slow down " + "x" * 60_000,))
    assert len((await later(rig, 5)).why) == 500


async def test_nothing_to_send(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"idle_s": "20s"})
    report = await later(rig, 3, recipients=2)
    assert (report.limit, report.holding) == ("nothing to send", 0)


async def test_a_cap_that_is_used_up(autojump_clock: MockClock) -> None:
    rig = Rig(warming=lambda lane: Warming(capped=True))
    account, now = Account("s1/big", ROUTE), clock()
    cap = Cap(day=1, starts=now, ends=now + 86_400, per_day=900, per_hour=50, per_minute=50)
    await rig.queue.set_caps({account: cap}, now)
    report = await later(rig, 7)
    assert (report.limit, report.why, report.holding) == ("cap", "s1/big: 50 an hour, used up", 0)
    assert abs(report.until - (now + 3600)) < 0.01


async def test_waiting_for_the_receiver(autojump_clock: MockClock) -> None:
    report = await later(Rig(limits={"connections": 9}, office=Office(rtt_s=50.0)), 60, recipients=3)
    assert (report.limit, report.sessions, report.holding) == ("receiver", 1, 3)


async def test_no_place_in_the_process(autojump_clock: MockClock) -> None:
    report = await later(Rig(limits={"connections": 9}, office=Office(rtt_s=5.0), sessions=1), 7, recipients=6)
    assert (report.limit, report.why) == ("process", "all 1 sessions of the process are in use")


async def test_an_owner_that_may_not_send(autojump_clock: MockClock) -> None:
    rig = Rig()
    membership = rig.membership()
    services = rig.lanes(membership)
    assert said(rig, services, rig.lane(services)).limit == "fenced"


class Unwritable(NoJournal):
    """A journal on a full disk."""

    healthy = False


async def test_a_journal_that_takes_nothing(autojump_clock: MockClock) -> None:
    rig = Rig(journal=Unwritable())
    services = rig.lanes()
    assert said(rig, services, rig.lane(services)).limit == "journal"


async def test_a_domain_that_was_stopped(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.pen.fails = True
    report = await later(rig, 3, recipients=5)
    assert (report.limit, report.rule) == ("stop", "no-signature")
    assert "no signer answers" in report.why
    assert report.until > clock()


async def test_an_engine_publishes_its_lanes_and_those_that_have_ended_in_a_pause(autojump_clock: MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 30)
    rig.office.answer = lambda transaction: SLOW_DOWN
    engine = rig.engine()
    reporter = Reporter(lanes=engine, stops=Stops(), queue=rig.queue, owner=lambda: "host/1-1", clock=clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.run)
        nursery.start_soon(reporter.run)
        await trio.sleep(5)
        lanes = await rig.queue.lanes()
        nursery.cancel_scope.cancel()
    assert {lane: report.limit for lane, report in lanes.items()} == {LANE: "pause"}
    assert (lanes[LANE].route, lanes[LANE].owner, clock() - lanes[LANE].at <= 1.5) == (ROUTE, "host/1-1", True)
    assert list(engine.running()) == []
    (ended,) = reporter.reports()
    assert ended.refusal == "450 slow down"
    assert (ended.lane, ended.limit, ended.rule, ended.sessions) == (LANE, "pause", "_default/pause", 0)
    assert abs(ended.until - lanes[LANE].until) < 0.01
    await trio.sleep(3_600)
    assert list(reporter.reports()) == []


async def test_metrics_are_told_of_lanes_while_they_run_and_while_they_wait_out_a_pause(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 5, "connections": 3}, office=Office(rtt_s=1.0))
    await submitted(rig.queue, 30)
    rig.office.answer = lambda transaction: SLOW_DOWN if trio.current_time() > 3 else OK
    told: list[Mapping[tuple[str, str], LaneFigures]] = []
    engine = rig.engine()
    reporter = Reporter(
        lanes=engine, stops=Stops(), queue=Away(), owner=str, clock=clock, label=lambda receiver: "other", show=told.append
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.run)
        nursery.start_soon(reporter.run)
        await trio.sleep(3_600)
        nursery.cancel_scope.cancel()
    lane = ("s1", "other")
    assert LaneFigures(running=1, connections_allowed=2, messages_per_second=5) in [each.get(lane) for each in told]
    paused = next(place for place, each in enumerate(told) if lane in each and each[lane].paused)
    assert told[paused][lane] in (LaneFigures(running=1, paused=1), LaneFigures(paused=1))
    assert 3_400 < len(told) < 3_610  # the store that was away held up nothing
    assert told[-1] == {}


async def test_a_store_that_is_away_is_told_later(autojump_clock: MockClock) -> None:
    rig = Rig()
    troubles: list[str] = []
    reporter = Reporter(
        lanes=rig.engine(), stops=Stops(), queue=Away(), owner=lambda: "host/1", clock=clock, on_trouble=troubles.append
    )
    with trio.move_on_after(2.5):
        await reporter.run()
    assert troubles == ["the store is away"] * 3


class Away(MemoryQueue):
    async def report_lanes(self, owner: str, reports: Sequence[LaneReport]) -> None:
        await trio.lowlevel.checkpoint()
        raise BackendError("the store is away")
