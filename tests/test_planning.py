"""What a forecast is made from: settings, plans and profiles; and, where there is a store, where lanes stand and what waits."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sender import planning
from sender.assembly import retry_curve
from sender.content.spec import CampaignSpec, dump, parse
from sender.model import Cap, LaneId, Mark, State
from sender.planning import Assumptions, Known, Planner, known_of
from sender.policy.forecast import Bind, Expectation, Others
from sender.policy.gates import Tally
from sender.policy.progress import Progress
from sender.policy.receivers import Profiles
from sender.queue.base import LeaseRequest, RowBatch
from sender.queue.control import Control
from sender.queue.lane_holds import LaneHold
from sender.queue.memory import MemoryQueue
from sender.queue.warmups import Account, Change
from sender.settings import Settings, load
from tests.queue.feeding import ROUTE, chunk_of, envelopes, settlement

NOW = 1_799_625_600.0  # a Monday, 00:00 UTC
TODAY = date(2027, 1, 11).toordinal()
CONFIG = '[[identity]]\ndomain = "shop.example"\nsigned = false\nwarmup = "{identity}"\n'
SOURCES = """
[[source]]
name = "old"
ehlo = "old.shop.example"

[[source]]
name = "new"
ehlo = "new.shop.example"
warmup = { default = "steady", apple = "none" }

