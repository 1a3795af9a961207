"""What of a campaign's header is signed (RFC 6376 section 5.4): chosen, listed and canonical once, not for every message.

Most fields are the same for all recipients, and so is nearly all of the DKIM-Signature field: per message only what was made
for it is put into its canonical form.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sender.content.canonical import Canonicalization, canonical_header
from sender.content.rotation import DkimKey

# RFC 6376 section 5.4.1 names what the meaning of a message hangs on; RFC 8058 section 4 wants both unsubscribe fields;
# Feedback-ID counts for Google only when signed. Trace fields, Return-Path and Bcc change on the way and stay out.
SIGNED = frozenset(
    (
        b"from sender reply-to to cc subject date message-id in-reply-to references mime-version content-type"
        b" content-transfer-encoding content-disposition content-id content-description content-language"
        b" list-id list-help list-subscribe list-unsubscribe list-unsubscribe-post list-post list-owner list-archive"
        b" feedback-id auto-submitted precedence"
    ).split()
)
# Named once more than they occur: a field added on the way breaks the signature (RFC 6376 section 8.15).
OVERSIGNED = (b"from", b"subject")

_WIDTH = 76  # columns of a line of ours: under the 78 of RFC 5322 section 2.1.1
_NAME = b"dkim-signature"


class Frame(NamedTuple):
    """A DKIM-Signature field up to "b=", as it stands and as it is hashed; time, expiry and body hash go in with `%`."""

    field: bytes
    hashed: bytes


class SignedFields:
    """The fields to sign of all messages with these header fields, in the order they are hashed.

    A verifier takes repeated fields from the last to the first (RFC 6376 section 5.4.2): walking the header backwards does
    the same for any repetition.
    """

    __slots__ = ("_frames", "_known", "_listed", "_made", "has_from")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """`headers` are (lower-case name, whole field) from top to bottom, with b"" for what is made per message."""
        places = [place for place in reversed(range(len(headers))) if headers[place][0] in SIGNED]
        fields = [headers[place] for place in places]
        self.has_from = any(name == b"from" for name, _ in fields)
        self._known = {
            mode: [canonical_header(name, field, mode) if field else b"" for name, field in fields] for mode in Canonicalization
        }
        self._made = tuple((turn, place) for turn, place in enumerate(places) if not headers[place][1])
        self._listed = _folded_names([*(name for name, _ in fields), *OVERSIGNED])
        self._frames: dict[bytes, Frame] = {}  # by a key's tags: keys are as few as an identity has

    def canonical(self, headers: Sequence[tuple[bytes, bytes]], mode: Canonicalization) -> bytes:
        """What is hashed of one message's header before its DKIM-Signature."""
        parts = self._known[mode].copy()
        for turn, place in self._made:
            name, field = headers[place]
            parts[turn] = canonical_header(name, field, mode)
        return b"".join(parts)

    def frame(self, key: DkimKey) -> Frame:
        """The key's DKIM-Signature field: its own comes last, with an empty b= and without its CRLF (RFC 6376 section 3.7)."""
        frame = self._frames.get(key.tags)
        if frame is None:
            field = b"DKIM-Signature: %b t=%%d;%%b\r\n h=%b;\r\n bh=%%b;\r\n b=" % (key.tags, self._listed)
            hashed = canonical_header(_NAME, field + b"\r\n", key.headers)[:-2]
            frame = self._frames[key.tags] = Frame(field, hashed)
        return frame


def _folded_names(names: list[bytes]) -> bytes:
    """The h= list, folded after colons."""
    room = _WIDTH - len(" h=")
    parts: list[bytes] = []
    for name in names:
        if len(name) >= room:
            parts.append(b"\r\n  ")
            room = _WIDTH - 2
        parts.append(name + b":")
        room -= len(name) + 1
    return b"".join(parts)[:-1]
