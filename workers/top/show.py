"""The live picture: looks at the fleet, keys and signals side by side; whatever changes, the screen is drawn anew."""

import os
import signal
import termios
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from math import inf

import trio
from rich.console import Console

from sender.explaining.board import Board, Boards, Change, changes
from workers.top.columns import TABLES
from workers.top.keys import Keys
from workers.top.screen import Rows, Seen, body_height, draw
from workers.top.terminal import Terminal
from workers.top.view import View, press

_ESCAPE_S = 0.05  # what follows an escape character later than this is no part of a sequence
_LATE_S = 3.0  # by which a look may be late before the screen says so
_HISTORY = 600  # looks
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_SIGNALS = (signal.SIGINT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH, *_ENDING)


class Top:
    """What is on the screen of one terminal."""

    def __init__(self, first: Change, terminal: Terminal, console: Console, every_s: float) -> None:
        self._terminal, self._console, self._every_s = terminal, console, every_s
        self._view, self._change = View(), first
        self._shown: Board = first.board  # while it stands still, what was seen then
        self._seen_at = trio.current_time()
        self._height = 0  # of what was painted last
        self._history: deque[float] = deque(maxlen=_HISTORY)
        self._anew = trio.Event()
        self.ended_by = 0  # the signal

    async def run(self, stream: AsyncIterator[Change], signals: AsyncIterator[int]) -> None:
        """Show what comes until a key or a signal ends it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, stream)
            nursery.start_soon(self._listen)
            nursery.start_soon(self._heed, signals)
            while not self._view.over:
                try:
                    self._paint()
                except OSError:  # the terminal is gone
                    self._end(signal.SIGHUP)
                    break
                with trio.move_on_after(1.0):  # how far behind it is changes as well
                    await self._anew.wait()
                self._anew = trio.Event()
            nursery.cancel_scope.cancel()

    async def _watch(self, stream: AsyncIterator[Change]) -> None:
        async for change in stream:
            self._change = change
            if not change.trouble:
                self._seen_at = trio.current_time()
                self._history.append(change.board.fleet.per_second or 0.0)
            if not self._view.paused:
                self._shown = change.board
            self._anew.set()

    async def _listen(self) -> None:
        keys = Keys()
        while True:
            with trio.move_on_after(_ESCAPE_S if keys.pending else inf) as patience:
                await trio.lowlevel.wait_readable(self._terminal.keys)
            if patience.cancelled_caught:
                pressed = keys.flush()
            elif octets := self._terminal.read():
                pressed = keys.feed(octets)
            else:
                self._end(signal.SIGHUP)
                return
            for key in pressed:
                self._press(key)
            self._anew.set()

    def _press(self, key: str) -> None:
        shown, orders = Rows.of(self._view, self._shown), TABLES[self._view.page].orders
        self._view = press(self._view, key, shown.names, body_height(self._height), len(orders))
        if not self._view.paused:
            self._shown = self._change.board

    async def _heed(self, signals: AsyncIterator[int]) -> None:
        """Signals: those that end it, Ctrl-Z and what brings it back, and another size."""
        async for number in signals:
            if number == signal.SIGINT or number in _ENDING:
                self._end(0 if number == signal.SIGINT else number)
                return
            if number == signal.SIGTSTP:
                self._terminal.leave()
                os.kill(os.getpid(), signal.SIGSTOP)  # what follows is the next thing that this process does, whenever that is
            if number in (signal.SIGTSTP, signal.SIGCONT):
                self._terminal.leave()  # who stopped us from outside may have changed its settings
                try:
                    self._terminal.enter()
                except (OSError, termios.error):  # it is gone
                    self._end(signal.SIGHUP)
                    return
            self._anew.set()

    def _end(self, number: int) -> None:
        self.ended_by = number
        self._view = replace(self._view, over=True)
        self._anew.set()

    def _paint(self) -> None:
        width, height = self._terminal.size
        self._height = height
        late_s = trio.current_time() - self._seen_at
        trouble = self._change.trouble
        if not trouble and late_s > self._every_s + _LATE_S:
            trouble = "the store has not answered yet"
        seen = Seen(board=self._shown, trouble=trouble, behind_s=late_s, history=tuple(self._history))
        lines = draw(self._view, seen, width, height)
        with self._console.capture() as captured:
            for line in lines:
                line.pad_right(max(0, width - line.cell_len))
                self._console.print(line, soft_wrap=True)
        frame = "\x1b[H" + "\r\n".join(captured.get().split("\n")[:height])
        self._terminal.write(frame.encode(self._console.encoding, "replace"))


async def show(console: Console, every_s: float, boards: Boards) -> int:
    """Show the fleet until somebody ends it; gives the number of the signal that did, or 0.

    Raises BackendError where not even the first look succeeds: before the terminal is touched.
    """
    async with aclosing(changes(boards, every_s)) as stream:
        first = await anext(stream)
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)  # for a second one, which trio hands back when the receiver is closed
        with (
            trio.open_signal_receiver(*_SIGNALS) as signals,
            Terminal(0, 1) as terminal,
        ):  # in this order: none may slip through
            top = Top(first, terminal, console, every_s)
            await top.run(stream, signals)
    return top.ended_by
