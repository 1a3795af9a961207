"""A fleet that is told to stop under load, once or twice: nobody is lost, and only who was in doubt may get two copies.

What is not told but killed is the fault matrix's business.
"""

import signal
import time

import pytest
import trio

from sender.model import State
from tests.scenarios.stage import BOUND_S, Stage, eventually, readers, stage

pytestmark = pytest.mark.integration

RECIPIENTS = 2_500
UNDER_LOAD = 200  # delivered: from here on every part of the fleet is at work


async def under_load(play: Stage, campaign: str = "spring") -> None:
    """Submit, and wait until delivery is in full swing; it will not be over before we have looked."""
    await play.receivers_think(0.3)
    await play.submit(campaign, readers(RECIPIENTS))

    async def check() -> bool:
        return await play.delivered(campaign) >= UNDER_LOAD

    await eventually("the first deliveries", check)


async def drains(play: Stage) -> bool:
    return bool(play.logged("draining"))


async def nothing_runs(play: Stage) -> bool:
    return play.fleet_processes() == {}


async def doubled(play: Stage, stopped_at: float) -> set[str]:
    """Who got two copies; none of them had been recorded as delivered before the stop."""
    copies = play.copies()
    twice = {recipient for recipient, count in copies.items() if count > 1}
    recorded = await play.told_delivered()
    assert [recipient for recipient in twice if recorded.get(recipient, 0) < stopped_at] == []
    assert max(copies.values()) <= 2
    return twice


async def test_sigterm_under_load_loses_nothing_and_doubles_nothing() -> None:
    async with stage() as play:
        async with play.fleet() as fleet:
            await under_load(play)
            began = trio.current_time()
            fleet.send_signal(signal.SIGTERM)
            with trio.fail_after(BOUND_S):
                assert await fleet.wait() == 0
            seconds = trio.current_time() - began
            assert play.logged("child killed") == []
            assert play.logged("drained")
            assert play.fleet_processes() == {}
        assert sum(play.copies().values()) < RECIPIENTS, "too fast: everything was delivered before the stop"
        await play.receivers_think(0)
        async with play.fleet():
            await play.finished("spring")
            assert play.logged("reclaimed") == [], "a fleet that ends in order leaves nothing leased"
            assert await play.conserved("spring") == {State.DELIVERED: RECIPIENTS}
            assert set(play.copies().values()) == {1}
    assert seconds < BOUND_S


async def test_sigterm_twice_stops_at_once_and_loses_nothing() -> None:
    async with stage() as play:
        async with play.fleet() as fleet:
            await under_load(play)
            fleet.send_signal(signal.SIGTERM)
            await eventually("it has heard the first one: two that wait together are one", lambda: drains(play))
            fleet.send_signal(signal.SIGTERM)
            stopped_at = time.time()
            with trio.fail_after(BOUND_S):
                await fleet.wait()
            await eventually("its store has followed it", lambda: nothing_runs(play))
        await play.receivers_think(0)
        async with play.fleet():
            await play.finished("spring")
            assert await play.conserved("spring") == {State.DELIVERED: RECIPIENTS}
            await doubled(play, stopped_at)
