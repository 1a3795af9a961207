"""DKIM canonicalisation (RFC 6376 section 3.4): the form of a message that both ends hash.

Everything here is done by whole-buffer searches and replacements, which run at C speed: a body with nothing to fold is
hashed as it stands, and one that is indented costs a few passes and no Python per line. Input has CRLF line ends only.

A single octet is looked for as a number, and several with `find`: where octets are asked whether others are `in` them, Python
tries those as a number first, and the exception of that costs more than the search.
"""

import re
from enum import StrEnum
from hashlib import sha256

_SPACES = re.compile(rb"  +")
_TAB, _LF, _COLON = b"\t\n:"


class Canonicalization(StrEnum):
    """How much the text may change on its way before the signature breaks."""

    SIMPLE = "simple"  # nothing, but for empty lines at the end of the body
    RELAXED = "relaxed"  # amounts of white space, folding, the case of field names


def body_hash(body: bytes, mode: Canonicalization) -> bytes:
    """The SHA-256 of the canonical body, whole: never shortened by an l= tag (RFC 6376 section 8.2)."""
    return sha256(canonical_body(body, mode)).digest()


def canonical_body(body: bytes, mode: Canonicalization) -> bytes:
    """The body as it is hashed; the very object given when nothing has to change.

    A last line without CRLF gets one, because it will have one on the wire. An empty body is CRLF when simple
    (section 3.4.3) and nothing at all when relaxed (section 3.4.4).
    """
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    if mode is Canonicalization.SIMPLE:
        return _without_empty_end(body)
    # one scan for both things that are rare, a run of spaces and a space at the end of a line: searching backwards for
    # this pair is the fastest of a dozen ways tried
    if _TAB in body or body.replace(b"\r", b" ").rfind(b"  ") >= 0:
        body = _squeezed(body).replace(b" \r\n", b"\r\n")
    return relaxed_end(body)


def relaxed_piece(text: bytes) -> bytes:
    """What a piece of a body is in the relaxed form between values that are plain (`pieces`): the very object, mostly."""
    if _TAB in text or text.find(b"  ") >= 0 or text.find(b" \r\n") >= 0:
        return _squeezed(text).replace(b" \r\n", b"\r\n")
    return text


def relaxed_end(body: bytes) -> bytes:
    """The relaxed form of a body that is made of such pieces: without the empty lines at its end."""
    body = _without_empty_end(body)
    return b"" if body == b"\r\n" else body


def canonical_header(name: bytes, field: bytes, mode: Canonicalization) -> bytes:
    """A header field as it is hashed, from its lower-case name and all of it with its CRLF."""
    if mode is Canonicalization.SIMPLE:
        return field
    value = field[field.index(_COLON) + 1 :].strip(b" \t\r\n")
    if _LF in value:  # folded
        value = value.replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")
    if _TAB in value or value.find(b"  ") >= 0:
        value = _squeezed(value)
    return name + b":" + value + b"\r\n"


def _squeezed(text: bytes) -> bytes:
    """Every run of tabs and spaces as one space."""
    return _SPACES.sub(b" ", text.replace(b"\t", b" "))


def _without_empty_end(body: bytes) -> bytes:
    """Drop the empty lines at the end; one CRLF stays."""
    end = len(body)
    while body.endswith(b"\r\n\r\n", 0, end):
        end -= 2
    return body[:end]
