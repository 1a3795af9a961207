"""What the metrics show of a ward."""

from datetime import UTC, datetime

from sender.model import Mark
from sender.policy import by_hand
from sender.queue.memory import MemoryQueue
from sender.warming.figures import figures
from sender.warming.warmer import say
from tests.warming.test_warmer import PLAN, START, WARD, sent, standing, warmer


async def test_a_sending_day_ends_at_the_midnight_of_its_plan() -> None:
    queue = MemoryQueue()
    await warmer(queue).run_once(START)
    await sent(queue, START, 10)
    assert figures(await standing(queue, START), START).day_ends == datetime(2026, 3, 3, tzinfo=UTC).timestamp()


async def test_gates_that_are_not_judged_today_have_no_limit() -> None:
    """An operator has seen what they say, and let the lane go on: nothing of it holds the lane until the next day."""
    queue = MemoryQueue()
    await warmer(queue).run_once(START)
    await sent(queue, START, 100, {Mark.BOUNCED: 4})
    shown = figures(await standing(queue, START), START)
    assert shown.gates["bounce"] == 0.04
    assert shown.limits["bounce"] == 0.02
    await say(queue, WARD, lambda progress: by_hand.resume(PLAN, progress, by="ann", why="", now=START), START)
    shown = figures(await standing(queue, START), START)
    assert shown.gates["bounce"] == 0.04
    assert not shown.limits
