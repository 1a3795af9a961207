"""The message as the signer and the wire see it: header fields in order, and a body, both already in their final octets.

The body stays in pieces until it is written: most of its octets are the campaign's, and however many messages of a campaign
wait for a signature or a session, these are in memory once.
"""

from msgspec import Struct

from sender.content.signed import SignedFields


class Composed(Struct, frozen=True):
    """One personalised message before its signatures: only CRLF line ends, no line over 998 octets, no NUL.

    `headers` holds (lower-case name, the whole field with its folding and its final CRLF) from top to bottom. The pieces of
    `body` are to be joined with nothing between; it ends with CRLF and is not dot-stuffed. Positional on purpose: one is
    built per message.
    """

    headers: tuple[tuple[bytes, bytes], ...]
    body: tuple[bytes, ...]
    size: int  # octets of the body
    mail_from: str
    rcpt: str
    signed: SignedFields  # what a signature covers of `headers`
    relaxed: tuple[bytes, ...] | None = None  # `body` in relaxed form, but for its end, where that was had for nothing
    fit: bool = False  # the body is known to be fit for the wire as it is (`pieces`)
    eight_bit: bool = False  # body holds octets over 127: needs 8BITMIME (RFC 6152)
    smtputf8: bool = False  # an address or a header needs RFC 6531

    @property
    def head(self) -> bytes:
        """What stands before the body of an unsigned message."""
        return b"".join([*(whole for _, whole in self.headers), b"\r\n"])

    def __repr__(self) -> str:
        return f"<Composed to {self.rcpt} {len(self.headers)} fields, body of {self.size} octets>"
