"""`penstock demo` as somebody would start it: it tells, it adds up, and it leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from sender.model import State
from tests.prometheus import Prometheus
from tests.scenarios.stage import eventually, processes_of
from workers.demo.scene import stage

pytestmark = pytest.mark.integration

PATIENT_S = 240.0  # one that takes longer hangs


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
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(number, signal.SIGKILL)
        stack.close()


def nothing_left(home: Path) -> None:
    assert processes_of(home) == {}
    assert [str(path) for path in home.rglob("*")] == []


async def test_it_adds_up_and_leaves_nothing() -> None:
    async with demo("--recipients", "300") as (process, home, output):
        with trio.fail_after(PATIENT_S):
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
        with trio.fail_after(PATIENT_S):
            assert await process.wait() != 0
        assert "Traceback" not in output.read_text()
        nothing_left(home)


async def test_a_closed_terminal_ends_it_in_order() -> None:
    async with demo("--recipients", "20000") as (process, home, _):
        await eventually("the fleet starts", lambda: has_started(home))
        process.send_signal(signal.SIGHUP)
        with trio.fail_after(PATIENT_S):
            assert await process.wait() != 0
        nothing_left(home)


async def test_a_prometheus_beside_it_scrapes_every_process_and_ends_with_it() -> None:
    async with demo("--recipients", "300", "--keep", "--prometheus") as (process, home, output):

        async def stays() -> object:
            return re.search(r"Prometheus.+: (http://127\.0\.0\.1:\d+)", output.read_text())

        await eventually("the demo stays up and says where Prometheus is", stays, PATIENT_S)
        server = Prometheus(re.findall(r"Prometheus.+: (http://\S+)", output.read_text())[0])
        up = {(each["metric"]["role"], each["value"][1]) for each in await server.series("up")}
        assert up == {(role, "1") for role in ("expander", "scheduler", "delivery", "consumer", "supervisor")}
        assert len(await server.series("up")) == 6
        assert {rule["type"] for rule in await server.rules()} == {"recording", "alerting"}

        async def judged() -> object:
            healthy = {rule["health"] for rule in await server.rules()} == {"ok"}
            flows = await server.series('job_outcome:penstock_deliveries:rate5m{outcome="delivered"} > 0')
            return healthy and flows and await server.series("penstock_warmup_stage")

        await eventually("every rule has been asked, and mail and warmups are seen", judged)
        (events,) = home.glob("*/state/events/demo.jsonl")

        async def told() -> bool:
            kinds = [json.loads(line)["type"] for line in events.read_text().splitlines()]
            return sum(kind in set(State) for kind in kinds) == 300

        await eventually("the file has the end of every recipient", told)
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENT_S):
            assert await process.wait() != 0
        nothing_left(home)


async def test_without_the_program_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with demo("--prometheus") as (process, home, output):
        with trio.fail_after(PATIENT_S):
            assert await process.wait() != 0
        assert "no `prometheus` on PATH: install it (`apt install prometheus`" in output.read_text()
        nothing_left(home)


async def test_killed_it_leaves_no_process() -> None:
    async with demo("--recipients", "20000", "--prometheus") as (process, home, _):
        await eventually("the fleet starts", lambda: has_started(home))
        process.kill()

        async def all_ended() -> bool:
            return processes_of(home) == {}

        await eventually("every process has ended", all_ended)


async def has_started(home: Path) -> bool:
    return any("run delivery" in words for words in processes_of(home).values())
