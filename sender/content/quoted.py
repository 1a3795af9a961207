"""Quoted-printable (RFC 2045 section 6.7) in pieces: fixed text encoded once, values in between encoded per message.

Fixed text starts at column 0, because a soft break follows every value whose line goes on. So the column where a value
starts is known at compile time, and no line is ever longer than 76 octets. `=` is always escaped: no value can write a
boundary, which begins with `=_`.
"""

import re
from binascii import b2a_qp

LINE_MAX = 76
SOFT_BREAK = b"=\r\n"
_NARROW = 60  # a value that starts beyond this column gets a line of its own

# Values that need no encoding at all; none ends in a space, which a line end might strip.
PLAIN_TEXT = re.compile(r"(?:[ -<>-~]*[!-<>-~])?")
PLAIN_HTML = re.compile(r"(?:[ !#-%(-;?-~]*[!#-%(-;?-~])?")

_LONG_LINE = re.compile(rb"^(?=[^\n]{77})([^\n]+)(=20|=09)$", re.MULTILINE)  # binascii forgets its limit at a final space
_LINE_END = re.compile(r"\r\n?")


def unix_lines(text: str) -> str:
    """One line end for all: CRLF and bare CR become LF, which `encode` writes as CRLF."""
    return _LINE_END.sub("\n", text) if "\r" in text else text


def encode(text: str) -> bytes:
    """The text as lines of at most 76 octets; the last has room for a soft break, and white space at the end is escaped."""
    data = _LONG_LINE.sub(rb"\1=\n\2", b2a_qp(unix_lines(text).encode())).replace(b"\n", b"\r\n")
    if last_line(data) < LINE_MAX:
        return data
    cut = len(data) - (3 if data[-3:-2] == b"=" else 1)
    return data[:cut] + SOFT_BREAK + data[cut:]


def encode_value(text: str, column: int) -> bytes:
    """A value that starts at `column` of its line."""
    data = encode(text)
    if column and column + _first_line(data) >= LINE_MAX:
        return SOFT_BREAK + data
    return data


def before_value(text: str, *, line_goes_on: bool) -> tuple[bytes, int]:
    """Fixed text with a value behind it, and the column where that value starts.

    A space at its end stays one where the line goes on behind the value: a soft break protects it, even if the value is "".
    """
    data = encode(text)
    if line_goes_on and data.endswith(b"=20"):
        data = data[:-3] + b" "
    column = last_line(data)
    return (data + SOFT_BREAK, 0) if column > _NARROW else (data, column)


def last_line(data: bytes) -> int:
    return len(data) - data.rfind(b"\n") - 1


def _first_line(data: bytes) -> int:
    end = data.find(b"\r\n")
    return len(data) if end < 0 else end