[[source]]
name = "elsewhere"
ehlo = "elsewhere.shop.example"
pool = "another"
"""
SPEC = {"from": "news@shop.example", "subject": "Hello", "text": "Hello"}
LIST = {"google": (10, 20, 30, 40), "apple": (0, 0, 5, 0), "~a.example": (0, 0, 6, 0), "~b.example": (0, 0, 2, 0)}


def configured(tmp_path: Path, identity: str = "none") -> Settings:
    (tmp_path / "penstock.toml").write_text(CONFIG.format(identity=identity))
    (tmp_path / "sources.toml").write_text(SOURCES)
    return load(tmp_path)


def planner(settings: Settings, known: Known | None = None, assumptions: Assumptions | None = None, **spec: Any) -> Planner:
    return Planner(
        settings,
        spec_of(**spec),
        profiles(),
        retry_curve(settings),
        LIST,
        known or Known(),
        assumptions or Assumptions(),
        NOW,
    )


@cache
def profiles() -> Profiles:
    """The shipped ones."""
    return Profiles.parse(load().receivers)


def spec_of(**more: Any) -> CampaignSpec:
    return parse({**SPEC, **more}, file="spring")


def test_each_source_of_the_pool_is_a_lane_with_its_plan_s_account_or_warm(tmp_path: Path) -> None:
    scenario = planner(configured(tmp_path)).scenario()
    lanes = {route.receiver: [(lane.source, lane.account) for lane in route.lanes] for route in scenario.routes}
    assert lanes == {
        "apple": [("old", ""), ("new", "")],
        "google": [("old", ""), ("new", "new/google")],
        "other": [("old", ""), ("new", "new/other")],
    }
    assert scenario.accounts.keys() == {"new/google", "new/other"}
    assert scenario.accounts["new/google"].plan.name == "steady"


def test_receivers_without_a_profile_are_one_as_fast_as_their_lanes_together(tmp_path: Path) -> None:
    *_, other = planner(configured(tmp_path)).scenario().routes
    assert (other.receiver, other.envelopes) == ("other", 8)
    assert other.parallel == pytest.approx(8 / 6)


def test_limits_are_those_of_the_receiver_s_profile(tmp_path: Path) -> None:
    google = planner(configured(tmp_path), assumptions=Assumptions(latency_s=0.001)).scenario().routes[1]
    assert google.lanes[0].speed.bind is Bind.CONNECTION_RATE
    slower = planner(configured(tmp_path), assumptions=Assumptions(latency_s=1.0)).scenario().routes[1]
    assert slower.lanes[0].speed.bind is Bind.CONNECTIONS


def test_bands_below_the_plan_s_least_are_for_warm_sources_alone(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    ladder = "ladder = { start = 100, until = 200, bands = [{ factor = 2 }] }\n"
    (tmp_path / "warmup/steady.toml").write_text(f"engagement_min = 50\n{ladder}")
    apple, google, _ = planner(configured(tmp_path)).scenario().routes
    assert (google.reserved, apple.reserved) == (30, 0)  # nobody warms up at apple


def test_the_campaign_s_own_words_are_kept(tmp_path: Path) -> None:
    scenario = planner(
        configured(tmp_path), rate="3600/h", priority=2, give_up="1d", spill="6h", deadline="2027-01-12T00:00:00Z"
    ).scenario()
    assert (scenario.rate, scenario.priority, scenario.curve.give_up_s) == (1.0, 2, 86_400)
    assert scenario.spill_s == 6 * 3_600
    assert scenario.schedule.deadline == scenario.curve.not_after == NOW + 86_400


def test_a_signing_domain_with_a_plan_holds_the_whole_campaign(tmp_path: Path) -> None:
    assert planner(configured(tmp_path, "cautious")).scenario().identity == "@shop.example"
    assert planner(configured(tmp_path)).scenario().identity == ""


def test_one_more_source_joins_everywhere_warm_or_at_the_beginning_of_a_plan(tmp_path: Path) -> None:
    made = planner(configured(tmp_path))
    warm, new = made.with_one_more("one more", None), made.with_one_more("one more", "cautious")
    assert [route.lanes[-1].account for route in warm.routes] == ["", "", ""]
    assert [route.lanes[-1].account for route in new.routes] == ["one more/apple", "one more/google", "one more/other"]
    assert new.accounts["one more/google"].plan.name == "cautious"


def test_what_is_told_goes_before_what_was_measured(tmp_path: Path) -> None:
    told = planner(configured(tmp_path), assumptions=Assumptions(delivered=0.5)).scenario()
    assert {route.expectation for route in told.routes} == {Expectation(delivered=0.5)}
    assert {route.expectation for route in planner(configured(tmp_path)).scenario().routes} == {Expectation()}


GOOGLE = Account.of(LaneId(source="new", receiver="google"), ROUTE)


async def asked(queue: MemoryQueue, settings: Settings) -> Known:
    return await known_of(queue, settings, spec_of(), "spring", LIST, profiles(), NOW)


async def test_the_store_says_where_a_lane_stands_and_what_it_has_used(tmp_path: Path) -> None:
    settings, queue = configured(tmp_path), MemoryQueue()
    progress = Progress(plan="steady", stage=2, volume=392, since=TODAY, day=TODAY, active=TODAY)
    await queue.change_progress([Change(name=str(GOOGLE), version=0, body=progress.encode())])
    cap = Cap(day=TODAY, starts=NOW - 60, ends=NOW + 86_340, per_day=392, per_hour=78, per_minute=4)
    await queue.set_caps({GOOGLE: cap}, NOW)
    await tried(queue, marks={Mark.DELIVERED: (0, 1), Mark.DEFERRED: (2,)})
    account = planner(settings, await asked(queue, settings)).scenario().accounts["new/google"]
    assert account.progress == progress
    assert (account.day, account.hour) == (3, 3)
    assert account.tally == Tally(delivered=2, deferred=1, used=3)


async def test_a_lane_that_an_operator_holds_is_held(tmp_path: Path) -> None:
    settings, queue = configured(tmp_path), MemoryQueue()
    await queue.hold_lanes([LaneHold(source="old", receiver="other", until=NOW + 60)])
    routes = planner(settings, await asked(queue, settings)).scenario().routes
    assert [[lane.held for lane in route.lanes] for route in routes] == [[0, 0], [0, 0], [NOW + 60, 0]]


async def test_what_many_attempts_came_to_is_expected_of_the_next_ones(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    marks = {
        TODAY: {Mark.DELIVERED: 450, Mark.DEFERRED: 20, Mark.NEUTRAL: 5, Mark.BOUNCED: 25, Mark.LIMITED: 900},
        TODAY - 30: {Mark.BLOCKED: 10_000},
    }
    queue = MemoryQueue()
    known = await asked(queue, settings)
    use = replace(known.use["new/google"], marks=marks)
    made = planner(settings, replace(known, use={"new/google": use}))
    assert made.scenario().routes[1].expectation == Expectation(delivered=0.9, rejected=0.05)
    assert made.measured == ("google",)


@pytest.mark.parametrize(("ago", "measured"), [(13, ("google",)), (14, ())])
async def test_what_attempts_came_to_some_time_ago_tells_nothing(tmp_path: Path, ago: int, measured: tuple[str, ...]) -> None:
    """Days are counted back from now: a pool that was idle since has not measured anything."""
    settings = configured(tmp_path)
    known = await asked(MemoryQueue(), settings)
    use = replace(known.use["old/google"], marks={TODAY - ago: {Mark.DELIVERED: 500}})
    assert planner(settings, replace(known, use={"old/google": use})).measured == measured


async def test_what_others_have_queued_stands_beside_or_before_it(tmp_path: Path) -> None:
    settings, queue = configured(tmp_path), MemoryQueue()
    for campaign, priority in (("first", 1), ("equal", 5), ("paused", 5), ("spring", 5)):
        await queued(queue, campaign, priority)
    await queue.set_control(Control(campaign="paused", paused=True, by="ann", at=NOW))
    known = await asked(queue, settings)
    assert known.others == {"google": (Others(priority=5, envelopes=3), Others(priority=1, envelopes=3))}


async def test_of_many_others_the_newest_are_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_CAMPAIGNS_MOST", 2)
    settings, queue = configured(tmp_path), MemoryQueue()
    for priority, campaign in enumerate(("oldest", "older", "newest"), 1):
        await queued(queue, campaign, priority)
    found = (await asked(queue, settings)).others["google"]
    assert {other.priority for other in found} == {2, 3}


async def queued(queue: MemoryQueue, campaign: str, priority: int = 5) -> None:
    """Three envelopes of this campaign for Google."""
    await queue.announce(campaign, dump(spec_of(priority=priority)))
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, NOW)
    await queue.add_rows(campaign, [RowBatch(number=0, rows=b"{}")])
    await queue.close_rows(campaign, 1)
    chunk = await chunk_of(queue, campaign, [(ROUTE, envelopes(campaign, 3))], priority=priority)
    assert await queue.expand(chunk, NOW)


async def tried(queue: MemoryQueue, marks: Mapping[Mark, tuple[int, ...]]) -> None:
    """Three envelopes that the new source has tried at Google, with these marks."""
    await queued(queue, "before")
    await queue.join("host/1")
    wish = LeaseRequest(lane=LaneId(source="new", receiver="google"), route=ROUTE, owner="host/1", envelopes=3, capped=True)
    (lease,) = await queue.lease([wish], NOW)
    told = settlement(lease, final=[(place, State.DELIVERED) for place in range(3)])
    await queue.settle([replace(told, marks=marks)], NOW)
