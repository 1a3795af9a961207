"""A program in a terminal of its own, whose keys a test presses and whose screen it reads."""

import fcntl
import os
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from tests.redis.servers import until

_PATIENCE_S = 120.0  # programs start beside each other, on a machine that has other work
_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_HOME = "\x1b[H"
_LOOKED_AT = 200_000  # octets: some screens
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


class Typist:
    """Sits before the terminal."""

    def __init__(self, master: int, slave: int, process: trio.Process, before: list[Any]) -> None:
        self._master, self._slave, self.process, self._before = master, slave, process, before
        self.seen = b""  # all that was ever written

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def hang_up(self) -> None:
        """The connection is lost: the kernel tells the program, and takes the terminal away."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, self._master)
        os.close(null)

    def resize(self, columns: int, lines: int) -> None:
        """The kernel tells the program that is in front."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def lines(self) -> list[str]:
        """The last whole screen: one that another has followed, since what comes in pieces has no end of its own."""
        height = struct.unpack("HHHH", fcntl.ioctl(self._master, termios.TIOCGWINSZ, bytes(8)))[0]
        frames = self.seen[-_LOOKED_AT:].decode(errors="replace").split(_HOME)[1:-1]
        whole = [_STYLES.sub("", frame).split("\r\n") for frame in frames[-1:]]
        return whole[0] if whole and len(whole[0]) == height else []

    async def until(self, wanted: Callable[[list[str]], Any]) -> list[str]:
        """Read until the screen is as wanted; the screen."""
        await self._read_until(lambda: bool(self.lines and wanted(self.lines)))
        return self.lines

    async def until_written(self, octets: bytes, times: int = 1) -> None:
        await self._read_until(lambda: self.seen.count(octets) >= times)

    async def _read_until(self, answer: Callable[[], bool]) -> None:
        with trio.move_on_after(_PATIENCE_S):
            while not answer():
                await trio.lowlevel.wait_readable(self._master)
                self.seen += os.read(self._master, 65_536)
            return
        raise AssertionError("waited in vain; the screen is\n" + "\n".join(self.lines))

    async def stopped(self) -> None:
        """Wait until the program stands still (its state in /proc is T)."""
        await until(self._stands_still, "the program to stand still")

    async def _stands_still(self) -> bool:
        stat = await trio.Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    async def ended(self) -> int:
        """Read on until it has ended; how."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_until, lambda: False)
            with trio.fail_after(_PATIENCE_S):
                status = await self.process.wait()
            nursery.cancel_scope.cancel()
        self._rest()
        return status

    def _rest(self) -> None:
        """What it has written last: the kernel hands out a few kilobytes at a time."""
        os.set_blocking(self._master, False)
        with suppress(BlockingIOError):
            while True:
                self.seen += os.read(self._master, 65_536)

    def as_it_was(self) -> bool:
        """Whether the terminal's settings are those from before, and the other screen was left."""
        return termios.tcgetattr(self._slave) == self._before and self.seen.count(ENTER) == self.seen.count(LEAVE)


@asynccontextmanager
async def typing(arguments: Sequence[str], columns: int = 80, lines: int = 24) -> AsyncIterator[Typist]:
    """`penstock` with these arguments, in front of a terminal of this size."""
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    before = termios.tcgetattr(slave)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "workers.cli", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "TZ": "UTC"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    try:
        yield Typist(master, slave, process, before)
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        os.close(slave)
        os.close(master)
