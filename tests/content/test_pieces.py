"""What is known of a body because of its pieces is true of the whole."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sender.content.canonical import Canonicalization, canonical_body, relaxed_end
from sender.content.pieces import fit
from sender.smtp.command import check_content, dot_stuff
from tests.content.messages import composed, whole

FIXED = st.text("ab \t\n.=é", max_size=12)
VALUE = st.text("ab \t\n.=é<", max_size=6)


@given(st.lists(FIXED, min_size=2, max_size=5), VALUE, st.booleans())
@example(["a ", " b"], "", False)
@example(["a ", "b"], "\nb", False)
@example(["a  b ", "\n\n\n"], "c", True)
def test_pieces_come_to_what_the_whole_does(pieces: list[str], value: str, html: bool) -> None:
    text = "{{ first }}".join(["-", *pieces, "-"])
    parts: dict[str, Any] = {"text": None, "html": text} if html else {"text": text, "html": None}
    message = composed({"first": value}, **parts)
    body = b"".join(message.body)
    assert message.size == len(body)
    if message.relaxed is not None:
        assert relaxed_end(b"".join(message.relaxed)) == canonical_body(body, Canonicalization.RELAXED)
    if message.fit:
        check_content(body)
        assert dot_stuff(body) is body


@pytest.mark.parametrize(("text", "same"), [("Dear {{ first }}, hello.\n", True), ("Dear\t{{ first }},  hello. \n", False)])
def test_plain_values_spare_the_search(text: str, same: bool) -> None:
    message = composed({"first": "Ann"}, text=text, html=None)
    assert message.fit
    assert message.relaxed is not None
    assert (message.relaxed is message.body) is same


@pytest.mark.parametrize("value", ["", " Ann", "A  B", "A\tB", ".", ".Ann", "Ann.", "A\nB"])
def test_other_values_do_not(value: str) -> None:
    message = composed({"first": value}, text="Dear\n{{ first }}\n.hello\n", html=None)
    assert (message.relaxed, message.fit) == (None, False)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [b".a\r\n"],
        [b"a"],
        [b"a\n"],
        [b"a\r", b"\n"],
        [b"a\r\n.b\r\n"],
        [b"a\0\r\n"],
        [b"\ra\r\n"],
        [b"a\r\n", b"b\nc\r\n"],
    ],
)
def test_what_is_not_fit(pieces: list[bytes]) -> None:
    assert not fit(pieces)


def test_a_message_with_a_line_of_dots_is_searched_and_stuffed() -> None:
    message = composed({"first": "Ann"}, text="Dear {{ first }},\n.\n..x\n", html=None)
    assert not message.fit
    assert b"\r\n=2E\r\n...x\r\n" in dot_stuff(whole(message))
