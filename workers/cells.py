"""Foreign words in the cells of a terminal: harmless, as wide as they are said to be, and cut before all of them are looked at.

A receiver's reply may have 64 kB, paint, move the cursor, turn the direction of writing round, or pile accents on a letter.
What is not printable becomes a question mark, what takes no cell is left out, and wide characters count as two.
"""

from collections.abc import Iterator
from unicodedata import normalize

from rich.cells import cell_len

_LOOKED_AT = 4  # characters for each cell: of more, the rest is accents
CUT = "…"


def harmless(text: str, most: int) -> str:
    """What may be shown of a text in a line, of its first so many characters."""
    shown = normalize("NFC", text[:most])
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(map(_shown, shown))


def _shown(character: str) -> str:
    if not character.isprintable():
        return "?"
    return character if cell_len(character) else ""


def fit(text: str, width: int) -> str:
    """The text in at most so many cells; what is cut ends with an ellipsis."""
    most = _LOOKED_AT * max(0, width)
    shown = harmless(text, most)
    if len(text) <= most and cell_len(shown) <= width:
        return shown
    return _cut(shown, width - 1) + CUT if width > 0 else ""


def left(text: str, width: int) -> str:
    """The text in exactly so many cells, at their left."""
    shown = fit(text, width)
    return shown + " " * (width - cell_len(shown))


def right(text: str, width: int) -> str:
    """The same at their right."""
    shown = fit(text, width)
    return " " * (width - cell_len(shown)) + shown


def wrapped(text: str, width: int, most: int) -> Iterator[str]:
    """The text in at most so many lines of so many cells, broken between words where they are short enough."""
    rest = harmless(text, _LOOKED_AT * width * most)
    for line in range(most):
        if cell_len(rest) <= width:
            yield rest
            return
        if line == most - 1:
            yield _cut(rest, width - 1) + CUT
            return
        piece = _cut(rest, width + 1)
        end = piece.rfind(" ") if " " in piece[width // 2 :] else len(_cut(rest, width))
        yield rest[:end].rstrip()
        rest = rest[end:].lstrip()


def _cut(text: str, width: int) -> str:
    """The beginning that fits; half a wide character does not."""
    if text.isascii():
        return text[: max(0, width)]
    used = 0
    for place, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:place]
    return text
