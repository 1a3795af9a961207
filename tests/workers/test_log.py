import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from workers.log import LINE_MOST, VALUE_MOST, Log, Renderer, Writer, printable, set_up

HOSTILE = [
    '250 ok\r\n{"level":"info","event":"forged"}',
    "\x1b[2J\x1b[1;31mred\x07",
    "nul \x00 and delete \x7f and next line \x85 and c1 \x9b31m",
    "separators \u2028 \u2029 and directions \u202e\u2066",
    "surrogate \udcff from a broken octet",
    '"}, {"',
    "\\n written out",
]


def rendered(**values: Any) -> bytes:
    return Renderer("test", clock=lambda: 1_700_000_000.25)(None, "info", {"event": "reply", **values})


@pytest.fixture
def root_logging() -> Iterator[None]:
    """Undoes what `set_up` does to the process."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.row("S19")
def test_hostile_text_stays_in_its_value(text: str) -> None:
    line = rendered(reply=text)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    value = json.loads(line)["reply"]
    assert value.isprintable()
    assert json.loads(line)["event"] == "reply"


def test_escapes_can_be_read() -> None:
    assert printable("a\r\nb\x1b[0m\x00\u2028\udcff") == "a\\r\\nb\\x1b[0m\\x00\\u2028\\udcff"
    assert printable("déjà vu, 日本") == "déjà vu, 日本"


def test_broken_octets_are_shown() -> None:
    assert json.loads(rendered(reply=b"caf\xe9\n"))["reply"] == "caf\\xe9\\n"


@given(st.text(st.characters(), max_size=40) | st.binary(max_size=40))
@example("\ud800")
@pytest.mark.row("S19")
def test_any_value_becomes_one_valid_line(value: object) -> None:
    line = rendered(value=value, nested={"key": [value]})
    assert line.count(b"\n") == 1
    line.decode("utf-8")
    json.loads(line)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\x1b" * 1_000_000, "é" * 3000, "日" * 3000])
@pytest.mark.row("S19")
def test_values_and_lines_are_bounded(text: str) -> None:
    assert len(printable(text)) <= VALUE_MOST
    line = rendered(reply=text, other=text, third=text)
    assert len(line) <= LINE_MOST
    json.loads(line)


def test_a_cut_value_keeps_both_ends_and_says_so() -> None:
    cut = printable("begin " + "x" * 10_000 + " end")
    assert cut.startswith("begin x")
    assert cut.endswith("x end")
    assert "more]" in cut


def test_deep_and_endless_values_are_cut() -> None:
    loop: list[Any] = []
    loop.append(loop)
    json.loads(rendered(value=loop))
    assert len(json.loads(rendered(value=list(range(5000))))["value"]) == 100
    json.loads(rendered(value=2**200, none=None, yes=True, nan=float("nan")))


@pytest.mark.row("S31")
def test_private_keys_are_withheld() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n"
    for value in (pem, pem.encode(), {"key": pem}, [pem], ValueError(pem)):
        assert b"MC4C" not in rendered(value=value)


def test_an_exception_is_one_line() -> None:
    with pytest.raises(ValueError, match="first") as caught:
        int("first\nsecond")
    line = rendered(exc_info=caught.value)
    assert line.count(b"\n") == 1
    assert "test_log.py" in json.loads(line)["exception"]
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_time_is_utc_with_milliseconds() -> None:
    assert json.loads(rendered())["time"] == "2023-11-14T22:13:20.250Z"


def test_console_lines_are_for_people_and_as_safe() -> None:
    render = Renderer("delivery-0", "console", clock=lambda: 1_700_000_000.25)
    line = render(None, "warning", {"event": "child ended", "why": "no\nsocket", "tries": 3})
    assert line == b'2023-11-14T22:13:20.250Z warning delivery-0 child ended  why="no\\\\nsocket" tries=3\n'


def test_set_up_writes_lines_of_ours_and_of_libraries(root_logging: None) -> None:
    readable, writable = os.pipe()
    writer = set_up("scheduler", level="info", descriptor=writable)
    log: Log = structlog.get_logger()
    log.debug("not shown")
    log.info("promoted", envelopes=3)
    logging.getLogger("redis").warning("connection %s\nlost", 7)
    writer.close()
    os.close(writable)
    with os.fdopen(readable, "rb") as stream:
        lines = [json.loads(line) for line in stream]
    assert [(line["level"], line["role"], line["event"]) for line in lines] == [
        ("info", "scheduler", "promoted"),
        ("warning", "scheduler", "connection 7\\nlost"),
    ]
    assert lines[0]["envelopes"] == 3
    assert lines[1]["library"] == "redis"


def test_a_reader_that_stops_reading_holds_up_nobody() -> None:
    """Eighteen megabytes at a pipe nobody reads: handing over never waits, and what is dropped is counted.

    Eight may be in the thread's hands and eight more wait for it; nine alone would be dropped in part, or not, as it falls out.
    """
    readable, writable = os.pipe()
    writer = Writer(writable)
    for _ in range(18_000):
        writer.line(b'{"event":"%s"}\n' % (b"x" * 1000))
    lines, dropped, complete = 0, 0, threading.Event()

    def read() -> None:
        nonlocal lines, dropped
        with os.fdopen(readable, "rb") as stream:
            for line in stream:
                if b"log lines dropped" in line:
                    dropped += json.loads(line)["lines"]
                else:
                    lines += 1
                if lines + dropped == 18_000:
                    complete.set()

    reader = threading.Thread(target=read)
    reader.start()
    complete.wait(60)  # closing waits for a reader only for a moment
    writer.close()
    os.close(writable)
    reader.join()
    assert lines + dropped == 18_000
    assert dropped > 0


def test_a_reader_that_is_gone_ends_nothing() -> None:
    readable, writable = os.pipe()
    os.close(readable)
    writer = Writer(writable)
    writer.line(b"{}\n")
    writer.close()
    os.close(writable)
