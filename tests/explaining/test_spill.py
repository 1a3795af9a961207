"""Why an envelope waits for some sources of its pool and not for others."""

from dataclasses import replace
from pathlib import Path

import pytest

from sender.explaining.explanation import Limit, Note
from sender.explaining.facts import fleet_facts
from sender.explaining.lanes import explain_lane
from sender.model import LaneId
from sender.queue.base import Again, Settlement
from sender.queue.finding import NO_WORK, RouteWork
from sender.queue.lane_holds import LaneHold
from sender.settings import Settings, load
from tests.asking import (
    LANE,
    NOW,
    ROUTE,
    SPEC,
    Store,
    campaign,
    configured,
    lane,
    leased,
    message,
    noted,
    paused,
    report,
    store,
)

WAITS = SPEC | {"spill": "wait"}
SOURCES = '[[source]]\nname = "cold"\nehlo = "a.example"\nwarmup = "slow"\n[[source]]\nname = "warm"\nehlo = "b.example"\n'
SLOW = "engagement_min = 50\n[stages]\nday = [100]\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return configured(tmp_path)


@pytest.fixture
def warming(tmp_path: Path) -> Settings:
    """A pool of two, one of which warms up."""
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "slow.toml").write_text(SLOW)
    (tmp_path / "sources.toml").write_text(SOURCES)
    return load(tmp_path)


async def staying(queue: Store, source: str, due: float = 0.0) -> None:
    lease = await leased(queue)
    again = tuple(
        Again(position=place, envelope=replace(one, attempts=1), due=due, source=source)
        for place, one in enumerate(lease.envelopes)
    )
    await queue.settle([Settlement(lease=lease.id, route=ROUTE, campaign="spring", again=again)], NOW)


async def test_what_stays_with_a_source_waits_for_that_one(settings: Settings) -> None:
    queue = await store(paused("s1", NOW + 900), report("s2", "nothing to send"))
    await staying(queue, "s1")
    found = await message(queue, settings, 3)
    assert (found.state, found.next) == ("ready", NOW + 900)
    assert found.reasons[0].text.startswith("s1/google is paused")
    assert Note(name="stays with", text="s1, since its receiver deferred it because of that source") in found.notes
    assert "s2/google is free" in (await message(queue, settings, 700)).reasons[0].text


async def test_and_says_so_while_it_waits_for_its_retry(settings: Settings) -> None:
    queue = await store(paused("s1", NOW + 900), report("s2", "nothing to send"))
    await staying(queue, "s1", NOW + 240)
    assert (await message(queue, settings, 3)).next == NOW + 900


@pytest.mark.parametrize("due", [0.0, NOW + 240])
async def test_a_source_that_is_gone_will_be_let_go_of(settings: Settings, due: float) -> None:
    queue = await store(report("s1", "nothing to send"))
    await staying(queue, "old", due)
    found = await message(queue, settings, 3)
    if due:
        assert [reason.limit for reason in found.reasons] == [Limit.RETRY]
    else:
        assert [reason.limit for reason in found.reasons] == [Limit.SCHEDULER]
        assert "from old again, which is not in pool 'main' any more" in found.reasons[0].text


async def test_what_is_left_to_sources_that_warm_up_waits_for_their_cap(warming: Settings) -> None:
    cap = report("cold", "cap", until=NOW + 9_000, why="cold/google: 100 a day, used up")
    queue = await store(cap, report("warm", "nothing to send"), spec=WAITS)
    found = await message(queue, warming, 3)
    assert found.next == NOW + 9_000
    assert "cold/google may send no more for now by its warmup" in found.reasons[0].text
    text = "cold, warming up; for as long as they do [spill, in the campaign's file]"
    assert Note(name="left to", text=text) in found.notes


async def test_a_campaign_waits_for_them_too_where_the_others_are_idle(warming: Settings) -> None:
    cap = report("cold", "cap", until=NOW + 9_000, why="cold/google: 100 a day, used up")
    queue = await store(cap, report("warm", "nothing to send"), spec=WAITS)
    found = await campaign(queue, warming)
    assert found.next == NOW + 9_000
    assert "cold/google may send no more for now by its warmup" in found.reasons[0].text
    queue = await store(cap, report("warm", "pace"), spec=WAITS)
    assert "warm/google sends at its pace" in (await campaign(queue, warming)).reasons[0].text, "it has some to send"
    queue = await store(cap, report("warm", "nothing to send"))
    assert "warm/google is free" in (await campaign(queue, warming)).reasons[0].text, "nothing is left to the cold one"


async def test_an_idle_lane_says_that_what_is_ready_is_not_for_it(warming: Settings) -> None:
    queue = await store(report("cold", "receiver"), report("warm", "nothing to send"), spec=WAITS)
    idle = noted(await lane(queue, warming, replace(LANE, source="warm")))
    assert idle["not for it"].startswith("what is ready there is left to sources that warm up")
    assert "not for it" not in noted(await lane(queue, warming, replace(LANE, source="cold")))


