"""A pool with a source that warms up and one that is warm, on virtual time: who gets what, and what waits for whom."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from sender.backlog import held_of
from sender.model import Reply, Source, State, Transaction, Verdict
from sender.policy.plans import Plans
from sender.warming.assignments import Assignments
from sender.warming.wards import wards
from sender.warming.warmer import Warmer
from sender.warming.warmth import Warmth
from tests.rig import SPEC, Rig, clock, profiles, submitted

COLD = Source(name="cold", address="", ehlo="mta1.shop.example", pool="main")
WARM = Source(name="warm", address="", ehlo="mta2.shop.example", pool="main")
PEOPLE = 100
HOUR_S = 3600.0


def fields(number: int) -> Mapping[str, str]:
    """Every third is engaged, one in three has no score, the rest never opens anything."""
    return {"first": f"Ann {number}", "engagement": ("90", "", "10")[number % 3]}


class Fleet:
    """Both sources, the scheduler's part of warmup included."""

    def __init__(self, *, day: int, minute: int, least: int = 0) -> None:
        self.rig = Rig()
        self.known = profiles()
        plan = {"stages": {"day": [day], "hour": [day], "minute": [minute]}, "used": 0, "engagement_min": least}
        plans = Plans.parse({"slow": ("slow.toml", plan)})
        self.assignments = Assignments({"cold": {"default": "slow"}}, {}, self.known, plans)
        self.warmth = Warmth(self.rig.queue, self.assignments, (COLD, WARM), clock)
        self.rig.warming = self.warmth.warming

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        warmer = Warmer(self.rig.queue, wards(self.assignments, (COLD, WARM), self.known))
        await warmer.run_once(clock())
        engine = self.rig.engine(sources=(COLD, WARM), poll_s=10.0)  # hours pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.warmth.run)
            nursery.start_soon(engine.run)
            nursery.start_soon(self._warm, warmer)
            yield
            nursery.cancel_scope.cancel()

    async def _warm(self, warmer: Warmer) -> None:
        while True:
            await trio.sleep(10.0)
            await warmer.run_once(clock())

    def sent(self) -> Mapping[str, list[str]]:
        """The scores of those that each source has delivered to, in that order."""
        found: dict[str, list[str]] = defaultdict(list)
        for attempt in self.rig.attempts:
            if attempt.outcome.verdict is Verdict.DELIVERED:
                found[attempt.lane.source].append(attempt.held.envelope.fields["engagement"])
        return found


async def test_the_cold_source_gets_the_engaged_and_exactly_its_cap_and_the_rest_spills(autojump_clock: MockClock) -> None:
    fleet = Fleet(day=20, minute=20)
    await submitted(fleet.rig.queue, PEOPLE, fields=fields)
    async with fleet.running():
        assert await fleet.rig.finished() == {State.DELIVERED: PEOPLE}
    sent = fleet.sent()
    assert sent["cold"] == ["90"] * 20
    assert sorted(sent["warm"]) == sorted(["10"] * 33 + [""] * 33 + ["90"] * 14)
    assert trio.current_time() < 60


async def test_what_waits_is_the_cold_source_s_alone(autojump_clock: MockClock) -> None:
    fleet = Fleet(day=PEOPLE, minute=20)
    await submitted(fleet.rig.queue, PEOPLE, fields=fields, spec=SPEC | {"spill": "wait"})
    async with fleet.running():
        await trio.sleep(130)
        assert len(fleet.sent()["cold"]) == 60, "the third minute of its day has begun"
        assert await fleet.rig.finished() == {State.DELIVERED: PEOPLE}
    cold = fleet.sent()["cold"]
    minutes = [Counter(cold[start : start + 20]) for start in range(0, PEOPLE, 20)]
    assert minutes == [{"90": 20}, {"90": 14, "": 6}, {"": 20}, {"": 7, "10": 13}, {"10": 20}]
    assert set(fleet.sent()) == {"cold"}


async def test_another_campaign_does_not_wait_with_it(autojump_clock: MockClock) -> None:
    fleet = Fleet(day=20, minute=20)
    await submitted(fleet.rig.queue, PEOPLE, campaign="waits", fields=fields, spec=SPEC | {"spill": "wait"})
    await submitted(fleet.rig.queue, PEOPLE, campaign="goes", fields=fields)
    async with fleet.running():
        assert await fleet.rig.finished("goes") == {State.DELIVERED: PEOPLE}
        assert trio.current_time() < 60
        await trio.sleep(600)
    assert len(fleet.sent()["cold"]) == 20
    assert len(fleet.sent()["warm"]) <= PEOPLE
    await fleet.rig.conserved(PEOPLE, "waits")


async def test_six_hours_are_six_hours(autojump_clock: MockClock) -> None:
    fleet = Fleet(day=20, minute=20)
    await submitted(fleet.rig.queue, PEOPLE, fields=fields, spec=SPEC | {"spill": "6h"})
    async with fleet.running():
        await trio.sleep(6 * HOUR_S - 30)
        assert fleet.sent() == {"cold": ["90"] * 20}
        assert await fleet.rig.finished() == {State.DELIVERED: PEOPLE}
    assert 6 * HOUR_S <= trio.current_time() < 6 * HOUR_S + 60
    assert len(fleet.sent()["warm"]) == 80


async def test_whom_the_plan_does_not_take_the_warm_source_takes_at_once(autojump_clock: MockClock) -> None:
    fleet = Fleet(day=20, minute=20, least=75)
    await submitted(fleet.rig.queue, PEOPLE, fields=fields, spec=SPEC | {"spill": "wait"})
    async with fleet.running():
        await trio.sleep(60)
        assert {source: sorted(set(scores)) for source, scores in fleet.sent().items()} == {"cold": ["90"], "warm": ["", "10"]}
    assert {source: len(scores) for source, scores in fleet.sent().items()} == {"cold": 20, "warm": 66}


async def test_what_was_deferred_for_one_source_s_reputation_is_tried_from_that_one_alone(autojump_clock: MockClock) -> None:
    """Both sources are warm: the first is slowed down, and comes back for its own."""
    rig, until = Rig(), 700.0

    def answer(transaction: Transaction) -> Reply:
        if held_of(transaction).ticket.lane.source == "cold" and trio.current_time() < until:
            return Reply(code=450, enhanced="4.7.1", lines=("slow down",))
        return Reply(code=250, enhanced="2.0.0", lines=("Ok",))

    rig.office.answer = answer
    await submitted(rig.queue, 400)
    engine = rig.engine(sources=(COLD, WARM))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        nursery.start_soon(engine.run)
        assert await rig.finished() == {State.DELIVERED: 400}
        nursery.cancel_scope.cancel()
    tried: dict[int, set[str]] = defaultdict(set)
    for attempt in rig.attempts:
        tried[attempt.held.envelope.ordinal].add(attempt.lane.source)
    deferred = {attempt.held.envelope.ordinal for attempt in rig.attempts if attempt.outcome.verdict is Verdict.DEFERRED}
    assert deferred
    assert {frozenset(tried[ordinal]) for ordinal in deferred} == {frozenset({"cold"})}
    assert trio.current_time() > until
    await rig.conserved(400)
