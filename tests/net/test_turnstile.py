"""So many in a pass, the others in the next ones; nobody is forgotten, whoever is cancelled on the way."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sender.net.turnstile import Turnstile


class Passes(trio.abc.Instrument):
    """Numbers the passes of the loop."""

    def __init__(self) -> None:
        self.number = 0

    def after_io_wait(self, timeout: float) -> None:
        self.number += 1


@asynccontextmanager
async def running(turnstile: Turnstile) -> AsyncIterator[Passes]:
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turnstile.run)
        await wait_all_tasks_blocked()
        yield passes
        nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(passes)


async def go(turnstile: Turnstile) -> None:
    if not turnstile.enter_nowait():
        await turnstile.wait()


async def crowd(turnstile: Turnstile, passes: Passes, count: int) -> list[int]:
    """So many who are ready in the same pass; the pass in which each went on."""
    gone: list[int] = []

    async def session() -> None:
        await go(turnstile)
        gone.append(passes.number)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(session)
    return gone


async def test_a_few_go_on_at_once_and_the_loop_is_asked_nothing() -> None:
    turnstile = Turnstile(3)
    async with running(turnstile) as passes:
        for _ in range(4):
            assert len(set(await crowd(turnstile, passes, 3))) == 1


async def test_a_crowd_goes_on_by_so_many_a_pass() -> None:
    turnstile = Turnstile(3)
    async with running(turnstile) as passes:
        gone = Counter(await crowd(turnstile, passes, 100))
    assert max(gone.values()) <= 3
    assert len(gone) == max(gone) - min(gone) + 1 == 34


async def test_who_came_first_goes_on_first() -> None:
    turnstile, order = Turnstile(1), list[int]()

    async def session(number: int) -> None:
        await go(turnstile)
        order.append(number)

    async with running(turnstile), trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(go, turnstile)
        for number in range(5):  # one a pass, behind those who wait already
            await trio.lowlevel.checkpoint()
            nursery.start_soon(session, number)
    assert order == list(range(5))


@pytest.mark.parametrize("cancelled", [range(10), range(10, 20), range(0, 20, 2), range(19)])
async def test_who_is_cancelled_in_the_line_holds_up_nobody(autojump_clock: MockClock, cancelled: range) -> None:
    turnstile, gone, scopes = Turnstile(2), list[int](), list[trio.CancelScope]()

    async def session(number: int) -> None:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            await trio.lowlevel.checkpoint()
            await go(turnstile)
            gone.append(number)

    with trio.fail_after(1):
        async with running(turnstile), trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(session, number)
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            for place in cancelled:
                scopes[place].cancel()
    assert len(gone) >= 20 - len(cancelled)


async def test_while_nobody_counts_passes_everybody_goes_on(autojump_clock: MockClock) -> None:
    turnstile = Turnstile(1)
    for _ in range(5):
        assert turnstile.enter_nowait()
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as others:
            others.start_soon(turnstile.run)
            await wait_all_tasks_blocked()
            for _ in range(50):
                nursery.start_soon(go, turnstile)
            await trio.lowlevel.checkpoint()
            others.cancel_scope.cancel()
        assert turnstile.enter_nowait()
        await wait_all_tasks_blocked()
        assert repr(turnstile) == "<Turnstile of 1: 0 wait>"
