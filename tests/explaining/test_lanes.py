"""What binds a route and its lanes, by what each of them has said last."""

from dataclasses import replace
from pathlib import Path

import pytest

from sender.explaining.explanation import FOR_EVER, Limit
from sender.model import Route
from sender.queue.base import LeaseRequest
from sender.queue.lane_holds import LaneHold
from sender.settings import Settings
from tests.asking import (
    LANE,
    NOW,
    OWNER,
    REFUSAL,
    ROUTE,
    campaign,
    configured,
    lane,
    message,
    noted,
    paused,
    report,
    said,
    settled,
    store,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return configured(tmp_path)


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


SENT = "s1/google may send no more for now by its warmup"


async def test_a_cap_that_is_used_up_says_when_it_opens(settings: Settings) -> None:
    words = "s1/google: 200 an hour, used up"
    queue = await store(report(limit="cap", why=words, until=NOW + 900), report("s2", "cap", why="later", until=NOW + 9_000))
    found = await lane(queue, settings)
    (reason,) = found.reasons
    assert (found.state, found.next) == ("capped", NOW + 900)
    assert (reason.text, reason.origin) == (f"{SENT}: {words}", "its warmup plan (penstock warmup)")
    (reason,) = (await message(queue, settings, 3)).reasons
    assert reason.text == f"none of 2 lanes may send; the first to open: {SENT}: {words}"


async def test_what_a_held_lane_said_last_counts_no_more(settings: Settings) -> None:
    queue = await store(report("s1", "nothing to send"), paused("s2", NOW + 600))
    await queue.hold_lanes([LaneHold(source="s1", until=NOW + 60)])
    found = await message(queue, settings, 700)
    assert found.reasons[0].text.startswith("s2/google is paused")


async def test_a_lane_that_is_free_takes_it_at_once(settings: Settings) -> None:
    queue = await store(report(limit="nothing to send"))
    found = await message(queue, settings, 700)
    assert (found.reasons[0].text, found.next) == ("s1/google is free, and asks for work within a second", NOW)


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
    assert not found.known


async def test_a_lane_to_nobody_we_know_says_who_is_nearest(settings: Settings) -> None:
    found = await lane(await store(report()), settings, replace(LANE, receiver="gogle"))
    assert (found.state, found.known) == ("unknown", False)
    assert "no receiver is called 'gogle'" in found.reasons[0].text
    assert "did you mean google" in found.reasons[0].text
    found = await lane(await store(report()), settings, replace(LANE, receiver="other"))
    assert "each receiver without a profile has a lane of its own" in found.reasons[0].text
    queue = await store(route=Route(pool="main", receiver="gogle"))
    assert (await lane(queue, settings, replace(LANE, receiver="gogle"))).state == "not running"
    assert (await lane(queue, settings, replace(LANE, receiver="~shop.example"))).state == "not running"


async def test_a_lane_without_work_is_idle_and_waits_for_nothing(settings: Settings) -> None:
    found = await lane(await store(report(limit="nothing to send")), settings)
    assert (found.state, found.reasons[0].limit, found.next) == ("idle", Limit.NOTHING, None)


async def test_what_a_lane_said_long_ago_does_not_count(settings: Settings) -> None:
    queue = await store(replace(paused("s1", NOW + 900), at=NOW - 11))
    assert (await lane(queue, settings)).state == "not running"


async def test_a_held_lane_says_who_holds_it_and_until_when(tmp_path: Path) -> None:
    settings, queue = configured(tmp_path), await store(report())
    await queue.hold_lanes([LaneHold(source="s1", until=NOW + 600, by="ann@mail1", why="moving"), LaneHold(source="s2")])
    found = await lane(queue, settings)
    assert (found.state, found.next) == ("held", NOW + 600)
    assert found.reasons[0].text == "lane s1/google is held by ann@mail1: moving"
    assert found.reasons[0].origin == "penstock resume 's1/*'"


async def test_where_all_lanes_of_a_route_are_held_the_message_waits_for_the_first_to_end(tmp_path: Path) -> None:
    settings, queue = configured(tmp_path), await store(report())
    await queue.hold_lanes([LaneHold(source="s1", until=NOW + 600, by="ann@mail1", why="moving"), LaneHold(source="s2")])
    found = await message(queue, settings, 3)
    assert (found.reasons[0].limit, found.next) == (Limit.HOLD, NOW + 600)
    assert found.reasons[0].text == "all 2 lanes are held by ann@mail1: moving"
    await queue.free_lanes(["s2/*"])
    assert (await message(queue, settings, 3)).reasons[0].limit is not Limit.HOLD, "the other source has it"


async def test_a_retry_that_is_due_before_the_hold_ends_waits_for_the_hold(tmp_path: Path) -> None:
    settings, queue = configured(tmp_path), await store(report())
    await settled(queue, 0, None, due=NOW + 60)
    await queue.hold_lanes([LaneHold(receiver="google")])
    found = await message(queue, settings, 0)
    assert [reason.limit for reason in found.reasons] == [Limit.HOLD, Limit.RETRY]
    assert found.next == FOR_EVER
