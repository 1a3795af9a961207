"""Expansion of campaigns that must wait, or that are over: what waits is made ready, what is over ends as it is read."""

import json
from datetime import UTC, datetime

import trio
from trio.testing import MockClock

from sender.model import State
from sender.queue.base import LeaseRequest
from sender.queue.control import Control
from tests.holding import LANE, campaigns
from tests.rig import ROUTE, SPEC, clock, states
from tests.test_expansion import Desk, Kept, lines, person, submitted


def at(seconds: float) -> str:
    return datetime.fromtimestamp(clock() + seconds, UTC).isoformat()


async def test_what_must_wait_is_expanded_ahead_and_can_not_be_leased(autojump_clock: MockClock) -> None:
    desk = Desk()
    await submitted(desk.queue, lines(person(0)), document=json.dumps({**SPEC, "start": at(100)}).encode())
    await submitted(desk.queue, lines(person(0)), campaign="summer")
    await desk.run()
    assert [status.accepted for status in await desk.queue.status(["spring", "summer"])] == [1, 1]
    assert list(await desk.queue.schedules()) == ["spring"]
    leases = await desk.queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=300)], clock())
    assert [lease.envelopes[0].campaign for lease in leases] == ["summer"]


async def test_recipients_of_a_cancelled_campaign_end_as_they_are_read(autojump_clock: MockClock) -> None:
    """Whatever is in them, and though this configuration could not send it; what is no list goes to the dead letters."""
    queue = Kept()
    desk = Desk(queue, campaigns=campaigns(queue, pools=("other",)))
    await submitted(queue, lines(person(0), "nobody", {"to": "@"}), b"no list", lines(person(1)))
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, clock())
    await desk.queue.set_control(Control(campaign="spring", ended=State.CANCELLED))
    await desk.run()
    (status,) = await desk.queue.status(["spring"])
    assert (status.accepted, status.queued, status.waiting_batches) == (4, 0, 0)
    assert await states(desk.queue) == {State.CANCELLED: 4}
    assert desk.counts.expanded_ones == {"cancelled": 4}
    assert desk.counts.taken == desk.counts.expanded_ones.total()
    assert [letter.campaign for letter in desk.queue.letters] == ["spring"]
    assert await desk.events() == []
    assert (await desk.queue.find("spring", 2000)).state is State.CANCELLED


async def test_a_cancelled_campaign_is_read_to_its_end_though_much_of_it_waits(autojump_clock: MockClock) -> None:
    desk = Desk(ahead=500)
    await submitted(desk.queue, *(lines(*(person(n) for n in range(1000))) for _ in range(30)))
    await desk.run()
    (status,) = await desk.queue.status(["spring"])
    assert (status.queued, status.complete) == (1_000, False)
    await desk.queue.set_control(Control(campaign="spring", ended=State.CANCELLED))
    await desk.run()
    assert await states(desk.queue) == {State.CANCELLED: 29_000}
    assert (await desk.queue.status(["spring"]))[0].complete


async def test_a_paused_campaign_is_expanded(autojump_clock: MockClock) -> None:
    desk = Desk()
    await submitted(desk.queue, lines(person(0)))
    await desk.queue.set_control(Control(campaign="spring", paused=True))
    await desk.run()
    assert await desk.ready() == {"main/big": 1}


async def test_after_the_deadline_recipients_expire_as_they_are_read(autojump_clock: MockClock) -> None:
    desk = Desk()
    document = json.dumps({**SPEC, "deadline": at(100)}).encode()
    await submitted(desk.queue, lines(person(0)), document=document)
    await submitted(desk.queue, lines(person(0)), campaign="late", document=document)
    await desk.expander.step()
    await trio.sleep(50)
    assert await desk.expander.step()
    await submitted(desk.queue, lines(person(0), person(1)), campaign="later", document=document)
    await trio.sleep(50)
    await desk.run()
    assert await states(desk.queue, "later") == {State.EXPIRED: 2}
    assert await states(desk.queue) == {}
    assert desk.counts.expanded_ones == {"queued": 2, "expired": 2}
    assert desk.counts.taken == desk.counts.expanded_ones.total()
