"""`penstock demo` as somebody would start it: it tells, it adds up, and it leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.scenarios.stage import eventually, processes_of
from workers.demo.scene import stage

pytestmark = pytest.mark.integration


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[tuple[trio.Process, Path, Path]]:
    """The demo, one directory for all that it could leave behind, and its output."""
    stack = ExitStack()
    home = stack.enter_context(stage())
    output = stack.enter_context(stage()) / "output"
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"), str(home))
    command = [sys.executable, "-m", "workers.cli", "demo", *arguments]
    with output.open("wb") as file:
        process = await trio.lowlevel.open_process(
            command,
            env={**os.environ, **places},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process, home, output
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        for number in processes_of(home):
            os.kill(number, signal.SIGKILL)
        stack.close()


def nothing_left(home: Path) -> None:
    assert processes_of(home) == {}
    assert [str(path) for path in home.rglob("*")] == []


async def test_it_adds_up_and_leaves_nothing() -> None:
    async with demo("--recipients", "300") as (process, home, output):
        with trio.fail_after(100):
            status = await process.wait()
        told = output.read_text()
        assert status == 0, told
        assert "recipients submitted" in told
        assert "does not add up" not in told
        nothing_left(home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["the emulator starts", "the fleet starts", "mail is sent"])
async def test_ended_in_the_middle_it_leaves_nothing(number: signal.Signals, moment: str) -> None:
    async with demo("--recipients", "20000") as (process, home, output):

        async def has_come() -> bool:
            running = processes_of(home).values()
            match moment:
                case "the emulator starts":
                    return any("emulator" in words for words in running)
                case "the fleet starts":
                    return any("run delivery" in words for words in running)
                case _:
                    logs = list(home.glob("*/fleet.log"))
                    return any(b'"event":"attempt"' in log.read_bytes() for log in logs)

        await eventually(moment, has_come)
        process.send_signal(number)
        with trio.fail_after(60):
            assert await process.wait() != 0
        assert "Traceback" not in output.read_text()
        nothing_left(home)


async def test_a_closed_terminal_ends_it_in_order() -> None:
    async with demo("--recipients", "20000") as (process, home, _):
        await eventually("the fleet starts", lambda: has_started(home))
        process.send_signal(signal.SIGHUP)
        with trio.fail_after(60):
            assert await process.wait() != 0
        nothing_left(home)


async def test_killed_it_leaves_no_process() -> None:
    async with demo("--recipients", "20000") as (process, home, _):
        await eventually("the fleet starts", lambda: has_started(home))
        process.kill()

        async def all_ended() -> bool:
            return processes_of(home) == {}

        await eventually("every process has ended", all_ended)


async def has_started(home: Path) -> bool:
    return any("run delivery" in words for words in processes_of(home).values())
