"""A DKIM verifier made of our canonicalisation and nothing of our signing: what others signed must verify with it."""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils

from sender.content.canonical import Canonicalization, body_hash, canonical_header

Field = tuple[bytes, bytes]

_FIELD = re.compile(rb"([^:\s]+)[ \t]*:.*\r\n(?:[ \t].*\r\n)*")


def parsed(message: bytes) -> tuple[list[Field], bytes]:
    """The fields (lower-case name, whole field) and the body of a message with any line ends."""
    head, _, body = re.sub(rb"\r?\n", b"\r\n", message).partition(b"\r\n\r\n")
    return [(match[1].lower(), match[0]) for match in _FIELD.finditer(head + b"\r\n")], body


def tags(field: bytes) -> dict[str, str]:
    text = re.sub(r"\s+", "", field.decode().partition(":")[2])
    return dict(part.split("=", 1) for part in text.split(";") if part)


def checked(fields: list[Field], body: bytes, signature: Field, record: str) -> tuple[bool, bool]:
    """Whether the body hash, and the signature of the header, of a DKIM-like `signature` field are right."""
    tag = tags(signature[1])
    header_mode, _, body_mode = tag.get("c", "simple/simple").partition("/")
    body_right = body_hash(body, Canonicalization(body_mode or "simple")) == b64decode(tag["bh"])
    left = list(fields)
    chosen = []
    for name in tag["h"].lower().encode().split(b":"):
        places = [place for place, field in enumerate(left) if field[0] == name]
        if places:
            chosen.append(left.pop(places[-1]))
    blank = re.sub(rb"([;:\s]b=)[^;]*", rb"\1", signature[1].removesuffix(b"\r\n")) + b"\r\n"
    mode = Canonicalization(header_mode)
    signed = b"".join(canonical_header(name, field, mode) for name, field in [*chosen, (signature[0], blank)])[:-2]
    return body_right, _signed(record, sha256(signed).digest(), b64decode(tag["b"]))


def _signed(record: str, digest: bytes, signature: bytes) -> bool:
    public = b64decode(tags(b":" + record.encode())["p"])
    try:
        if "k=ed25519" in record:
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, digest)
        else:
            key = serialization.load_der_public_key(public)
            assert isinstance(key, rsa.RSAPublicKey)
            key.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def dns(records: Mapping[str, str]) -> Callable[..., bytes | None]:
    """The look-up that dkimpy wants."""

    def look_up(name: bytes, timeout: float = 0) -> bytes | None:
        found = records.get(name.decode().rstrip("."))
        return found.encode() if found else None

    return look_up
