"""The supervisor with real child processes. Nobody sleeps: children say through a named pipe what they do."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from structlog.testing import CapturingLogger
from trio.testing import wait_all_tasks_blocked

from workers.log import Log
from workers.supervisor import Backoff, ChildSpec, Patience, Supervisor, _Child

QUICK = Patience(restart_first_s=0.01, restart_most_s=0.04, drain_s=60, let_go_s=60, probe_every_s=0.01, probe_misses=3)

SAYS = """
import os, signal, sys
pipe = os.open(os.environ["SAY"], os.O_WRONLY)
def say(what): os.write(pipe, f"{os.environ['NAME']} {what}\\n".encode())
"""
OBEYS = (
    SAYS + "signal.signal(signal.SIGTERM, lambda *_: (say('told'), sys.exit(0)))\nsay(f'started {os.getpid()}')\nsignal.pause()"
)
STUBBORN = (
    SAYS + "signal.signal(signal.SIGTERM, lambda *_: say('told'))\nsay(f'started {os.getpid()}')\nwhile 1: signal.pause()"
)
CRASHES = SAYS + "say(f'started {os.getpid()}')\nsys.exit(3)"
LETS_GO_WITH_PARENT = (
    SAYS
    + """
import trio
from workers.lifeline import drain_signals, take_lifeline
async def main():
    async with drain_signals(lifeline=take_lifeline()) as draining:
        say(f"started {os.getpid()}")
        await draining.wait()
        say("drained")
trio.run(main)
"""
)
SUPERVISES = """
import sys, trio
import structlog
from workers.lifeline import drain_signals
from workers.supervisor import ChildSpec, Patience, Supervisor
async def main():
    child = ChildSpec(name="child", argv=[sys.executable, "-c", sys.argv[1]], env={"NAME": "child"})
    async with drain_signals() as draining:
        await Supervisor([child], structlog.get_logger(), Patience(drain_s=3600)).run(draining)
trio.run(main)
"""


class Said:
    """The reading end of the named pipe."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # to write as well: so it never ends
        self._held = b""

    async def next(self) -> list[str]:
        with trio.fail_after(60):
            while b"\n" not in self._held:
                await trio.lowlevel.wait_readable(self._descriptor)
                self._held += os.read(self._descriptor, 4096)
        line, _, self._held = self._held.partition(b"\n")
        return line.decode().split()

    def nothing(self) -> bool:
        with suppress(BlockingIOError):
            self._held += os.read(self._descriptor, 4096)
        return not self._held

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def said(tmp_path: Path) -> Iterator[Said]:
    pipe = Said(tmp_path / "say")
    yield pipe
    pipe.close()


@pytest.fixture
def spec(said: Said, tmp_path: Path) -> Callable[..., ChildSpec]:
    def make(name: str, program: str, order: int = 0) -> ChildSpec:
        env = {"SAY": str(tmp_path / "say"), "NAME": name}
        return ChildSpec(name=name, argv=[sys.executable, "-c", program], env=env, order=order)

    return make


@pytest.fixture
def captured() -> CapturingLogger:
    return CapturingLogger()


