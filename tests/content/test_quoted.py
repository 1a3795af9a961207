"""Quoted-printable in pieces decodes to the text it came from, in lines of at most 76 octets, wherever values stand."""

import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.content import mime, quoted
from sender.content.slots import HtmlField, Text, parse
from sender.content.spec import TemplateMode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
LINES = st.lists(
    st.sampled_from(["a", "é", "=", ".", " ", "\t", "\n", "\r\n", "{{ a }}", "{{ b }}", "word " * 9, "x" * 74, "€" * 20]),
    max_size=12,
)


def encoded(text: Text, values: dict[str, str]) -> bytes:
    pieces = mime.entity_of("plain", text).pieces
    return b"".join(piece if isinstance(piece, bytes) else piece.encoded(values) for piece in pieces)


def assert_form(data: bytes) -> None:
    assert data.endswith(b"\r\n")
    for line in data.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.endswith((b" ", b"\t"))
        assert all(char == 9 or 32 <= char < 127 for char in line)


@given(TEXT)
def test_any_text(text: str) -> None:
    data = quoted.encode(text)
    assert quopri.decodestring(data).decode() == quoted.unix_lines(text).replace("\n", "\r\n")
    assert quoted.last_line(data) <= 75


@given(LINES, TEXT, TEXT)
def test_values_between_any_text(lines: list[str], a: str, b: str) -> None:
    source = "".join(lines) or "x"
    data = encoded(parse(source, TemplateMode.PLAIN), {"a": a, "b": b})
    assert_form(data)
    wanted = quoted.unix_lines(source).replace("{{ a }}", quoted.unix_lines(a)).replace("{{ b }}", quoted.unix_lines(b))
    if not quoted.unix_lines(source).endswith("\n"):
        wanted += "\n"
    assert quopri.decodestring(data).decode() == wanted.replace("\n", "\r\n")


@pytest.mark.parametrize("length", range(90))
@pytest.mark.parametrize("char", ["x", "=", "é", "<"])
def test_values_of_every_length_at_every_column(length: int, char: str) -> None:
    for column in (0, 1, 59, 60, 61, 75, 76, 77):
        text = Text(pieces=("y" * column, HtmlField("a"), "z") if column else (HtmlField("a"), "z"))
        data = encoded(text, {"a": char * length})
        assert_form(data)
        shown = "&lt;" if char == "<" else char
        assert quopri.decodestring(data).decode() == "y" * column + shown * length + "z\r\n"


@pytest.mark.parametrize("length", range(70, 80))
def test_a_space_at_the_end_of_a_full_line(length: int) -> None:
    for text in ("x" * length + " \n", "x" * length + "\t", "\u00e9" * (length // 6) + "x" * (length % 6) + " \nmore"):
        data = quoted.encode(text)
        assert max(map(len, data.split(b"\r\n"))) <= 76
        assert quopri.decodestring(data).decode() == text.replace("\n", "\r\n")


def test_short_plain_values_are_left_as_they_are() -> None:
    text = parse("Dear {{ first }},\n{{ first }}\n", TemplateMode.AUTO)
    assert encoded(text, {"first": "Ann"}) == b"Dear Ann=\r\n,\r\nAnn\r\n"
    assert encoded(text, {"first": ""}) == b"Dear =\r\n,\r\n\r\n"
    assert encoded(text, {"first": "Ann "}) == b"Dear Ann=20=\r\n,\r\nAnn=20\r\n"
