"""Signatures of Standard Webhooks (standardwebhooks.com), version 1: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from sender.errors import ConfigError

_PREFIX = "whsec_"
_OCTETS = range(24, 65)  # of a secret, as the specification has it
_MOST = 10


def signing_keys(text: str, where: str) -> tuple[bytes, ...]:
    """The keys in a text of secrets, parted by spaces or lines; ConfigError names the place and never what was found."""
    secrets = text.split()
    if not secrets:
        raise ConfigError(where, "", "no secret: write whsec_ and 24 to 64 octets in base64")
    if len(secrets) > _MOST:
        raise ConfigError(where, "", f"{len(secrets)} secrets; allowed are {_MOST}")
    return tuple(_key(secret, where, place) for place, secret in enumerate(secrets, 1))


def _key(secret: str, where: str, place: int) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _OCTETS:
        raise ConfigError(where, "", f"secret {place} is not whsec_ and {_OCTETS[0]} to {_OCTETS[-1]} octets in base64")
    return key


def batch_id(body: bytes) -> str:
    """The same for the same batch, however often it is sent."""
    return f"msg_{hashlib.sha256(body).hexdigest()[:32]}"


def signed(keys: Sequence[bytes], body: bytes, now: float) -> dict[str, str]:
    """The headers that say which batch this is, when it was sent, and that it is ours: one signature for each key."""
    name, moment = batch_id(body), f"{now:.0f}"
    marks = " ".join(mark(key, name, moment, body) for key in keys)
    return {"webhook-id": name, "webhook-timestamp": moment, "webhook-signature": marks}


def mark(key: bytes, name: str, moment: str, body: bytes) -> str:
    """One signature, as it stands in the header."""
    digest = hmac.digest(key, f"{name}.{moment}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