@pytest.fixture
def log(captured: CapturingLogger) -> Log:
    made: Log = structlog.wrap_logger(
        captured,
        processors=[lambda _, __, event: ((), dict(event))],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    return made


def events(captured: CapturingLogger, event: str) -> list[dict[str, object]]:
    return [dict(call.kwargs) for call in captured.calls if call.kwargs["event"] == event]


def is_gone(pid: int) -> bool:
    """Neither running nor a zombie of ours."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_backoff_doubles_up_to_a_bound_and_forgets_after_a_good_run() -> None:
    backoff = Backoff(Patience(restart_first_s=0.5, restart_most_s=3, stable_s=60))
    assert [backoff.after(1) for _ in range(5)] == [0.5, 1, 2, 3, 3]
    assert backoff.after(61) == 0.5
    assert backoff.after(1) == 1


@pytest.mark.integration
async def test_a_child_that_ends_is_started_again(
    said: Said, spec: Callable[..., ChildSpec], log: Log, captured: CapturingLogger
) -> None:
    draining = trio.Event()
    pids, again = set(), list[str]()
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor([spec("delivery-0", CRASHES)], log, QUICK, lambda child: again.append(child.role))
        nursery.start_soon(supervisor.run, draining)
        for _ in range(4):
            pids.add(int((await said.next())[2]))
        draining.set()
    ended = events(captured, "child ended")[:3]
    assert [(line["child"], line["how"]) for line in ended] == [("delivery-0", "exit status 3")] * 3
    assert [line["restart_in_s"] for line in ended] == [0.01, 0.02, 0.04]
    assert len(pids) == 4
    assert again[:3] == ["delivery"] * 3
    assert len(again) == len(events(captured, "child started")) - 1  # the first start is none again
    assert all(map(is_gone, pids))


@pytest.mark.integration
@pytest.mark.row("F43")
async def test_a_killed_child_is_started_again(
    said: Said, spec: Callable[..., ChildSpec], log: Log, captured: CapturingLogger
) -> None:
    draining = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Supervisor([spec("signer-0", OBEYS)], log, QUICK).run, draining)
        os.kill(int((await said.next())[2]), signal.SIGKILL)
        await said.next()
        draining.set()
    assert events(captured, "child ended")[0]["how"] == "SIGKILL"


@pytest.mark.integration
async def test_a_program_that_is_not_there_is_tried_again() -> None:
    draining = trio.Event()
    told: list[str] = []

    def note(_: object, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        told.append(str(event.get("how")))
        if len(told) == 2:
            draining.set()
        return (), {}

    log = structlog.wrap_logger(CapturingLogger(), processors=[note])
    with trio.fail_after(60):
        await Supervisor([ChildSpec(name="x", argv=["/nonexistent/x"])], log, QUICK).run(draining)
    assert all("could not be started" in how for how in told[:2])


@pytest.mark.integration
async def test_draining_goes_group_by_group(said: Said, spec: Callable[..., ChildSpec], log: Log) -> None:
    """Delivery takes its time; until it has ended nobody else is told."""
    specs = [spec("signer", OBEYS, order=2), spec("expander", OBEYS, order=1), spec("delivery", STUBBORN)]
    draining = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Supervisor(specs, log, QUICK).run, draining)
        pids = {name: int(pid) for name, _, pid in [await said.next() for _ in specs]}
        draining.set()
        assert await said.next() == ["delivery", "told"]
        await wait_all_tasks_blocked()
        assert said.nothing()
        os.kill(pids["delivery"], signal.SIGKILL)  # it has done its work
        assert await said.next() == ["expander", "told"]
        assert await said.next() == ["signer", "told"]
    assert all(map(is_gone, pids.values()))


@pytest.mark.integration
async def test_who_is_asked_to_end_while_it_is_being_started_ends_in_order(
    said: Said, spec: Callable[..., ChildSpec], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    draining, start = trio.Event(), _Child._start

    async def slow(child: _Child) -> trio.Process:
        """The child is at work before we know that it has been started."""
        process = await start(child)
        assert (await said.next())[1] == "started"
        draining.set()
        await wait_all_tasks_blocked()
        return process

    monkeypatch.setattr(_Child, "_start", slow)
    await Supervisor([spec("delivery", OBEYS)], log, QUICK).run(draining)
    assert not said.nothing()
    assert await said.next() == ["delivery", "told"]


@pytest.mark.integration
async def test_who_is_not_done_in_time_is_killed(
    said: Said, spec: Callable[..., ChildSpec], log: Log, captured: CapturingLogger
) -> None:
    draining = trio.Event()
    async with trio.open_nursery() as nursery:
        patience = Patience(drain_s=0.01, let_go_s=0.01)
        nursery.start_soon(Supervisor([spec("delivery-0", STUBBORN)], log, patience).run, draining)
        pid = int((await said.next())[2])
        draining.set()
    assert is_gone(pid)
    assert events(captured, "child killed") == [
        {"event": "child killed", "child": "delivery-0", "why": "it did not end in time"}
    ]


@pytest.mark.integration
async def test_cancelled_it_leaves_nobody(said: Said, spec: Callable[..., ChildSpec], log: Log) -> None:
    specs = [spec(f"delivery-{number}", STUBBORN) for number in range(3)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Supervisor(specs, log, QUICK).run, trio.Event())
        pids = [int((await said.next())[2]) for _ in specs]
        nursery.cancel_scope.cancel()
    assert all(map(is_gone, pids))


@pytest.mark.integration
@pytest.mark.row("F44")
async def test_a_hung_child_is_replaced(
    said: Said, spec: Callable[..., ChildSpec], log: Log, captured: CapturingLogger
) -> None:
    """A stopped process takes no SIGTERM and closes no socket: only that it does not answer shows."""
    hung = list[int]()  # the one that comes after it answers from the first

    async def answers() -> bool:
        if hung and not is_gone(hung[0]):
            raise ConnectionRefusedError
        return True

    made = spec("signer-0", OBEYS)
    probed = ChildSpec(name=made.name, argv=made.argv, env=made.env, probe=answers)
    draining = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Supervisor([probed], log, QUICK).run, draining)
        first = int((await said.next())[2])
        os.kill(first, signal.SIGSTOP)
        hung.append(first)
        second = await said.next()
        assert second[1] == "started"
        assert is_gone(first)
        draining.set()
    assert events(captured, "child killed")[0]["why"] == "it did not answer 3 times in a row"


@pytest.mark.integration
async def test_a_probe_that_never_returns_counts_as_a_miss(said: Said, spec: Callable[..., ChildSpec], log: Log) -> None:
    mute = list[int]()

    async def silent() -> bool:
        if mute and not is_gone(mute[0]):
            await trio.sleep_forever()
        return True

    made = spec("signer-0", OBEYS)
    probed = ChildSpec(name=made.name, argv=made.argv, env=made.env, probe=silent)
    patience = Patience(restart_first_s=0.01, probe_every_s=0.01, probe_answer_s=0.01)
    draining = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Supervisor([probed], log, patience).run, draining)
        mute.append(int((await said.next())[2]))
        assert (await said.next())[1] == "started"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def supervisor_process(program: str, tmp_path: Path) -> AsyncIterator[trio.Process]:
    """A supervisor in a process of its own, with one child."""
    env = {**os.environ, "SAY": str(tmp_path / "say")}
    process = await trio.lowlevel.open_process([sys.executable, "-c", SUPERVISES, program], env=env)
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@pytest.mark.integration
async def test_children_end_when_the_supervisor_is_killed(said: Said, tmp_path: Path) -> None:
    async with supervisor_process(LETS_GO_WITH_PARENT, tmp_path) as process:
        assert (await said.next())[1] == "started"
        process.send_signal(signal.SIGKILL)
        assert await said.next() == ["child", "drained"]


@pytest.mark.integration
async def test_a_terminal_reaches_only_the_supervisor(said: Said, tmp_path: Path) -> None:
    async with supervisor_process(OBEYS, tmp_path) as process:
        child = int((await said.next())[2])
        assert os.getsid(child) == child
        process.send_signal(signal.SIGINT)
        assert await said.next() == ["child", "told"]
        assert await process.wait() == 0


@pytest.mark.integration
async def test_the_second_signal_ends_all_at_once(said: Said, tmp_path: Path) -> None:
    async with supervisor_process(STUBBORN, tmp_path) as process:
        child = int((await said.next())[2])
        process.send_signal(signal.SIGTERM)
        assert await said.next() == ["child", "told"]
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(60):
            assert await process.wait() == 0
        assert is_gone(child)
