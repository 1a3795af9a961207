"""From what a terminal sends to keys."""

import pytest

from workers.top.keys import DOWN, END, ENTER, ESCAPE, HOME, PAGE_DOWN, TAB, UP, Keys


@pytest.mark.parametrize(
    ("octets", "keys"),
    [
        (b"q", ["q"]),
        (b"\t\r\x7f\x08", [TAB, ENTER, "backspace", "backspace"]),
        (b"\x1b[A\x1bOB\x1b[6~\x1b[H\x1bOF", [UP, DOWN, PAGE_DOWN, HOME, END]),
        ("é日".encode(), ["é", "日"]),
        (b"\xff\xfe", ["\ufffd", "\ufffd"]),
        (b"\x00\x01\x05", []),
        (b"\x1bqx", [ESCAPE, "q", "x"]),
        (b"\x1b[1;5Ax", ["x"]),  # with Ctrl held: not ours
        (b"\x1b\x1b[A", [ESCAPE, UP]),
        (b"\x1b[" + b"9" * 20 + b"x", [*"999999x"]),  # endless: no sequence
    ],
)
def test_keys(octets: bytes, keys: list[str]) -> None:
    assert Keys().feed(octets) == keys


def test_a_sequence_in_pieces_is_one_key() -> None:
    keys = Keys()
    assert keys.feed(b"j\x1b") == ["j"]
    assert keys.pending
    assert keys.feed(b"[") == []
    assert keys.feed(b"A\xc3") == [UP]
    assert keys.feed(b"\xa9") == ["é"]
    assert not keys.pending


def test_an_escape_that_nothing_follows_is_a_key() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.flush() == [ESCAPE]
    assert keys.feed(b"\x1b[5") == []
    assert keys.flush() == [], "half a sequence is nothing"
    assert keys.feed(b"q") == ["q"]
