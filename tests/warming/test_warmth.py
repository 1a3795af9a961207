"""How lanes stand to the warmup of their pool: whose caps hold them, and whom they write to first."""

from collections.abc import Mapping
from dataclasses import replace as replace_lease
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from publicsuffixlist import PublicSuffixList
from trio.testing import MockClock

from sender.backlog import Held
from sender.errors import BackendError
from sender.leasing import WARM, Warming
from sender.model import Choice, LaneId
from sender.policy.receivers import Profiles
from sender.policy.warmup import begin
from sender.queue.memory import MemoryQueue
from sender.queue.warmups import Change, Kept
from sender.settings import Settings, load
from sender.warming.assignments import Assignments
from sender.warming.warmth import Warmth
from tests.holding import held
from tests.rig import EPOCH, clock

SOURCES = """
[[source]]
name = "cold"
ehlo = "a.example"
warmup = { default = "mine", orange = "none" }
[[source]]
name = "colder"
ehlo = "b.example"
warmup = { google = "mine" }
[[source]]
name = "warm"
ehlo = "c.example"
[[source]]
name = "elsewhere"
ehlo = "d.example"
pool = "second"
"""
PLAN = "engagement_min = 50\n[stages]\nday = [100, 200]\n[receiver.google]\nengagement_min = 75\n"
ENGAGED = Warming(capped=True, choice=Choice.ENGAGED, engagement_min=75)


class Away(MemoryQueue):
    """Answers nothing for a while."""

    away = False

    async def progress(self, names: object = None) -> Mapping[str, Kept]:
        if self.away:
            raise BackendError("the store is away")
        return await super().progress()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("conf")
    (home / "sources.toml").write_text(SOURCES)
    (home / "warmup").mkdir()
    (home / "warmup" / "mine.toml").write_text(PLAN)
    return load(home)


@pytest.fixture(scope="module")
def assignments(settings: Settings) -> Assignments:
    return Assignments.of(settings, Profiles.parse(settings.receivers, PublicSuffixList()))


@pytest.fixture
def queue() -> Away:
    return Away()


@pytest.fixture
def warmth(queue: Away, assignments: Assignments, settings: Settings) -> Warmth:
    return Warmth(queue, assignments, settings.sources, clock)


def google(source: str) -> LaneId:
    return LaneId(source=source, receiver="google")


async def write(queue: Away, assignments: Assignments, source: str, *, version: int = 0, **values: object) -> None:
    plan = assignments.plan(source, "google")
    assert plan is not None
    progress = replace(begin(plan, EPOCH).progress, **values)
    assert await queue.change_progress([Change(name=f"{source}/google", version=version, body=progress.encode())])


def test_a_lane_that_was_never_used_is_cold(warmth: Warmth) -> None:
    assert warmth.warming(google("cold")) == ENGAGED
    assert warmth.warming(LaneId(source="cold", receiver="~example.org")) == Warming(
        account="cold/other", choice=Choice.ENGAGED, engagement_min=50
    )


def test_warm_lanes_beside_cold_ones_take_the_rest(warmth: Warmth) -> None:
    assert warmth.warming(google("warm")) == Warming(choice=Choice.REST, engagement_min=75)
    assert warmth.warming(LaneId(source="colder", receiver="sfr")) == Warming(choice=Choice.REST, engagement_min=50)
    assert warmth.warming(google("elsewhere")) == WARM  # nobody warms up in its pool
    assert warmth.warming(LaneId(source="cold", receiver="orange")) == WARM


async def test_a_lane_that_has_passed_its_plan_is_warm_and_its_cap_still_holds_it(
    queue: Away, warmth: Warmth, assignments: Assignments, autojump_clock: MockClock
) -> None:
    await write(queue, assignments, "cold", warm=True, stage=2)
    await warmth.look()
    assert warmth.warming(google("cold")) == Warming(capped=True, choice=Choice.REST, engagement_min=75)
    await write(queue, assignments, "colder", warm=True, stage=2)
    await warmth.look()
    assert warmth.warming(google("cold")) == Warming(capped=True)
    assert warmth.warming(google("warm")) == WARM


async def test_a_lane_that_is_stopped_is_waited_for_by_nobody(
    queue: Away, warmth: Warmth, assignments: Assignments, autojump_clock: MockClock
) -> None:
    for source in ("cold", "colder"):
        await write(queue, assignments, source, stopped=9_999_999)
    await warmth.look()
    assert warmth.warming(google("warm")) == WARM
    assert warmth.warming(google("cold")) == ENGAGED


async def test_nor_is_one_that_an_operator_holds(queue: Away, assignments: Assignments, settings: Settings) -> None:
    held = {google("cold")}
    warmth = Warmth(queue, assignments, settings.sources, clock, held=held.__contains__)
    assert warmth.warming(google("warm")).choice is Choice.REST, "there is another one"
    held.add(google("colder"))
    warmth = Warmth(queue, assignments, settings.sources, clock, held=held.__contains__)
    assert warmth.warming(google("warm")) == WARM


async def test_what_a_stopped_lane_holds_goes_back_at_the_next_look(
    queue: Away, warmth: Warmth, assignments: Assignments, autojump_clock: MockClock
) -> None:
    released: list[float] = []
    (mine,) = held(1)
    mine = Held(replace_lease(mine.ticket, lane=google("cold")), 0, mine.envelope, mine.campaign)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(warmth.run, lambda: released.append(trio.current_time()))
        await trio.sleep(7)
        assert warmth.withdrawn(mine) is None
        await write(queue, assignments, "cold", stopped=9_999_999)
        await trio.sleep(30)
        assert released == [10.0, 15.0]
        reason = warmth.withdrawn(mine)
        assert reason is not None
        assert (reason.state, reason.why) == (None, "its lane is stopped by its warmup")
        nursery.cancel_scope.cancel()


async def test_it_looks_every_few_seconds_and_keeps_what_it_knew_while_the_store_is_away(
    queue: Away, assignments: Assignments, settings: Settings, autojump_clock: MockClock
) -> None:
    troubles: list[str] = []
    warmth = Warmth(queue, assignments, settings.sources, clock, on_trouble=troubles.append)
    await write(queue, assignments, "cold", warm=True, stage=2)
    await queue.change_progress([Change(name="colder/google", version=0, body=b"{")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(warmth.run)
        await trio.sleep(1)
        queue.away = True
        await trio.sleep(12)
        nursery.cancel_scope.cancel()
    assert warmth.warming(google("cold")).choice is Choice.REST
    assert troubles[0].startswith("the progress of colder/google can't be read")
    assert troubles[1:] == ["the store is away"] * 2