async def test_what_stays_with_a_source_is_left_to_it_beyond_the_spill(warming: Settings) -> None:
    cap = report("cold", "cap", until=NOW + 9_000, why="")
    queue = await store(cap, report("warm", "nothing to send"), spec=SPEC | {"spill": "5m"}, recipients=10)
    await staying(queue, "cold")
    assert (await message(queue, warming, 3)).next == (await campaign(queue, warming)).next == NOW + 9_000


async def test_a_lane_that_has_work_of_its_own_at_a_receiver_that_nothing_is_known_of(settings: Settings) -> None:
    fleet = await fleet_facts(await store(), settings)
    asked = explain_lane(fleet, LaneId(source="s1", receiver="gone"), NO_WORK, RouteWork(ready=3, aside=0))
    assert (asked.known, noted(asked)["its own"].partition(",")[0]) == (True, "3 envelopes ready")


async def test_a_lane_shows_what_stays_with_it(settings: Settings) -> None:
    queue = await store(report("s1", "nothing to send"), report("s2", "nothing to send"), recipients=20)
    await staying(queue, "s1")
    its = noted(await lane(queue, settings))
    assert its["its own"] == "10 envelopes ready, deferred because of s1: they stay with it"
    assert "not for it" not in its
    assert "its own" not in noted(await lane(queue, settings, replace(LANE, source="s2")))
    queue = await store(recipients=10)
    await staying(queue, "s1")
    assert "its route has work" in (await lane(queue, settings)).reasons[0].text
    assert "nothing is ready" in (await lane(queue, settings, replace(LANE, source="s2"))).reasons[0].text


async def test_until_its_time_has_come(warming: Settings) -> None:
    cap = report("cold", "cap", until=NOW + 9_000, why="")
    queue = await store(cap, report("warm", "nothing to send"), spec=SPEC | {"spill": "5m"})
    found = await message(queue, warming, 3)
    (note,) = [note for note in found.notes if note.name == "left to"]
    assert note.text == "cold, warming up; then to all of its pool [spill, in the campaign's file]"
    assert note.at == found.next == NOW - 60 + 300, "the cap opens later, and is not waited for"
    queue = await store(cap, report("warm", "nothing to send"), spec=SPEC | {"spill": "50s"})
    assert "warm/google is free" in (await message(queue, warming, 3)).reasons[0].text


async def test_a_campaign_waits_no_longer_than_its_first_recipients(warming: Settings) -> None:
    cap = report("cold", "cap", until=NOW + 9_000, why="")
    queue = await store(cap, report("warm", "nothing to send"), spec=SPEC | {"spill": "5m"})
    assert (await campaign(queue, warming)).next == (await message(queue, warming, 3)).next == NOW - 60 + 300
    queue = await store(cap, report("warm", "nothing to send"), spec=SPEC | {"spill": "50s"})
    assert "warm/google is free" in (await campaign(queue, warming)).reasons[0].text


async def test_whom_they_do_not_take_and_whom_an_operator_holds_nobody_waits_for(warming: Settings) -> None:
    queue = await store(report("warm", "nothing to send"), spec=WAITS, fields={"engagement": "10"})
    assert "warm/google is free" in (await message(queue, warming, 3)).reasons[0].text
    queue = await store(report("warm", "nothing to send"), spec=WAITS)
    await queue.hold_lanes([LaneHold(source="cold", receiver="google", until=NOW + 60, by="ann", at=NOW)])
    assert "warm/google is free" in (await message(queue, warming, 3)).reasons[0].text


async def test_where_all_warm_up_and_none_writes_to_it(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "slow.toml").write_text(SLOW)
    (tmp_path / "sources.toml").write_text(SOURCES.partition('[[source]]\nname = "warm"')[0])
    queue = await store(report("cold", "nothing to send"), fields={"engagement": "10"})
    (reason,) = (await message(queue, load(tmp_path), 3)).reasons
    assert reason.text == "all sources of its pool warm up, and write to nobody with an engagement below 50"


@pytest.mark.parametrize(
    ("spill", "words"),
    [("wait", ["left to those as long as they do"]), ("6h", ["left to those for 6 h each"]), ("now", [])],
)
async def test_a_campaign_says_whom_it_is_left_to(warming: Settings, spill: str, words: list[str]) -> None:
    found = await campaign(await store(report("warm", "nothing to send"), spec=SPEC | {"spill": spill}), warming)
    told = [note.text for note in found.notes if note.name == "spill"]
    assert told == [f"where sources warm up, recipients are {some}" for some in words]


async def test_a_campaign_s_routes_say_what_binds_each_source_s_own(settings: Settings) -> None:
    queue = await store(paused("s1", NOW + 900), report("s2", "nothing to send"))
    for source in ("old", "s1"):
        await staying(queue, source)
    notes = {note.name: note.text for note in (await campaign(queue, settings)).notes}
    assert notes["main@s1/google"].startswith("10 ready: s1/google is paused")
    assert "which is not in pool 'main' any more" in notes["main@old/google"]
    assert notes["main/google"].startswith("980 ready: s2/google is free")
