"""`penstock top` as somebody sees it who sits before it: a real terminal, a real store, keys and signals."""

import os
import signal
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from rich.cells import cell_len

from sender.errors import BackendError
from sender.queue import open_queue
from sender.queue.base import Queue
from tests.redis.servers import Server, one_server
from tests.rig import submitted
from tests.workers.top.boards import configured, said
from tests.workers.top.pty import ENTER, LEAVE, Typist, typing
from workers.top.terminal import Terminal

pytestmark = pytest.mark.integration

_OWNER = "alpha/1"


async def tell(queue: Queue) -> None:
    """What a delivery process would say, again and again: each lane takes a hundred messages a second."""
    while True:
        with suppress(BackendError):
            now = await queue.time()
            lanes = [replace(one, at=now, refused_at=now - 5, taken=int(now * 100) % 10**9) for one in said()]
            await queue.report_lanes(_OWNER, lanes)
        await trio.sleep(0.1)


@asynccontextmanager
async def fleet(directory: Path) -> AsyncIterator[Server]:
    """A store in which lanes report and a campaign waits, and the configuration of `penstock top` for it."""
    configured(directory)
    async with one_server(directory / "store") as server:
        (directory / "penstock.toml").write_text(f'[redis]\nurl = "{server.url}"\n')
        queue = await open_queue(server.url)
        await queue.join(_OWNER)
        await submitted(queue, 500)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell, queue)
            yield server
            nursery.cancel_scope.cancel()
        await queue.aclose()


def shows(*words: str) -> Callable[[list[str]], bool]:
    return lambda lines: all(any(word in line for line in lines) for word in words)


def rows(lines: list[str]) -> list[str]:
    """The table's rows."""
    return [line for line in lines[4:19] if line.strip()]


async def test_a_session_before_the_screen(tmp_path: Path) -> None:
    async with fleet(tmp_path) as server, typing(["top", "--interval", "0.2", "--config", str(tmp_path)]) as typist:
        await _first_looks(typist)
        await _keys(typist)
        typist.resize(140, 40)
        wide = await typist.until(lambda lines: len(lines) == 40 and "ref/s" in lines[3])
        assert {cell_len(line) for line in wide} == {140}
        await _the_store_goes_and_comes(typist, server)
        await _ctrl_z(typist)
        typist.press("q")
        assert await typist.ended() == 0
        assert typist.as_it_was()
        assert b"Traceback" not in typist.seen


async def _first_looks(typist: Typist) -> None:
    lines = await typist.until(shows("google", "msg/s", "last refusal"))
    assert {cell_len(line) for line in lines} == {80}, "nothing wraps: each line is as wide as the terminal"
    assert len(lines) == 24
    assert rows(lines)[0].startswith("free "), "held up: it comes first"
    assert "550 ?[2J?[31m" in "".join(lines), "a receiver's words can't paint the screen"
    assert b"\x1b[31mred" not in typist.seen
    assert b"forged line\x07" not in typist.seen
    await typist.until(lambda lines: lines[0].startswith(tuple("123456789")))


async def _keys(typist: Typist) -> None:
    typist.press("\t")
    await typist.until(shows("receiver", "lanes state"))
    typist.press("\t")
    campaigns = await typist.until(shows("campaign ", "spring"))
    assert "500" in rows(campaigns)[0]
    typist.press("l/mICROSOFT365")
    await typist.until(shows("filter: mICROSOFT365_"))
    typist.press("\r")
    filtered = await typist.until(lambda lines: len(rows(lines)) == 1 and "_ (" not in lines[2])
    assert rows(filtered)[0].startswith("microsoft365 s1")
    typist.press("\x1b")
    await typist.until(lambda lines: "filter" not in lines[2])
    typist.press("s")
    by_name = await typist.until(shows("sort: receiver"))
    assert rows(by_name)[0].startswith("big ")
    typist.press("r")
    await typist.until(lambda lines: rows(lines)[0].startswith("yahoo "))
    typist.press("?")
    await typist.until(shows("any key goes back"))
    typist.press("xrS")
    typist.press(" ")
    await typist.until(shows("standing still", "sort: trouble"))
    typist.press(" ")


