r"""Conversations as text, for a receiver that says exactly this and expects exactly that.

    S: 220 mx.example ESMTP        say a line; CRLF is added, \r \n \t \xNN are octets
    C: EHLO *                      expect a line; * stands for anything, letter case does not matter
    content                        read a message up to its dot, and keep it
    tls                            shake hands
    raw: 250 ok\n                  say exactly these octets
    wait 5                         pause, in seconds
    silence | deaf | close | reset
    # a comment, like an empty line, says nothing

The end of the script hangs up.
"""

import re
from dataclasses import dataclass

from workers.emulator.faults import Act, Close, Deafness, Late, Say, Silence


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """The next line from the other side must be this one."""

    pattern: str

    def matches(self, line: bytes) -> bool:
        expression = ".*".join(re.escape(part) for part in self.pattern.split("*"))
        return re.fullmatch(expression, line.decode("utf-8", "replace"), re.IGNORECASE) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Read a message up to the dot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Shake hands as the server."""


Line = Act | Expect | Content | Tls
Script = tuple[Line, ...]


class Unexpected(Exception):
    """The other side departed from the script."""

    def __init__(self, expected: str, heard: bytes) -> None:
        super().__init__(f"expected {expected!r}, heard {heard!r}")
        self.expected, self.heard = expected, heard


_WORDS: dict[str, Line] = {
    "content": Content(),
    "tls": Tls(),
    "silence": Silence(),
    "deaf": Deafness(),
    "close": Close(),
    "reset": Close(resets=True),
}


def parse(text: str) -> Script:
    """Read a script; raises ValueError naming the line that can't be read."""
    return tuple(_line(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if _says(line))


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _line(number: int, line: str) -> Line:
    kind, _, rest = line.partition(" ")
    if kind == "S:":
        return Say(text=_octets(rest) + b"\r\n")
    if kind == "raw:":
        return Say(text=_octets(rest))
    if kind == "C:":
        return Expect(pattern=rest)
    if kind == "wait" and rest.replace(".", "", 1).isdigit():
        return Late(text=b"", after_s=float(rest))
    if line in _WORDS:
        return _WORDS[line]
    raise ValueError(f"line {number}: {line!r} is not a script line")


def _octets(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")
