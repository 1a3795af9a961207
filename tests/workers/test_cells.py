"""Foreign words in a terminal: harmless, in as many cells as were said, however many there are of them."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from workers.cells import fit, harmless, left, right, wrapped

HOSTILE = (
    "\x1b[31mred\x1b[2J\x1b[H",
    "one\r\ntwo\tthree\x00\x07\x9b31m",
    "\u202egnirts desrever\u2066\u200f\u200d",
    "[red]markup[/red] [link=file:///etc/passwd]x[/link] {{ name }} <script>alert(1)</script>",
    "日本語のメールボックスがいっぱいです",
    "a" + "\u0301" * 5_000,
    "\u0301" * 5_000,
    "👩\u200d👩\u200d👧\ufe0f🏳\ufe0f\u200d🌈",
    "x" * 65_536,
    "\u2028\u2029\ufeff\U000e0041",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [0, 1, 2, 7, 80])
def test_hostile_words_keep_their_column(text: str, width: int) -> None:
    for shown in (left(text, width), right(text, width)):
        assert cell_len(shown) == width
        assert shown.isprintable()
    assert cell_len(fit(text, width)) <= width
    lines = list(wrapped(text, width + 1, 3))
    assert len(lines) <= 3
    assert all(cell_len(line) <= width + 1 and line.isprintable() for line in lines)


@given(st.text(max_size=300), st.integers(0, 90))
def test_any_words_keep_their_column(text: str, width: int) -> None:
    assert cell_len(left(text, width)) == width
    assert all(cell_len(line) <= width + 1 for line in wrapped(text, width + 1, 4))


def test_what_fits_is_shown_as_it_is_and_what_does_not_says_so() -> None:
    assert fit("421 try later", 13) == "421 try later"
    assert fit("421 try later", 9) == "421 try …"
    assert left("né", 4) == "né  "
    assert left("ne\u0301", 4) == "né  ", "composed where that can be"
    assert right("421", 5) == "  421"


def test_a_wide_character_that_has_no_room_leaves_a_gap() -> None:
    assert fit("日本語", 4) == "日…"
    assert left("日本語", 4) == "日… "
    assert left("日本語", 6) == "日本語"


def test_markup_is_no_markup() -> None:
    assert harmless("[red]{{ name }}<b>", 80) == "[red]{{ name }}<b>"
    assert harmless("a\x1b[2Jb\nc", 80) == "a?[2Jb?c"


def test_no_more_is_looked_at_than_may_be_shown() -> None:
    class Watched(str):
        """Cutting it is allowed, and nothing else that looks at all of it."""

        __slots__ = ()

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("all of it was looked at")

        def isprintable(self) -> bool:
            raise AssertionError("all of it was looked at")

    assert fit(Watched("y" * 65_536), 10) == "y" * 9 + "…"
    assert list(wrapped(Watched("y" * 65_536), 10, 2)) == ["y" * 10, "y" * 9 + "…"]


def test_words_are_broken_between_words() -> None:
    text = "421-4.7.28 unusual rate of unsolicited mail originating from your address"
    assert list(wrapped(text, 30, 3)) == ["421-4.7.28 unusual rate of", "unsolicited mail originating", "from your address"]
    assert list(wrapped(text, 30, 2)) == ["421-4.7.28 unusual rate of", "unsolicited mail originating …"]
    assert list(wrapped("", 30, 2)) == [""]
