"""The worker's half of a DKIM signature (RFC 6376, RFC 8463): everything but the private key.

The sequence: `prepare` selects and canonicalises the header fields, hashes, and leaves one digest a key; a signer turns
the digests into signatures; `finish` puts them into their fields in front of the others. The l= tag is never used.
"""

from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from sender.content.canonical import Canonicalization, body_hash, relaxed_end
from sender.content.message import Composed
from sender.content.rotation import DkimKey, active
from sender.errors import ContentError, SigningError

_FIRST = 74  # base64 characters beside " b="


class Prepared(Struct, frozen=True, kw_only=True):
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
    if not composed.signed.has_from:
        raise ContentError("from", "missing: a message without it can't be signed")
    stamp = int(now)
    headers: dict[Canonicalization, bytes] = {}
    bodies: dict[Canonicalization, bytes] = {}
    digests: list[tuple[str, bytes]] = []
    begun: list[bytes] = []
    for key in chosen:
        if key.headers not in headers:
            headers[key.headers] = composed.signed.canonical(composed.headers, key.headers)
        if key.body not in bodies:
            bodies[key.body] = b2a_base64(_body_hash(composed, key.body), newline=False)
        expiry = b"" if key.expires_s is None else b" x=%d;" % (stamp + key.expires_s)
        frame = composed.signed.frame(key)
        signed = headers[key.headers] + frame.hashed % (stamp, expiry, bodies[key.body])
        digests.append((key.id, sha256(signed).digest()))
        begun.append(frame.field % (stamp, expiry, bodies[key.body]))
    return Prepared(digests=tuple(digests), fields=tuple(begun), composed=composed)


def _body_hash(composed: Composed, mode: Canonicalization) -> bytes:
    if mode is Canonicalization.RELAXED and composed.relaxed is not None:
        return sha256(relaxed_end(b"".join(composed.relaxed))).digest()
    return body_hash(b"".join(composed.body), mode)


def finish(prepared: Prepared, signatures: Sequence[bytes]) -> bytes:
    """What goes onto the wire before the body. One signature a digest and in the same order; raises SigningError if not so."""
    if len(signatures) != len(prepared.fields) or not all(signatures):
        raise SigningError(f"expected {len(prepared.fields)} signatures, found {sum(map(bool, signatures))}")
    parts = [field + _folded_base64(signature) for field, signature in zip(prepared.fields, signatures, strict=True)]
    parts += [field for _, field in prepared.composed.headers]
    return b"".join([*parts, b"\r\n"])


def _folded_base64(signature: bytes) -> bytes:
    text = b2a_base64(signature, newline=False)
    lines = [text[place : place + _FIRST] for place in range(0, len(text), _FIRST)]
    return b"\r\n  ".join(lines) + b"\r\n"
