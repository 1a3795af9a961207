"""Words and schedules carried into the queue: what stops, goes on and ends, by any number of controllers, repeated at will."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sender.controlling import BURST_S, Controller
from sender.model import State
from sender.queue.base import Lease, LeaseRequest, Settlement
from sender.queue.control import FOR_EVER, Control, Hold
from sender.queue.memory import MemoryQueue
from tests.holding import LANE
from tests.rig import EPOCH, ROUTE, SPEC, clock, submitted


class Log(MemoryQueue):
    """A memory queue that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Hold] = []
        self.discards = 0

    async def hold(self, holds: Any) -> None:
        self.orders += holds
        await super().hold(holds)

    async def discard(self, campaign: str, state: State, limit: int, now: float) -> int:
        self.discards += 1
        return await super().discard(campaign, state, limit, now)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(EPOCH + seconds, UTC).isoformat()


async def ready(queue: MemoryQueue, recipients: int = 500, campaign: str = "spring", **spec: object) -> None:
    await submitted(queue, recipients, campaign=campaign, spec={**SPEC, **spec})
    await queue.finish_rows(campaign)


async def leased(queue: MemoryQueue, envelopes: int = 1000) -> Counter[str]:
    """How many envelopes of which campaign a lane gets now; they are settled as delivered."""
    return await settled(queue, await lease(queue, envelopes))


async def lease(queue: MemoryQueue, envelopes: int = 1000) -> list[Lease]:
    return list(await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=envelopes)], clock()))


async def settled(queue: MemoryQueue, leases: list[Lease]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in leases:
        campaign = one.envelopes[0].campaign
        final = tuple((position, State.DELIVERED) for position in range(len(one.envelopes)))
        await queue.settle([Settlement(lease=one.id, route=ROUTE, campaign=campaign, final=final)], clock())
        found[campaign] += len(final)
    return found


async def said(queue: MemoryQueue, campaign: str = "spring", **word: Any) -> None:
    await queue.set_control(Control(campaign=campaign, by="ann@host", at=clock(), **word))


async def events(queue: MemoryQueue) -> list[dict[str, Any]]:
    return [json.loads(event) for event in (await queue.events("", 10_000))[1]]


async def test_a_campaign_without_words_and_times_is_left_alone(autojump_clock: MockClock) -> None:
    queue = Log()
    await ready(queue)
    assert not await Controller(queue).run_once(clock())
    assert queue.orders == []
    assert await leased(queue) == {"spring": 500}


async def test_a_pause_holds_and_a_word_to_go_on_wakes(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue)
    await said(queue, paused=True)
    await controller.run_once(clock())
    assert await leased(queue) == {}
    await said(queue)
    await controller.run_once(clock())
    assert await leased(queue) == {"spring": 500}


async def test_what_was_said_is_not_said_again_until_a_while_has_passed(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue)
    await said(queue, paused=True)
    for _ in range(10):
        await controller.run_once(clock())
        await trio.sleep(1)
    assert len(queue.orders) == 1
    await queue.hold([Hold(campaign="spring", start=0.0, end=0.0)])  # another scheduler, late with an older word
    await trio.sleep(30)
    await controller.run_once(clock())
    assert queue.orders[-1].end == FOR_EVER
    assert await leased(queue) == {}


async def test_a_pause_that_was_lifted_between_two_rounds_leaves_no_hold_behind(autojump_clock: MockClock) -> None:
    """The command that says it sets the hold at once; who lifts it is the controller."""
    queue = Log()
    controller = Controller(queue)
    await ready(queue)
    await said(queue)
    await controller.run_once(clock())
    await said(queue, paused=True)
    await queue.hold([Hold(campaign="spring", start=0.0, end=FOR_EVER)])
    await trio.sleep(0.1)
    await said(queue)
    await controller.run_once(clock())
    assert await leased(queue) == {"spring": 500}


async def test_nothing_leaves_before_the_start_and_all_may_from_then_on(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue, start=moment(100))
    assert await leased(queue) == {}, "held from before it can be leased, whether a scheduler runs or not"
    await controller.run_once(clock())
    await trio.sleep(99.5)
    await controller.run_once(clock())
    assert await leased(queue) == {}
    await trio.sleep(0.5)
    await controller.run_once(clock())
    assert await leased(queue) == {"spring": 500}


async def test_a_window_closes_on_time_though_no_controller_runs_then(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    first = datetime.fromtimestamp(EPOCH, UTC)  # 15:06:40 on a Sunday
    window = {"from": f"{first:%H:%M}", "to": f"{first.hour + 1:02}:00"}
    await ready(queue, windows=[window])
    await controller.run_once(clock())
    assert await leased(queue, 100) == {"spring": 100}
    closes = (60 - first.minute) * 60 - first.second
    await trio.sleep(closes - 1)
    assert await leased(queue, 100) == {"spring": 100}
    await trio.sleep(1)
    assert await leased(queue, 100) == {}
    await controller.run_once(clock())
    assert await leased(queue, 100) == {}
    opens = 23 * 3600 + first.minute * 60
    await trio.sleep(opens - 1)
    await controller.run_once(clock())
    assert await leased(queue, 100) == {}
    await trio.sleep(1)
    await controller.run_once(clock())
    assert await leased(queue, 100) == {"spring": 100}


async def test_a_word_to_go_on_does_not_open_a_window(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue, start=moment(100))
    for paused in (True, False):
        await said(queue, paused=paused)
        await controller.run_once(clock())
        assert await leased(queue) == {}


async def test_a_rate_is_kept_to_over_time_and_by_several_controllers(autojump_clock: MockClock) -> None:
    queue = Log()
    several = [Controller(queue), Controller(queue)]
    await ready(queue, 3000, rate="10/s")
    total = 0
    for second in range(60):
        for controller in several:
            await controller.run_once(clock())
        total += sum((await leased(queue)).values())
        assert total <= 10 * (second + BURST_S)
        await trio.sleep(1)
    assert total >= 10 * 58


async def test_a_rate_below_one_a_second_lets_single_ones_go(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue, 100, rate="60/h")
    total = 0
    for _ in range(600):
        await controller.run_once(clock())
        total += sum((await leased(queue)).values())
        await trio.sleep(1)
    assert 9 <= total <= 11


@pytest.mark.parametrize("per_hour", [60, 700, 719, 800, 1440, 3600])
async def test_a_trickle_is_had_in_full_where_rounds_and_lanes_are_late(autojump_clock: MockClock, per_hour: int) -> None:
    """A round takes a second and a bit, and a lane comes for what is granted up to two rounds later."""
    queue, rate, total = Log(), per_hour / 3_600, 0
    controller = Controller(queue)
    await ready(queue, per_hour + 20, rate=f"{per_hour}/h")
    for turn in range(3_300):
        await controller.run_once(clock())
        if turn % 3 == 2:
            total += sum((await leased(queue)).values())
            assert total <= rate * 1.1 * turn + max(3.0, rate * BURST_S)
        await trio.sleep(1.1)
    assert total >= per_hour - 1


async def test_a_pause_stops_a_rate_too(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue, 3000, rate="10/s")
    await said(queue, paused=True)
    for _ in range(10):
        await controller.run_once(clock())
        await trio.sleep(1)
    assert await leased(queue) == {}


async def test_another_campaign_on_the_same_route_goes_on(autojump_clock: MockClock) -> None:
    queue = Log()
    controller = Controller(queue)
    await ready(queue, 500)
    await ready(queue, 70, "summer")
    await said(queue, paused=True)
    await controller.run_once(clock())
    assert await leased(queue) == {"summer": 70}
