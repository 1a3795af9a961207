"""What binds an envelope and a campaign: over a real queue in memory, with what lanes would have said of themselves."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sender.controlling import Controller
from sender.events import Event
from sender.explaining.explanation import FOR_EVER, Limit, span
from sender.model import Route, State
from sender.policy.plan import Day, Stage
from sender.queue.base import LeaseRequest, RowBatch
from sender.queue.control import Control
from sender.queue.warmups import Account
from sender.settings import Settings
from tests.asking import (
    LANE,
    NOW,
    OWNER,
    ROUTE,
    SPEC,
    Store,
    campaign,
    configured,
    leased,
    message,
    noted,
    paused,
    report,
    said,
    settled,
    store,
)
from tests.queue.feeding import parking


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return configured(tmp_path)


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


async def test_a_pause_that_ends_before_a_retry_is_due_is_none_of_its_business(settings: Settings) -> None:
    queue = await store(paused("s1", NOW + 100), paused("s2", NOW + 200))
    await settled(queue, 4, None, NOW + 240)
    assert [reason.limit for reason in (await message(queue, settings, 4)).reasons] == [Limit.RETRY]


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


async def test_in_doubt_and_dropped_by_an_operator_while_others_are_still_parked(settings: Settings) -> None:
    queue = await store(report())
    await queue.settle([parking(await leased(queue), [2, 3])], NOW)
    await queue.drop_doubts(["spring:2"])
    dropped, kept = await message(queue, settings, 2), await message(queue, settings, 3)
    assert (dropped.state, dropped.next, dropped.reasons[0].limit) == ("unknown: in doubt", None, Limit.DOUBT)
    assert "resend" not in dropped.reasons[0].origin
    assert (kept.next, kept.reasons[0].origin) == (FOR_EVER, "penstock doubts resend spring:3")


async def test_what_happened_to_a_connection_is_said_with_one_host_and_one_step(settings: Settings) -> None:
    queue = await store(report(limit="nothing to send"))
    event = Event(
        id="spring:4:1:deferred",
        type="deferred",
        at=NOW - 60,
        campaign="spring",
        ordinal=4,
        to="r4@orange.fr",
        attempt=1,
        source="s1",
        mx="smtp-in.orange.fr",
        step="DOT",
        why="smtp-in.orange.fr[127.77.5.1] DOT: connection closed",
    )
    await settled(queue, 4, None, NOW + 240, event)
    words = noted(await message(queue, settings, 4))["attempt 1"]
    assert words == "deferred from s1 at smtp-in.orange.fr[127.77.5.1], DOT: connection closed"


async def test_nobody_of_that_number(settings: Settings) -> None:
    queue = await store(report())
    found = await message(queue, settings, 5_000)
    assert (found.state, found.reasons[0].limit) == ("not found", Limit.NOTHING)
    assert "no recipient 5,000 of this campaign: 1,000 were read" in found.reasons[0].text
    assert not found.known


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
    assert (await message(queue, settings, 3)).state == "cancelled"
    assert (await message(queue, settings, 5_000)).state == "cancelled, if there was such a recipient"


async def test_ended_by_a_deadline_whose_campaign_is_over_and_its_content_gone(settings: Settings) -> None:
    deadline = NOW - 60
    queue = await store(report(), spec={**SPEC, "deadline": datetime.fromtimestamp(deadline, UTC).isoformat()})
    controller = Controller(queue)
    for _ in range(3):
        await controller.run_once(NOW)
    await queue.finish_rows("spring")
    await queue.reclaim(NOW)
    assert await queue.spec("spring") is None
    found = await message(queue, settings, 299)
    assert (found.state, found.reasons[0].limit, found.known) == ("expired", Limit.DEADLINE, True)
    assert found.reasons[0].text == "it ended with its campaign as expired, as did 1,000 of 1,000"
    assert (await message(queue, settings, 5_000)).state == "not found"


async def test_no_window_before_the_deadline(settings: Settings) -> None:
    opens = datetime.fromtimestamp(NOW + 5 * 3_600, UTC).replace(minute=0, second=0)
    window, deadline = {"from": f"{opens:%H:%M}", "to": f"{opens.replace(minute=59):%H:%M}"}, NOW + 3_600
    spec = {**SPEC, "windows": [window], "deadline": datetime.fromtimestamp(deadline, UTC).isoformat()}
    queue = await store(report(), spec=spec)
    await Controller(queue).run_once(NOW)
    for found in (await message(queue, settings, 4), await campaign(queue, settings)):
        assert (found.reasons[0].limit, found.next, found.expires) == (Limit.WINDOW, None, deadline)


async def test_a_campaign_that_was_resumed_while_no_scheduler_runs(settings: Settings) -> None:
    queue = await store(report(limit="nothing to send"))
    await said(queue, paused=True)
    await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner=OWNER, envelopes=10)], NOW)
    await queue.set_control(Control(campaign="spring"))
    for found in (await campaign(queue, settings), await message(queue, settings, 3)):
        (reason,) = found.reasons
        assert (reason.limit, found.next) == (Limit.SCHEDULER, None)
        assert reason.text.endswith("is one running?")
    assert noted(await campaign(queue, settings))["main/google"] == "1,000 ready"


async def test_a_campaign_whose_retry_is_overdue_while_the_rest_is_sent(settings: Settings) -> None:
    queue = await store(report())
    await settled(queue, 4, None, NOW - 240)
    reasons = (await campaign(queue, settings)).reasons
    assert {reason.limit for reason in reasons} == {Limit.LANE, Limit.SCHEDULER}
    assert any("some of it waits for its next attempt; the next one has been due for 4 min" in one.text for one in reasons)


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


async def capped(queue: Store, account: str, day: int, hour: int, minute: int) -> None:
    """A cap whose day began 90 seconds ago, and is used up by 20 at once."""
    cap = Day(number=739_000, starts=NOW - 90, ends=NOW + 20_000).cap(Stage(day=day, hour=hour, minute=minute))
    await queue.set_caps({Account(account): cap}, NOW)
    await queue.reserve(Account(account), 20, NOW)


@pytest.mark.parametrize(
    ("caps", "words", "opens"),
    [((20, 20, 20), "20 a day", 20_000), ((30, 20, 20), "20 an hour", 3_510), ((30, 30, 20), "20 a minute", 30)],
)
async def test_a_signing_domain_that_warms_up(settings: Settings, caps: tuple[int, int, int], words: str, opens: float) -> None:
    queue = await store(report(limit="nothing to send"))
    await queue.limit_rate("spring", True)
    await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner=OWNER, envelopes=10)], NOW)
    await capped(queue, "@shop.example", *caps)
    for found in (await message(queue, settings, 700), await campaign(queue, settings)):
        reason = found.reasons[0]
        assert reason.text == f"@shop.example has sent what its warmup permits for now: {words}"
        assert (reason.detail, reason.origin, found.next) == ("cap", "its warmup plan (penstock warmup)", NOW + opens)


async def test_the_long_tail_of_sources_that_warm_up(settings: Settings) -> None:
    route = Route(pool="main", receiver="~example.org")
    queue = await store(route=route)
    await capped(queue, "s1/other", 30, 30, 20)
    assert "a process begins one within a second" in (await message(queue, settings, 700)).reasons[0].text  # s2 is warm
    await capped(queue, "s2/other", 30, 20, 20)
    found = await message(queue, settings, 700)
    assert found.reasons[0].text == "s1/other has sent what its warmup permits for now: 20 a minute"
    assert found.next == NOW + 30
    await queue.set_caps(
        {Account(f"{source}/other"): Day(number=739_000, starts=NOW - 90, ends=NOW + 50).shut() for source in ("s1", "s2")}, NOW
    )
    assert "is stopped by its warmup" in (await message(queue, settings, 700)).reasons[0].text


@pytest.mark.parametrize(
    ("ends", "words", "opens"),
    [(10, "permits for now: 20 a minute", NOW + 10), (-1, "the sending day of s1/other is not planned yet", None)],
)
async def test_no_window_outlasts_its_sending_day(settings: Settings, ends: float, words: str, opens: float | None) -> None:
    queue = await store(route=Route(pool="main", receiver="~example.org"))
    day = Day(number=739_000, starts=NOW - 90, ends=NOW + ends)
    for source in ("s1", "s2"):
        await queue.set_caps({Account(f"{source}/other"): day.cap(Stage(day=30, hour=30, minute=20))}, NOW - 20)
        await queue.reserve(Account(f"{source}/other"), 20, NOW - 20 if ends < 0 else NOW)
    found = await message(queue, settings, 700)
    assert words in found.reasons[0].text
    assert found.next == opens
