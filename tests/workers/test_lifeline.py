import os
import signal
import subprocess
import sys

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sender.errors import ConfigError
from workers.lifeline import LIFELINE, drain_signals, take_lifeline, wait_parent_gone


async def test_the_first_signal_asks_for_draining(autojump_clock: MockClock) -> None:
    async with drain_signals() as draining:
        await wait_all_tasks_blocked()
        assert not draining.is_set()
        signal.raise_signal(signal.SIGTERM)
        await draining.wait()
        await trio.sleep(3600)  # the block goes on for as long as it needs
        finished = True
    assert finished


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_the_second_signal_cancels(autojump_clock: MockClock, first: signal.Signals) -> None:
    came_to_its_end = False
    async with drain_signals() as draining:
        signal.raise_signal(first)
        await draining.wait()
        signal.raise_signal(signal.SIGTERM)
        await trio.Event().wait()
        came_to_its_end = True
    assert not came_to_its_end


async def test_draining_is_bounded(autojump_clock: MockClock) -> None:
    with trio.fail_after(2000):
        await _drain_for_ever()
    assert trio.current_time() == pytest.approx(1030)


async def _drain_for_ever() -> None:
    async with drain_signals(drain_s=30) as draining:
        await trio.sleep(1000)
        signal.raise_signal(signal.SIGTERM)
        await draining.wait()
        await trio.Event().wait()


async def test_the_end_of_the_supervisor_begins_draining(autojump_clock: MockClock) -> None:
    lifeline, held = os.pipe()
    async with drain_signals(drain_s=10, lifeline=lifeline) as draining:
        await wait_all_tasks_blocked()
        assert not draining.is_set()
        os.close(held)
        with trio.fail_after(60):
            await draining.wait()
    os.close(lifeline)


async def test_a_block_that_ends_leaves_the_signals_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with drain_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


async def test_what_is_written_to_the_lifeline_means_nothing(nursery: trio.Nursery) -> None:
    lifeline, held = os.pipe()
    os.write(held, b"x")
    gone = trio.Event()

    async def wait() -> None:
        await wait_parent_gone(lifeline)
        gone.set()

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    assert not gone.is_set()
    os.close(held)
    await gone.wait()
    os.close(lifeline)


def test_the_lifeline_is_taken_once_and_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    lifeline, held = os.pipe()
    os.set_inheritable(lifeline, True)
    monkeypatch.setenv(LIFELINE, str(lifeline))
    assert take_lifeline() == lifeline
    assert not os.get_inheritable(lifeline)
    assert take_lifeline() is None
    os.close(lifeline)
    os.close(held)


@pytest.mark.parametrize("value", ["", "nine", "4711", "-1"])
def test_a_lifeline_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(LIFELINE, value)
    with pytest.raises(ConfigError, match=LIFELINE):
        take_lifeline()


STUCK = """
import signal, threading, trio
from workers.lifeline import drain_signals
async def main():
    async with drain_signals(last_words=lambda: print("last words", flush=True)) as draining:
        signal.raise_signal(signal.SIGTERM)
        await draining.wait()
        signal.raise_signal(signal.SIGTERM)
        await trio.to_thread.run_sync(threading.Event().wait)
trio.run(main)
"""


@pytest.mark.integration
def test_a_thread_that_never_returns_does_not_keep_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 70
    assert ended.stdout == b"last words\n"
