"""Campaigns that are over, by a word or by their deadline: all that is left of them ends, is told once, and stays ended."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sender.controlling import Controller
from sender.model import State
from sender.queue.base import RowBatch, Settlement
from sender.queue.control import Control
from sender.queue.doubts import Parked
from tests.rig import EPOCH, ROUTE, SPEC, clock, states
from tests.test_controlling import Log, events, lease, leased, moment, ready, said, settled


async def run_until_quiet(controller: Controller) -> int:
    rounds = 1
    while await controller.run_once(clock()):
        rounds += 1
        assert rounds < 1000
    return rounds


async def test_a_cancelled_campaign_ends_as_cancelled_whatever_of_it_waits(autojump_clock: MockClock) -> None:
    queue = Log()
    await ready(queue)
    leases = await lease(queue, 100)
    await said(queue, ended=State.CANCELLED, why="wrong price")
    controller = Controller(queue)
    await run_until_quiet(controller)
    assert await states(queue) == {State.CANCELLED: 400}
    await settled(queue, leases)
    await run_until_quiet(controller)
    assert await states(queue) == {State.CANCELLED: 400, State.DELIVERED: 100}
    assert await leased(queue) == {}


async def test_it_is_told_once_with_who_said_so_and_why(autojump_clock: MockClock) -> None:
    queue = Log()
    await ready(queue)
    await said(queue, ended=State.CANCELLED, why="wrong price")
    controller = Controller(queue)
    for _ in range(100):
        await run_until_quiet(controller)
        await trio.sleep(1)
    (event,) = await events(queue)
    assert event == {
        "v": 1,
        "id": "spring:ended:cancelled",
        "type": "ended",
        "at": EPOCH,
        "campaign": "spring",
        "state": "cancelled",
        "by": "ann@host",
        "why": "wrong price",
    }


async def test_once_nothing_is_left_the_queue_is_asked_for_nothing(autojump_clock: MockClock) -> None:
    queue = Log()
    await ready(queue)
    await said(queue, ended=State.CANCELLED)
    controller = Controller(queue)
    await run_until_quiet(controller)
    before = queue.discards, len(queue.orders)
    for _ in range(100):
        await controller.run_once(clock())
        await trio.sleep(1)
    assert (queue.discards, len(queue.orders)) == before
    fresh = Controller(queue)  # a scheduler that was restarted
    await run_until_quiet(fresh)
    assert (queue.discards, len(queue.orders)) == before
    assert len(await events(queue)) == 1


async def test_what_comes_back_after_its_end_ends_as_well(autojump_clock: MockClock) -> None:
    """A doubt that an operator sends again, although its campaign is over."""
    queue = Log()
    await ready(queue, 100)
    leases = await lease(queue)
    (parked, *rest) = leases[0].envelopes
    await said(queue, ended=State.CANCELLED)
    controller = Controller(queue)
    await run_until_quiet(controller)
    await queue.settle(
        [
            Settlement(
                lease=leases[0].id,
                route=ROUTE,
                campaign="spring",
                final=((0, State.UNKNOWN), *((place + 1, State.DELIVERED) for place, _ in enumerate(rest))),
                parked=(Parked(position=0, envelope=parked, at=clock(), why="no answer"),),
            )
        ],
        clock(),
    )
    await run_until_quiet(controller)
    await queue.resend(["spring:0"], clock())
    assert (await queue.status(["spring"]))[0].queued == 1
    await trio.sleep(31)
    await run_until_quiet(controller)
    assert await states(queue) == {State.DELIVERED: 99, State.CANCELLED: 1}


async def test_a_large_one_ends_in_bounded_steps(autojump_clock: MockClock) -> None:
    queue = Log()
    await ready(queue, 45_000)
    await said(queue, ended=State.CANCELLED)
    controller = Controller(queue)
    assert await controller.run_once(clock())
    assert (await states(queue))[State.CANCELLED] in range(20_000, 20_200)
    await run_until_quiet(controller)
    assert await states(queue) == {State.CANCELLED: 45_000}


async def test_many_that_end_at_once_all_get_their_turn(autojump_clock: MockClock) -> None:
    queue = Log()
    names = [f"c{number}" for number in range(130)]
    for name in names:
        await ready(queue, 3, name)
        await said(queue, name, ended=State.CANCELLED)
    rounds = await run_until_quiet(Controller(queue))
    assert [await states(queue, name) for name in names] == [{State.CANCELLED: 3}] * len(names)
    assert rounds <= 5


async def test_after_the_deadline_what_is_left_expires(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue, deadline=moment(100))
    await run_until_quiet(controller)
    assert await leased(queue, 100) == {"spring": 100}
    await trio.sleep(100)
    assert await leased(queue) == {}, "the hold had been set ahead of time"
    await run_until_quiet(controller)
    assert await states(queue) == {State.DELIVERED: 100, State.EXPIRED: 400}
    assert [(event["type"], event["state"]) for event in await events(queue)] == [("ended", "expired")]


async def test_one_that_was_finished_before_its_deadline_did_not_end_by_it(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue, 100, deadline=moment(100))
    await run_until_quiet(controller)
    await leased(queue)
    await trio.sleep(200)
    await run_until_quiet(controller)
    assert await events(queue) == []


async def test_a_word_goes_before_the_deadline(autojump_clock: MockClock) -> None:
    queue = Log()
    await ready(queue, deadline=moment(100))
    await trio.sleep(200)
    await said(queue, ended=State.CANCELLED)
    await run_until_quiet(Controller(queue))
    assert await states(queue) == {State.CANCELLED: 500}


async def test_recipients_that_are_still_to_be_read_are_waited_for(autojump_clock: MockClock) -> None:
    """The expander ends them as it reads them; until then the campaign is not over."""
    queue = Log()
    await ready(queue)
    await queue.announce("late", json.dumps(SPEC).encode())
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, clock())
    await queue.add_rows("late", [RowBatch(number=0, rows=b"{}")])
    await said(queue, "late", ended=State.CANCELLED)
    controller = Controller(queue)
    for _ in range(100):
        await controller.run_once(clock())
        await trio.sleep(1)
    (status,) = await queue.status(["late"])
    assert (status.complete, status.waiting_batches) == (False, 1)
    assert len(await events(queue)) == 1


async def test_a_specification_of_a_newer_version_stays_held_and_is_told(autojump_clock: MockClock) -> None:
    queue, troubles = Log(), list[str]()
    await ready(queue, start=moment(1))
    campaign = queue._campaigns["spring"]
    assert campaign.spec is not None
    campaign.spec = campaign.spec.replace(b'"start"', b'"beginning"')
    await trio.sleep(10)
    controller = Controller(queue, on_trouble=troubles.append)
    await controller.run_once(clock())
    assert await leased(queue) == {}
    assert "campaign spring: beginning: unknown key" in troubles[0]


async def test_words_on_unknown_campaigns_do_no_harm(autojump_clock: MockClock) -> None:
    queue = Log()
    await said(queue, "nobody", ended=State.CANCELLED)
    await run_until_quiet(Controller(queue))
    assert await events(queue) == []


@pytest.mark.parametrize("word", [{"paused": True}, {"ended": State.CANCELLED}])
async def test_any_number_of_controllers_agree(autojump_clock: MockClock, word: Mapping[str, Any]) -> None:
    queue = Log()
    await ready(queue, 1000, deadline=moment(5000), rate="100/s")
    await said(queue, **word)
    several = [Controller(queue) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for controller in several:
            nursery.start_soon(run_until_quiet, controller)
    assert await leased(queue) == {}
    (status,) = await queue.status(["spring"])
    assert status.accepted == 1000
    assert await states(queue) == ({State.CANCELLED: 1000} if "ended" in word else {})
    assert len({event["id"] for event in await events(queue)}) <= 1


async def test_an_ended_campaign_is_not_paused_or_resumed(autojump_clock: MockClock) -> None:
    queue = Log()
    await ready(queue)
    await said(queue, ended=State.CANCELLED)
    stands = await queue.set_control(replace(Control(campaign="spring"), paused=False))
    assert stands.ended is State.CANCELLED
    await run_until_quiet(Controller(queue))
    assert await states(queue) == {State.CANCELLED: 500}
