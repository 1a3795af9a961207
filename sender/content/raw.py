"""Ready-made messages (RFC 5322): line ends normalised before anything is hashed, form checked, content left alone.

The rule for line ends: CRLF stays, a bare CR or a bare LF becomes CRLF. So every look-alike of an end of data has become
an ordinary line before the message is signed, and what is signed is what the receiver reads. Only among the header
fields that would make a field of what was a value: there, line ends are all CRLF or all LF, or the message is refused.
NUL, lines over 998 octets and fields that are malformed are refused everywhere.
"""

import re
from base64 import b64decode
from dataclasses import dataclass

from sender.content.headers import check_field, name_of
from sender.errors import ContentError

FIELDS_MAX = 1000

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BLANK_LINE = re.compile(rb"(?:\r\n|\r(?!\n)|\n){2}")
_FOLD = re.compile(rb"\r\n(?![ \t])")
_LONG_LINE = re.compile(rb"[^\n]{1000}")
_ONCE = (b"date", b"from", b"message-id", b"subject", b"to", b"cc", b"reply-to", b"sender", b"mime-version", b"content-type")


@dataclass(frozen=True, slots=True)
class Raw:
    """A ready-made message in its final octets."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    eight_bit: bool
    smtputf8: bool


def read_raw(text_b64: str) -> Raw:
    """Read a message; ContentError names the field and what is wrong with it."""
    return split(normalise(b64decode(text_b64)))


def normalise(message: bytes) -> bytes:
    """All line ends as CRLF, the last line ended; ContentError on NUL, or on mixed line ends among the header fields."""
    if b"\0" in message:
        raise ContentError("message", "a NUL octet")
    blank = _BLANK_LINE.search(message)
    ends = set(_LINE_END.findall(message[: blank.end()] if blank else message))
    if ends - {b"\r\n"} and ends - {b"\n"}:
        raise ContentError("message", "bare CR or mixed line ends among the header fields")
    message = _LINE_END.sub(b"\r\n", message)
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def split(message: bytes) -> Raw:
    """Fields and body of a normalised message; ContentError where a field is malformed, lacking or there twice."""
    head, _, body = (b"\r\n" + message).partition(b"\r\n\r\n")
    wholes = [line + b"\r\n" for line in _FOLD.split(head[2:])] if head else []
    if len(wholes) > FIELDS_MAX:
        raise ContentError("message", f"more than {FIELDS_MAX} header fields")
    for whole in wholes:
        check_field(whole)
    names = [name_of(whole) for whole in wholes]
    twice = next((name for name in _ONCE if names.count(name) > 1), None)
    if twice:
        raise ContentError(twice.decode("ascii"), "there more than once (RFC 5322 section 3.6)")
    if b"from" not in names:
        raise ContentError("from", "missing")
    if _LONG_LINE.search(body):
        raise ContentError("message", "a line over 998 octets: encode the part as quoted-printable or base64")
    return Raw(tuple(zip(names, wholes, strict=True)), body or b"\r\n", not body.isascii(), _is_utf8(wholes))


def _is_utf8(wholes: list[bytes]) -> bool:
    """Whether a header needs RFC 6532; octets over 127 that are not UTF-8 are no header at all."""
    for whole in wholes:
        try:
            whole.decode()
        except UnicodeDecodeError:
            raise ContentError(name_of(whole).decode("ascii"), "octets over 127 that are not UTF-8") from None
    return any(not whole.isascii() for whole in wholes)
