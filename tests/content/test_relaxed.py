"""The relaxed form of a body that is put together from pieces is that of the whole."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sender.content.canonical import Canonicalization, canonical_body, relaxed_end
from tests.content.messages import composed

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
    if message.relaxed is not None:
        assert relaxed_end(message.relaxed) == canonical_body(message.body, Canonicalization.RELAXED)


@pytest.mark.parametrize(("text", "same"), [("Dear {{ first }}, hello.\n", True), ("Dear\t{{ first }},  hello. \n", False)])
def test_plain_values_spare_the_search(text: str, same: bool) -> None:
    message = composed({"first": "Ann"}, text=text, html=None)
    assert message.relaxed is not None
    assert (message.relaxed is message.body) is same


@pytest.mark.parametrize("value", ["", " Ann", "A  B", "A\tB"])
def test_other_values_do_not(value: str) -> None:
    assert composed({"first": value}, text="Dear {{ first }}, hello.\n", html=None).relaxed is None
