"""The worker's half of a DKIM signature (RFC 6376, RFC 8463): everything but the private key.

The sequence: `prepare` selects and canonicalises the header fields, hashes, and leaves one digest a key; a signer turns
the digests into signatures; `finish` puts them into their fields in front of the message. The l= tag is never used.
"""

from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sender.content.canonical import Canonicalization, body_hash, canonical_headers
from sender.content.message import Composed
from sender.content.rotation import DkimKey, active
from sender.errors import ContentError, SigningError

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
_FIRST = 74  # base64 characters beside " b="
_SIGNATURE_NAME = b"dkim-signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A message that lacks only its signatures: `digests` go to the signers, their answers to `finish`."""

    digests: tuple[tuple[str, bytes], ...]  # (key id, SHA-256 of the signed header fields)
    fields: tuple[bytes, ...]  # the DKIM-Signature fields up to "b="
    composed: Composed


def prepare(composed: Composed, keys: Iterable[DkimKey], now: float) -> Prepared:
    """Hash a message for every key that is active at `now` (Unix seconds), each domain and algorithm once.

    Raises SigningError when no key is active, since such mail would leave unsigned, and ContentError when there is no
    From field, without which a signature is worth nothing (RFC 6376 section 5.4).
    """
    chosen = active(keys, now)
    if not chosen:
        raise SigningError("no DKIM key is active: the message is not sent unsigned")
    fields = _selected(composed)
    listed = _folded_names([*(name for name, _ in fields), *OVERSIGNED])
    stamp = int(now)
    bodies: dict[Canonicalization, bytes] = {}
    hashes = {mode: sha256(canonical_headers(fields, mode)) for mode in {key.headers for key in chosen}}
    digests: list[tuple[str, bytes]] = []
    begun: list[bytes] = []
    for key in chosen:
        if key.body not in bodies:
            bodies[key.body] = b2a_base64(body_hash(composed.body, key.body), newline=False)
        expiry = b"" if key.expires_s is None else b" x=%d;" % (stamp + key.expires_s)
        field = b"DKIM-Signature: %b t=%d;%b\r\n h=%b;\r\n bh=%b;\r\n b=" % (
            key.tags,
            stamp,
            expiry,
            listed,
            bodies[key.body],
        )
        digest = hashes[key.headers].copy()
        # its own field comes last, with an empty b= and without its CRLF (RFC 6376 section 3.7)
        digest.update(canonical_headers([(_SIGNATURE_NAME, field + b"\r\n")], key.headers)[:-2])
        digests.append((key.id, digest.digest()))
        begun.append(field)
    return Prepared(digests=tuple(digests), fields=tuple(begun), composed=composed)


def finish(prepared: Prepared, signatures: Sequence[bytes]) -> bytes:
    """The message as it goes onto the wire, one signature a digest and in the same order; raises SigningError if not so."""
    if len(signatures) != len(prepared.fields) or not all(signatures):
        raise SigningError(f"expected {len(prepared.fields)} signatures, found {sum(map(bool, signatures))}")
    parts = [field + _folded_base64(signature) for field, signature in zip(prepared.fields, signatures, strict=True)]
    parts += [field for _, field in prepared.composed.headers]
    return b"".join([*parts, b"\r\n", prepared.composed.body])


def _selected(composed: Composed) -> tuple[tuple[bytes, bytes], ...]:
    """The fields to sign, in the order they are hashed.

    A verifier takes repeated fields from the last to the first (RFC 6376 section 5.4.2): walking the header backwards
    does the same for any repetition.
    """
    fields = tuple([field for field in composed.headers[::-1] if field[0] in SIGNED])
    if not any(name == b"from" for name, _ in fields):
        raise ContentError("from", "missing: a message without it can't be signed")
    return fields


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


def _folded_base64(signature: bytes) -> bytes:
    text = b2a_base64(signature, newline=False)
    lines = [text[place : place + _FIRST] for place in range(0, len(text), _FIRST)]
    return b"\r\n  ".join(lines) + b"\r\n"
