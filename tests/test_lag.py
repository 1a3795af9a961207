"""The loop's lateness on a clock that moves only where a test moves it: a task that works is one that does."""

import trio
from trio.testing import MockClock

from sender.lag import EVERY_S, watch


async def lags(clock: MockClock, busy: dict[float, float]) -> list[float]:
    """What four looks tell, while tasks that begin at these moments keep the loop for so long each."""
    told, tell = list[float](), trio.Event()

    def late(seconds: float) -> None:
        told.append(round(seconds, 6))
        if len(told) == 4:
            tell.set()

    async def work(at: float, seconds: float) -> None:
        await trio.sleep(at)
        clock.jump(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, late)
        for at, seconds in busy.items():
            nursery.start_soon(work, at, seconds)
        await tell.wait()
        nursery.cancel_scope.cancel()
    return told


async def test_a_loop_with_nothing_to_do_is_never_late(autojump_clock: MockClock) -> None:
    assert await lags(autojump_clock, {}) == [0, 0, 0, 0]


async def test_a_task_that_keeps_the_loop_shows_by_as_much_as_it_overran_the_look(autojump_clock: MockClock) -> None:
    at = EVERY_S - 0.01
    assert await lags(autojump_clock, {at: 0.03}) == [0.02, 0, 0, 0]


async def test_what_comes_between_two_looks_is_not_seen_and_the_next_look_is_as_far_away(autojump_clock: MockClock) -> None:
    assert await lags(autojump_clock, {EVERY_S / 4: EVERY_S / 4, 2 * EVERY_S - 0.01: 5.0}) == [0, 4.99, 0, 0]
