"""Campaigns that are stopped while a process holds some of them: what has not reached its end of data goes back, or ends."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sender.campaigns import Campaign
from sender.engine import Engine
from sender.errors import BackendError
from sender.halts import Halts
from sender.model import State
from sender.policy.schedule import Schedule
from sender.queue.control import FOR_EVER, Control, Hold
from sender.queue.memory import MemoryQueue
from tests.holding import campaign, held
from tests.rig import EPOCH, SPEC, Rig, clock, states, submitted


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(EPOCH + seconds, UTC).isoformat()


def timed(schedule: Schedule) -> Campaign:
    return replace(campaign(), schedule=schedule)


async def said(queue: MemoryQueue, name: str = "spring", **word: Any) -> None:
    """As the commands do: the word, then the hold."""
    await queue.set_control(Control(campaign=name, by="ann@host", at=clock(), **word))
    if word:
        await queue.hold([Hold(campaign=name, start=0.0, end=FOR_EVER)])


def of(halts: Halts, one: Campaign, doubts: int = 0) -> tuple[State | None, str] | None:
    """What is said of an envelope of this campaign."""
    (first,) = held(1, of=one)
    first.envelope.doubts = doubts
    found = halts.withdrawn(first)
    return (found.state, found.why) if found is not None else None


async def test_words_are_heard_and_unsaid(autojump_clock: MockClock) -> None:
    queue, one = MemoryQueue(), campaign()
    halts = Halts(queue, lambda: [one], clock)
    assert of(halts, one) is None
    for word, expected in (
        ({"paused": True}, (None, "its campaign is paused")),
        ({}, None),
        (
            {"ended": State.CANCELLED, "why": "wrong price"},
            (State.CANCELLED, "its campaign was cancelled by ann@host: wrong price"),
        ),
    ):
        await said(queue, **word)
        await halts.look()
        assert of(halts, one) == expected


async def test_times_are_kept_without_asking_anybody(autojump_clock: MockClock) -> None:
    one = timed(Schedule(start=EPOCH + 10, deadline=EPOCH + 20))
    halts = Halts(MemoryQueue(), lambda: [one], clock)
    assert of(halts, one) == (None, "its campaign has no window now")
    await trio.sleep(10)
    assert of(halts, one) is None
    await trio.sleep(10)
    assert of(halts, one) == (State.EXPIRED, "its campaign's deadline has passed")
    assert of(halts, one, doubts=1) == (State.UNKNOWN, "its campaign's deadline has passed; it may have arrived before")


async def test_a_store_that_is_away_changes_nothing(autojump_clock: MockClock) -> None:
    class Away(MemoryQueue):
        away = False

        async def controls(self, campaigns: Any = None) -> Mapping[str, Control]:
            if self.away:
                raise BackendError("the store is away")
            return await super().controls(campaigns)

    queue, one, troubles = Away(), campaign(), list[str]()
    halts = Halts(queue, lambda: [one], clock, on_trouble=troubles.append)
    await said(queue, paused=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(halts.run, lambda: None)
        await trio.sleep(0.5)
        queue.away = True
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert of(halts, one) == (None, "its campaign is paused")
    assert set(troubles) == {"the store is away"}


async def test_lanes_are_told_when_one_more_is_halted_and_for_a_while(autojump_clock: MockClock) -> None:
    queue, told = MemoryQueue(), list[float]()
    one, other = campaign(), replace(timed(Schedule(deadline=EPOCH + 60.5)), id="summer")
    halts = Halts(queue, lambda: [one, other], clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(halts.run, lambda: told.append(trio.current_time()))
        await trio.sleep(10.5)
        assert told == []
        await said(queue, paused=True)
        await trio.sleep(89.5)
        nursery.cancel_scope.cancel()
    assert told == [11, 12, 13, 14, 15, 61, 62, 63, 64, 65]


def test_many_campaigns_are_looked_up_a_part_at_a_time() -> None:
    async def look() -> list[int]:
        asked: list[int] = []

        class Asked(MemoryQueue):
            async def controls(self, campaigns: Any = None) -> Mapping[str, Control]:
                asked.append(len(campaigns))
                return await super().controls(campaigns)

        several = [replace(campaign(), id=f"c{number}") for number in range(1_100)]
        await Halts(Asked(), lambda: several, clock).look()
        return asked

    assert trio.run(look) == [500, 500, 100]


@asynccontextmanager
async def delivering(rig: Rig) -> AsyncIterator[Engine]:
    """An engine and a scheduler; in the end all that it holds is given back, and nothing was lost."""
    engine = rig.engine()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        nursery.start_soon(engine.run)
        yield engine
        engine.drain()
        await engine.ended.wait()
        nursery.cancel_scope.cancel()


async def test_a_pause_stops_a_lane_within_seconds_and_what_it_held_goes_back(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 20, "connections": 2})
    await submitted(rig.queue, 2_000)
    async with delivering(rig):
        await trio.sleep(20)
        await said(rig.queue, paused=True)
        await trio.sleep(2)
        copies = rig.office.copies.total()
        assert copies >= 300
        assert (await rig.queue.depth(clock())).leased == 0
        await trio.sleep(600)
        assert rig.office.copies.total() == copies
        await said(rig.queue)
        assert await rig.finished() == {State.DELIVERED: 2_000}
    assert set(rig.office.copies.values()) == {1}
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}


async def test_other_campaigns_of_the_lane_go_on(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 20, "connections": 2})
    await submitted(rig.queue, 1_000)
    await submitted(rig.queue, 1_000, campaign="summer")
    async with delivering(rig):
        await trio.sleep(10)
        await said(rig.queue, paused=True)
        before = (await states(rig.queue)).get(State.DELIVERED, 0)
        assert await rig.finished("summer") == {State.DELIVERED: 1_000}
        after = (await states(rig.queue)).get(State.DELIVERED, 0)
        assert after - before <= 2 * 20 + 2
    await rig.conserved(1_000)


@pytest.mark.row("F50")
async def test_a_cancelled_campaign_ends_and_only_what_was_at_its_end_of_data_still_counts(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 20, "connections": 2})
    rig.office.rtt_s = 3.0
    await submitted(rig.queue, 2_000)
    async with delivering(rig):
        await trio.sleep(30)
        await said(rig.queue, ended=State.CANCELLED)
        await trio.sleep(1.1)  # a round of `halts`
        under_way = rig.office.copies.total() + rig.office.open
        totals = await rig.finished()
        assert totals[State.DELIVERED] == rig.office.copies.total() <= under_way
        assert totals == {State.DELIVERED: totals[State.DELIVERED], State.CANCELLED: 2_000 - totals[State.DELIVERED]}
    await rig.conserved(2_000)


async def test_a_window_that_closes_stops_what_was_leased(autojump_clock: MockClock) -> None:
    """Open for 20 seconds from now on, then for a minute from the next on."""
    rig = Rig(limits={"messages_per_second": 20, "connections": 2})
    await submitted(
        rig.queue, 1_000, spec={**SPEC, "windows": [{"from": "15:06", "to": "15:07"}, {"from": "15:08", "to": "15:09"}]}
    )
    async with delivering(rig):
        await trio.sleep(22)
        copies = rig.office.copies.total()
        assert 300 <= copies <= 21 * 20
        assert (await rig.queue.depth(clock())).leased == 0
        await trio.sleep(57)
        assert rig.office.copies.total() == copies
        assert await rig.finished() == {State.DELIVERED: 1_000}
    assert set(rig.office.copies.values()) == {1}


async def test_at_the_deadline_what_is_left_expires_wherever_it_is(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 20, "connections": 2})
    await submitted(rig.queue, 1_000, spec={**SPEC, "deadline": moment(20)})
    async with delivering(rig):
        totals = await rig.finished()
        assert clock() - EPOCH < 30
    assert 300 <= totals[State.DELIVERED] <= 21 * 20
    assert totals == {State.DELIVERED: totals[State.DELIVERED], State.EXPIRED: 1_000 - totals[State.DELIVERED]}
    assert rig.office.copies.total() == totals[State.DELIVERED]


async def test_what_waits_for_a_connection_goes_back_as_well(autojump_clock: MockClock) -> None:
    """No session is open that could be asked to leave it."""
    rig = Rig()
    rig.office.rtt_s = 3_600.0  # a connection takes an hour
    await submitted(rig.queue, 100)
    async with delivering(rig):
        await trio.sleep(5)
        assert (await rig.queue.depth(clock())).leased > 0
        await said(rig.queue, paused=True)
        await trio.sleep(2.5)
        assert (await rig.queue.depth(clock())).leased == 0
