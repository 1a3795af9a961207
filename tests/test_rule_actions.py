"""What rules do to lanes becomes events: each beginning, each takeover and each long extension, under an id of its own."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.lane import Lane, LaneServices
from sender.model import Action, Category, LaneId, Outcome, Route, Scope, Verdict
from sender.policy.throttle import Throttle
from sender.queue.memory import MemoryQueue
from sender.rule_actions import RuleActions
from tests.office import OK, Office
from tests.rig import EPOCH, Rig, clock, submitted
from tests.test_lane import running
from tests.test_reporting import FEWER, SLOW_DOWN, TOO_MANY, One


class Shaky(MemoryQueue):
    """It takes what it is told, and now and then nobody hears so."""

    fails = False

    async def tell(self, subject: str, events: Sequence[bytes]) -> None:
        await super().tell(subject, events)
        if self.fails:
            raise BackendError("the store is away")


def actions(rig: Rig, services: LaneServices, queue: MemoryQueue) -> RuleActions:
    """Of a lane that does not run: whatever befalls it comes from the test."""
    lane = rig.lane(services)
    return RuleActions(lanes=One(lane), stops=services.crew.stops, queue=queue, owner=lambda: "host/1-1", clock=clock)


async def told(queue: MemoryQueue) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (await queue.events("", 10_000))[1]]
    return [event for event in events if event["type"] == "action"]


def outcome(rule: str, action: Action, pause_s: float, **more: Any) -> Outcome:
    of = {"verdict": Verdict.DEFERRED, "scope": Scope.LANE, "category": Category.RATE, **more}
    return Outcome(rule=rule, actions=(action,), pause_s=pause_s, **of)


async def test_a_lane_that_replies_have_paused_slowed_and_narrowed(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"connections": 8}, office=Office(rtt_s=0.1))
    answers = iter([OK, FEWER, OK, OK, TOO_MANY, OK, OK, OK, SLOW_DOWN])
    rig.office.answer = lambda transaction: next(answers, OK)
    await submitted(rig.queue, 500)
    services = rig.lanes()
    lane = rig.lane(services)
    teller = RuleActions(lanes=One(lane), stops=services.crew.stops, queue=rig.queue, owner=services.owner, clock=clock)
    async with running(rig, services, lane), trio.open_nursery() as nursery:
        nursery.start_soon(teller.run)
        await trio.sleep(120)
        nursery.cancel_scope.cancel()
    found = {event["what"]: event for event in await told(rig.queue)}
    assert set(found) == {"pause", "halve", "one_connection"}
    paused = found["pause"]
    assert 59 <= paused.pop("until") - paused.pop("at") <= 66
    assert paused.pop("id").startswith("action:host/1-1:s1/big:pause:")
    assert paused == {
        "v": 1,
        "type": "action",
        "subject": "s1/big",
        "what": "pause",
        "rule": "_default/pause",
        "category": "rate",
        "why": "450 slow down",
    }


async def test_it_is_told_as_it_begins_as_another_rule_takes_over_and_as_its_end_moves_far(autojump_clock: MockClock) -> None:
    rig, queue = Rig(), MemoryQueue()
    services = rig.lanes()
    teller = actions(rig, services, queue)
    (lane,) = teller.lanes.running()

    async def after(rule: str, pause_s: float) -> int:
        before = len(await told(queue))
        lane.throttle.after(outcome(rule, Action.HALVE, pause_s), trio.current_time(), "slow down")
        await teller.tell()
        return len(await told(queue)) - before

    assert await after("one", 60) == 1
    assert [await after("one", 60 + moved) for moved in (0, 30, 59)] == [0, 0, 0]
    assert await after("one", 130) == 1
    assert await after("two", 130) == 1
    await trio.sleep(80_000)
    assert await after("two", 60) == 1
    events = await told(queue)
    assert len({event["id"] for event in events}) == 4
    assert [round(event["until"] - event["at"]) for event in events] == [3_660, 3_730, 3_730, 3_660]


class Resting:
    """A lane that has ended in a pause."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def running(self) -> Iterable[Lane]:
        return ()

    def resting(self, now: float) -> Iterable[tuple[LaneId, Route, Throttle]]:
        return [(self._lane.id, self._lane.route, self._lane.throttle)]


async def test_a_lane_that_has_ended_in_a_pause_is_told_of(autojump_clock: MockClock) -> None:
    rig, queue = Rig(), MemoryQueue()
    teller = actions(rig, rig.lanes(), queue)
    (lane,) = teller.lanes.running()
    teller.lanes = Resting(lane)
    lane.throttle.after(outcome("one", Action.PAUSE, 60), 0.0, "slow down")
    await teller.tell()
    assert [(event["subject"], event["what"]) for event in await told(queue)] == [("s1/big", "pause")]


async def test_a_pause_soon_after_another_is_told_too(autojump_clock: MockClock) -> None:
    rig, queue = Rig(), MemoryQueue()
    teller = actions(rig, rig.lanes(), queue)
    (lane,) = teller.lanes.running()
    for _ in range(2):
        lane.throttle.after(outcome("one", Action.PAUSE, 5), trio.current_time(), "slow down")
        await teller.tell()
        await trio.sleep(6)
    assert len(await told(queue)) == 2


async def test_a_domain_and_a_campaign_that_are_stopped_at_a_receiver(autojump_clock: MockClock) -> None:
    rig, queue = Rig(), MemoryQueue()
    services = rig.lanes()
    teller = actions(rig, services, queue)
    for action in (Action.STOP_DOMAIN, Action.PAUSE_CAMPAIGN):
        services.crew.stops.after(outcome("spf", action, 600), "big", "shop.example", "spring", 0.0, "550 " + "x" * 9_000)
    await teller.tell()
    domain, campaign = await told(queue)
    assert (domain["subject"], domain["what"], domain["domain"]) == ("*/big", "stop_domain", "shop.example")
    assert "campaign" not in domain
    assert (campaign["what"], campaign["campaign"], campaign["until"]) == ("pause_campaign", "spring", EPOCH + 600)
    assert len(domain["why"]) == 500


async def test_what_the_store_may_not_have_heard_is_told_again_under_the_same_id(autojump_clock: MockClock) -> None:
    rig, queue = Rig(), Shaky()
    services = rig.lanes()
    teller = actions(rig, services, queue)
    (lane,) = teller.lanes.running()
    lane.throttle.after(outcome("one", Action.PAUSE, 60), 0.0, "slow down")
    troubles: list[str] = []
    teller.on_trouble = troubles.append
    queue.fails = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(teller.run)
        await trio.sleep(1.5)
        queue.fails = False
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert troubles == ["the store is away"] * 2
    events = await told(queue)
    assert (len(events), len({event["id"] for event in events})) == (3, 1)
    assert repr(teller) == "<RuleActions 1 in force>"


async def test_many_lanes_paused_at_once_are_told_in_turn(autojump_clock: MockClock) -> None:
    rig, queue = Rig(), MemoryQueue()
    services = rig.lanes()
    teller = actions(rig, services, queue)
    for number in range(500):
        services.crew.stops.after(outcome("spf", Action.STOP_DOMAIN, 600), "big", f"d{number}.example", "a", 0.0, "550 no")
    counts = []
    for _ in range(4):
        await teller.tell()
        counts.append(len(await told(queue)))
    assert counts == [200, 400, 500, 500]
