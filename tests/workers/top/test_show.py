"""What no real terminal does when a test wants it."""

import errno
import io
import os
import signal
from pathlib import Path

import trio
from rich.console import Console

from sender.explaining.board import Change
from tests.workers.top.boards import board
from workers.top.show import Top
from workers.top.terminal import Terminal


class Vanishing(Terminal):
    """It is there for one picture."""

    pictures = 0

    @property
    def size(self) -> tuple[int, int]:
        if self.pictures:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return 80, 24

    def write(self, octets: bytes) -> None:
        self.pictures += 1


async def test_a_terminal_that_goes_while_a_key_is_read_is_one_that_has_gone(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"j")
    (told, changes), (called, signals) = trio.open_memory_channel[Change](0), trio.open_memory_channel[int](0)
    with told, changes, called, signals:
        top = Top(Change(board=await board(tmp_path)), Vanishing(reading, -1), Console(file=io.StringIO()), 1.0)
        await top.run(changes, signals)
    assert top.ended_by == signal.SIGHUP
    for end in (reading, writing):
        os.close(end)
