"""What is known of a body because of the pieces that it is put together from: nobody needs to search each message for it.

Fixed pieces are looked at once a campaign, and values, which are short, once a message. Where a value is not `plain` nothing is
claimed of the whole, and it is searched as any other content is.
"""

import re
from collections.abc import Sequence

_EDGES = b" ."  # a space may meet another one, and a dot may begin a line
_CHANGES = re.compile(rb"  |[\t\r\n\0]")


def fit(pieces: Sequence[bytes]) -> bool:
    """Whether a body of these and of plain values between them may go onto the wire as it is.

    It then ends with CRLF, has CR and LF in pairs only, no NUL, and no line that begins with a dot (RFC 5321 sections 2.3.8 and
    4.5.2). An empty piece stands for a value.
    """
    if not pieces or pieces[0].startswith(b".") or not pieces[-1].endswith(b"\r\n"):
        return False
    return all(_in_pairs(piece) and not (b"\0" in piece or b"\r\n." in piece) for piece in pieces)


def plain(value: bytes) -> bool:
    """Whether a value put between two pieces changes nothing that is known of them: neither `fit` nor their relaxed form."""
    if not value or value[0] in _EDGES or value[-1] in _EDGES:
        return False
    return _CHANGES.search(value) is None


def _in_pairs(piece: bytes) -> bool:
    return piece.replace(b"\r", b"").replace(b"\n", b"\r\n") == piece