async def _the_store_goes_and_comes(typist: Typist, server: Server) -> None:
    server.kill()
    await server.wait()
    gone = await typist.until(lambda lines: "can't be reached: Connection refused" in lines[2])  # not of a call under way
    assert "behind: " in gone[2]
    assert any(row.startswith("google") for row in gone), "what was seen last stays"
    await server.start()
    await typist.until(lambda lines: "behind: " not in lines[2])


async def _ctrl_z(typist: Typist) -> None:
    """The shell gets its terminal back, and we get it again."""
    times = typist.seen.count(LEAVE)
    typist.press("\x1a")
    await typist.until_written(LEAVE, times + 1)
    await typist.stopped()
    assert typist.as_it_was()
    os.kill(typist.process.pid, signal.SIGCONT)
    await typist.until_written(ENTER, typist.seen.count(ENTER) + 2)  # once by itself, and once more for the signal
    assert not typist.as_it_was()
    typist.press("\t")
    await typist.until(shows("lanes state"))


def all_at_once(typist: Typist) -> None:
    """One that ends it, and another before it has."""
    for number in (signal.SIGSTOP, signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
        os.kill(typist.process.pid, number)


ENDS: tuple[tuple[Callable[[Typist], None], set[int]], ...] = (
    (lambda typist: typist.press("\x03"), {0}),
    (lambda typist: typist.press("\x1c"), {128 + signal.SIGQUIT}),
    (lambda typist: os.kill(typist.process.pid, signal.SIGTERM), {128 + signal.SIGTERM}),
    (lambda typist: os.kill(typist.process.pid, signal.SIGHUP), {128 + signal.SIGHUP}),
    (all_at_once, {128 + signal.SIGHUP, 128 + signal.SIGTERM}),  # two of its threads may take one each: either is the first
)


async def test_whatever_ends_it_the_terminal_is_as_it_was(tmp_path: Path) -> None:
    async def one(end: Callable[[Typist], None], statuses: set[int]) -> None:
        async with typing(["top", "--interval", "0.2", "--config", str(tmp_path)]) as typist:
            await typist.until(shows("google"))
            assert not typist.as_it_was()
            end(typist)
            assert await typist.ended() in statuses
            assert typist.as_it_was()
            assert b"Traceback" not in typist.seen

    async with fleet(tmp_path), trio.open_nursery() as nursery:
        for end, statuses in ENDS:
            nursery.start_soon(one, end, statuses)


async def test_it_ends_with_a_connection_that_is_lost(tmp_path: Path) -> None:
    async with fleet(tmp_path), typing(["top", "--interval", "0.2", "--config", str(tmp_path)]) as typist:
        await typist.until(shows("google"))
        typist.hang_up()
        with trio.fail_after(120):
            assert await typist.process.wait() == 128 + signal.SIGHUP


async def test_without_a_store_the_terminal_is_not_touched(tmp_path: Path) -> None:
    configured(tmp_path)
    (tmp_path / "penstock.toml").write_text('[redis]\nurl = "redis://127.0.0.1:1"\n')
    async with typing(["top", "--config", str(tmp_path)]) as typist:
        assert await typist.ended() == 75
        assert ENTER not in typist.seen
        assert b"Error: " in typist.seen


async def test_an_error_gives_the_terminal_back() -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    terminal = Terminal(slave, slave)

    def fail() -> None:
        with terminal:
            assert termios.tcgetattr(slave) != before
            raise ValueError("oh")

    with pytest.raises(ValueError, match="oh"):
        fail()
    assert termios.tcgetattr(slave) == before
    seen = b""
    with trio.fail_after(30):
        while not seen.endswith(LEAVE):
            await trio.lowlevel.wait_readable(master)
            seen += os.read(master, 1000)
    terminal.leave()
    assert repr(terminal) == "<Terminal as it was>"
    os.close(slave)
    os.close(master)
