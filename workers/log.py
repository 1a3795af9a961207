"""The log: one line per event, on which no receiver can write a line of its own.

What receivers, DNS and campaigns give us is text by strangers. Every value is bounded, and whatever a terminal or a log
reader could take for more than text (line ends, escapes, controls, direction marks, broken UTF-8) is written out visibly.
Lines are valid JSON, or plain words for people.

Events are encoded where they happen and written by a thread: a reader of our standard error that stops reading holds up no
mail. What it can't take is dropped and counted; the journal, not the log, is the record.
"""

import atexit
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal

import msgspec
import structlog

Log = structlog.typing.FilteringBoundLogger
Level = Literal["debug", "info", "warning", "error"]
Style = Literal["json", "console"]

VALUE_MOST = 2000  # characters kept of one value: its beginning and its end
LINE_MOST = select.PIPE_BUF  # a pipe takes so many octets in one piece, so that the lines of our processes never mix
_ITEMS_MOST = 100
_DEPTH_MOST = 4
_HELD_MOST = 8 * 1024 * 1024  # octets that wait for the writer
_WRITE_EVERY_S = 0.1
_LAST_WORDS_S = 2.0  # how long the end of the process waits for a reader that has stopped reading
_PEM_MARK = "PRIVATE KEY-----"
_ENCODE = msgspec.json.Encoder().encode


def printable(text: str, most: int = VALUE_MOST) -> str:
    """The text on one line of at most so many characters; what is not a printable character becomes an escape."""
    if len(text) <= most and text.isprintable():
        return text
    if _PEM_MARK in text:
        return "[a private key stood here]"
    if len(text) > most:
        head, tail = most * 3 // 4, most // 8
        text = f"{text[:head]}[{len(text) - head - tail} more]{text[-tail:]}"
    shown = text if text.isprintable() else "".join(map(_visible, text))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def clean(value: Any, most: int = VALUE_MOST, depth: int = 0) -> Any:
    """The value as JSON can carry it, every text in it printable; what goes too deep or on too long is cut."""
    if isinstance(value, str):
        return printable(value if type(value) is str else str(value), most)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 64 else printable(hex(value), most)
    if isinstance(value, bytes | bytearray):
        return printable(value.decode("utf-8", "backslashreplace"), most)
    if depth < _DEPTH_MOST and isinstance(value, Mapping):
        pairs = list(value.items())[:_ITEMS_MOST]
        return {printable(str(key), most): clean(inner, most, depth + 1) for key, inner in pairs}
    if depth < _DEPTH_MOST and isinstance(value, list | tuple | set | frozenset):
        return [clean(inner, most, depth + 1) for inner in list(value)[:_ITEMS_MOST]]
    return printable(str(value), most)


def _cleaned(values: Mapping[str, Any], most: int) -> dict[str, Any]:
    """As `clean`, for the values of one event: what is plain text already, nearly all, costs no call."""
    return {
        key: value if isinstance(value, str) and len(value) <= most and value.isprintable() else clean(value, most)
        for key, value in values.items()
    }


class Writer:
    """Takes lines from any thread without waiting, and writes them in order from a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._held = self._dropped = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def line(self, line: bytes) -> None:
        """Hand over one line, its end included."""
        with self._lock:
            if self._held > _HELD_MOST:
                self._dropped += 1
                return
            self._lines.append(line)
            self._held += len(line)

    msg = debug = info = warning = warn = error = critical = fatal = exception = log = line  # structlog calls by level

    def close(self) -> None:
        """Write what is left, as long as the reader takes it, and end the thread; later lines stay unwritten."""
        self._closing.set()
        self._thread.join(_LAST_WORDS_S)

    def _run(self) -> None:
        while not self._closing.wait(_WRITE_EVERY_S):
            self._write(self._taken())
        self._write(self._taken())

    def _taken(self) -> list[bytes]:
        with self._lock:
            lines, dropped = self._lines, self._dropped
            self._lines, self._held, self._dropped = [], 0, 0
        if dropped:
            lines.append(b'{"level":"warning","event":"log lines dropped","lines":%d}\n' % dropped)
        return lines

    def _write(self, lines: list[bytes]) -> None:
        piece = b""
        for line in lines:
            if len(piece) + len(line) > LINE_MOST:
                self._put(piece)
                piece = b""
            piece += line
        self._put(piece)

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return  # nobody reads any more: there is no better place to say so


class Renderer:
    """The one structlog processor: stamps, cleans and encodes an event in a single pass."""

    def __init__(self, role: str, style: Style = "json", clock: Callable[[], float] = time.time) -> None:
        self._role, self._clock = role, clock
        self._encode = _ENCODE if style == "json" else _words
        self._second, self._stamp = 0, ""

    def __call__(self, _: object, method: str, event: MutableMapping[str, Any]) -> bytes:
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(None, method, event)
        values = {"time": self.stamp(), "level": method, "role": self._role, "event": event.pop("event", ""), **event}
        for most in (VALUE_MOST, VALUE_MOST // 10, VALUE_MOST // 100):
            line = self._encode(_cleaned(values, most)) + b"\n"
            if len(line) <= LINE_MOST:
                break
        return line

    def stamp(self) -> str:
        """The time as lines show it."""
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"


def _words(event: dict[str, Any]) -> bytes:
    """The event for people: its head as it stands, then what belongs to it as key=value."""
    head = " ".join(str(event.pop(key)) for key in ("time", "level", "role", "event"))
    pairs = " ".join(f"{key}={_ENCODE(value).decode()}" for key, value in event.items())
    return f"{head}  {pairs}".rstrip().encode()


class _Libraries(logging.Handler):
    """What libraries say through `logging` becomes lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log: Log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), library=record.name)


def set_up(role: str, *, level: Level = "info", style: Style = "json", descriptor: int = 2) -> Writer:
    """Make `structlog.get_logger()` write lines of this process's `role` to standard error; once per process.

    The writer closes itself when the interpreter ends; a process that ends another way calls `close` before.
    """
    writer = Writer(descriptor)
    structlog.configure(
        processors=[Renderer(role, style)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
    atexit.register(writer.close)
    return writer
