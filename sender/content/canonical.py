"""DKIM canonicalisation (RFC 6376 section 3.4): the form of a message that both ends hash.

Everything here is done by whole-buffer searches and replacements, which run at C speed: a body with nothing to fold is
hashed as it stands, and one that is indented costs a few passes and no Python per line. Input has CRLF line ends only.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256

_SPACES = re.compile(rb"  +")


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
    if b"\t" in body or body.replace(b"\r", b" ").rfind(b"  ") >= 0:
        body = _squeezed(body).replace(b" \r\n", b"\r\n")
    return relaxed_end(body)


def relaxed_piece(text: bytes) -> bytes:
    """What a piece of a body is in the relaxed form between values that are plain (`pieces`): the very object, mostly."""
    if b"\t" in text or b"  " in text or b" \r\n" in text:
        return _squeezed(text).replace(b" \r\n", b"\r\n")
    return text


def relaxed_end(body: bytes) -> bytes:
    """The relaxed form of a body that is made of such pieces: without the empty lines at its end."""
    body = _without_empty_end(body)
    return b"" if body == b"\r\n" else body


def canonical_headers(fields: Iterable[tuple[bytes, bytes]], mode: Canonicalization) -> bytes:
    """Header fields as they are hashed, in this order; each is its lower-case name and all of the field with its CRLF."""
    if mode is Canonicalization.SIMPLE:
        return b"".join([field for _, field in fields])
    block = b"".join([b"%b:%b\r\n" % (name, field[field.index(b":") + 1 :].strip(b" \t\r\n")) for name, field in fields])
    if b"\r\n " in block or b"\r\n\t" in block:
        block = block.replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")
    return _squeezed(block) if b"  " in block or b"\t" in block else block


def _squeezed(text: bytes) -> bytes:
    """Every run of tabs and spaces as one space."""
    return _SPACES.sub(b" ", text.replace(b"\t", b" "))


def _without_empty_end(body: bytes) -> bytes:
    """Drop the empty lines at the end; one CRLF stays."""
    end = len(body)
    while body.endswith(b"\r\n\r\n", 0, end):
        end -= 2
    return body[:end]
