"""A terminal, borrowed: its other screen, and keys as they are pressed; given back as it was, whatever ends us.

Keys come without Enter and without echo, but Ctrl-C, Ctrl-Z and the like stay what they are (cbreak mode, termios(3)).
"""

import errno
import os
import termios
import tty
from contextlib import suppress
from types import TracebackType
from typing import Any

# The other screen, no cursor, and nothing wraps: what is written to the last cell stays there (xterm's private modes).
_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_TRIES = 10


class Terminal:
    """The terminal of these two descriptors; a context manager, and `leave` and `enter` in between."""

    def __init__(self, keys: int, screen: int) -> None:
        self.keys, self._screen = keys, screen
        self._before: list[Any] | None = None  # its settings; None while it is not borrowed

    def __enter__(self) -> "Terminal":
        self.enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()

    def enter(self) -> None:
        """Borrow it. In the background this stops the process until it is in front, as for anybody who changes a terminal."""
        before = termios.tcgetattr(self.keys)
        after = termios.tcgetattr(self.keys)
        after[tty.LFLAG] &= ~(termios.ECHO | termios.ICANON)
        after[tty.CC][termios.VMIN], after[tty.CC][termios.VTIME] = 1, 0
        self._set(after)
        self._before = before
        self.write(_ENTER)

    def leave(self) -> None:
        """Give it back; nothing is said of one that is gone."""
        if self._before is not None:
            before, self._before = self._before, None
            with suppress(OSError):
                self.write(_LEAVE)
            with suppress(termios.error):
                self._set(before)

    def _set(self, settings: list[Any]) -> None:
        for _ in range(_TRIES):
            try:
                termios.tcsetattr(self.keys, termios.TCSADRAIN, settings)
            except termios.error as error:
                if error.args[0] != errno.EINTR:  # a signal, as the one that brings us to the front
                    raise
            else:
                return

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        columns, lines = os.get_terminal_size(self._screen)
        return columns, lines

    def read(self) -> bytes:
        """What was typed; b"" once the terminal is gone."""
        try:
            return os.read(self.keys, 1024)
        except OSError:
            return b""

    def write(self, octets: bytes) -> None:
        while octets:
            octets = octets[os.write(self._screen, octets) :]

    def __repr__(self) -> str:
        return f"<Terminal {'borrowed' if self._before is not None else 'as it was'}>"
