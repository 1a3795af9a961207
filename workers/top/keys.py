"""From the octets of a terminal to keys: characters as they are, and the names of those that are none."""

import codecs
from collections.abc import Iterator

UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "page up", "page down", "home", "end"
TAB, ENTER, ESCAPE, BACKSPACE = "tab", "enter", "escape", "backspace"

_CONTROLS = {"\t": TAB, "\r": ENTER, "\n": ENTER, "\x7f": BACKSPACE, "\x08": BACKSPACE}
_SEQUENCES = {
    "[A": UP,
    "[B": DOWN,
    "OA": UP,
    "OB": DOWN,
    "[5~": PAGE_UP,
    "[6~": PAGE_DOWN,
    "[H": HOME,
    "[F": END,
    "OH": HOME,
    "OF": END,
    "[1~": HOME,
    "[4~": END,
    "[7~": HOME,
    "[8~": END,
}
_LONGEST = 16  # characters of a sequence; what goes on for longer is none


class Keys:
    """Give it octets as they come, and take keys. A sequence may come in pieces: `pending` until it is whole."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def pending(self) -> bool:
        """Whether it can't be told yet if an escape character is a key, or begins one."""
        return bool(self._rest)

    def feed(self, octets: bytes) -> list[str]:
        """The keys that these octets complete."""
        self._rest += self._decoder.decode(octets)
        return list(self._take())

    def flush(self) -> list[str]:
        """Nothing more comes: what is left is the escape key, or an unknown one."""
        lone, self._rest = self._rest == "\x1b", ""
        return [ESCAPE] if lone else []

    def _take(self) -> Iterator[str]:
        while self._rest:
            first = self._rest[0]
            if first != "\x1b":
                self._rest = self._rest[1:]
                if (key := _CONTROLS.get(first, first)) != first or first.isprintable():
                    yield key
                continue
            end = _sequence(self._rest)
            if end is None:
                return
            sequence, self._rest = self._rest[1:end], self._rest[end:]
            if not sequence:
                yield ESCAPE
            elif sequence in _SEQUENCES:
                yield _SEQUENCES[sequence]


def _sequence(text: str) -> int | None:
    """Where the escape sequence at the beginning ends; None while more of it may come (ECMA-48 section 5.4)."""
    if len(text) < 2:
        return None
    if text[1] == "O":
        return 3 if len(text) > 2 else None
    if text[1] != "[":
        return 1
    for place in range(2, min(len(text), _LONGEST)):
        if "@" <= text[place] <= "~":
            return place + 1
    return _LONGEST if len(text) >= _LONGEST else None
