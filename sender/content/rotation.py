"""Which DKIM keys sign at a given moment: what a worker knows of a key, which is all but its secret.

A rotation is two keys of one domain and algorithm whose dates follow each other: the newer one takes over at its
`not_before`, while the older one's DNS record stays for the mail that is still on its way.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from sender.content.canonical import Canonicalization

# RFC 6376 section 3.1: a selector is one or more domain labels. Underscores occur in the wild and harm nobody.
_LABELS = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_ID_LIMIT = 255  # octets: the wire of the signers gives a key's name one octet of length


class Algorithm(StrEnum):
    """The a= tag; rsa-sha1 is not among them (RFC 8301 section 3.1)."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"  # RFC 8463


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimKey:
    """A signing key as its domain publishes it; raises ValueError for a name that can't stand in a tag or in DNS."""

    domain: str  # d=: lower-case A-labels
    selector: str  # s=
    algorithm: Algorithm
    headers: Canonicalization = Canonicalization.RELAXED
    body: Canonicalization = Canonicalization.RELAXED
    not_before: float = 0.0  # Unix seconds: signs from here
    not_after: float = float("inf")  # Unix seconds: and no longer from here
    expires_s: float | None = None  # x= so long after t=; without it a signature has no end
    tags: bytes = field(init=False, repr=False)  # the part of the signature field that is the same for every message

    def __post_init__(self) -> None:
        for what, text in (("domain", self.domain), ("selector", self.selector)):
            if not _LABELS.fullmatch(text):
                raise ValueError(f"{what} {text!r}: expected a lower-case DNS name in A-labels")
        if len(self.id) > _ID_LIMIT:
            raise ValueError(f"domain and selector are longer than {_ID_LIMIT} octets together: {self.id!r}")
        if self.not_after <= self.not_before:
            raise ValueError(f"key {self.id}: its last moment is not after its first")
        if self.expires_s is not None and self.expires_s < 1:
            raise ValueError(f"key {self.id}: a signature must live at least a second, found {self.expires_s}")
        text = f"v=1; a={self.algorithm}; c={self.headers}/{self.body};\r\n d={self.domain}; s={self.selector};"
        object.__setattr__(self, "tags", text.encode())

    @property
    def id(self) -> str:
        """The name the signers know the key by."""
        return f"{self.domain}/{self.selector}"


def active(keys: Iterable[DkimKey], now: float) -> tuple[DkimKey, ...]:
    """For each domain and algorithm the newest key whose time has come and is not over, in the order given.

    Of two that began at the same moment the later in the list signs.
    """
    newest: dict[tuple[str, Algorithm], DkimKey] = {}
    for key in keys:
        if key.not_before <= now < key.not_after:
            slot = (key.domain, key.algorithm)
            rival = newest.get(slot)
            if rival is None or rival.not_before <= key.not_before:
                newest[slot] = key
    return tuple(newest.values())
