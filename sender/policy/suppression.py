"""Who is meant by an address that gets no mail, without keeping the address; and which refusals say that nobody is there.

What is kept is a digest under a secret of the fleet: whoever copies the store learns nobody's address from it, and can't try
addresses out on it. The key can't be changed once there are entries: under another one none of them would be found.
"""

import re
import unicodedata

from sender.errors import ConfigError
from sender.keyed_hash import KeyedHash
from sender.model import Category, Outcome, Reply, Scope, Verdict

DIGEST_OCTETS = 16  # chance makes two of a thousand million addresses meet once in 10^20: nobody is left out by it
KEY_OCTETS = 32
UNKNOWN_USER = "unknown_user"  # the reason of those that a receiver's answer suppresses

_KEY = re.compile(r"[0-9a-fA-F]{64}")


def canonical(address: str) -> str:
    """The one spelling of all that are one mailbox to us: `address` as `sender.content.address` writes it, in lower case.

    RFC 5321 section 2.4 lets a receiver tell `Ann@` from `ann@`; none that matters does, and who has asked for no mail
    means both. NFC once more, since lower case may have a composed letter where upper case has none.
    """
    return unicodedata.normalize("NFC", address.lower())


class Digests:
    """Addresses as they are kept."""

    def __init__(self, key: bytes) -> None:
        """`key` has 32 secret octets; all hosts of a fleet have the same."""
        if len(key) != KEY_OCTETS:
            raise ConfigError("suppression key", "", f"{KEY_OCTETS} octets, found {len(key)}")
        self._hash = KeyedHash(key)

    def __repr__(self) -> str:
        return f"<Digests {self.mark}>"  # the secret stays out of logs

    @classmethod
    def parse(cls, text: str, *, file: str) -> "Digests":
        """Read a key file: 64 hexadecimal digits; ConfigError does not tell what was found instead."""
        if not _KEY.fullmatch(text.strip()):
            raise ConfigError(file, "", f"expected {2 * KEY_OCTETS} hexadecimal digits and nothing else")
        return cls(bytes.fromhex(text.strip()))

    @property
    def mark(self) -> str:
        """Tells two keys apart, and nothing about either."""
        return self._hash.digest(b"mark")[:4].hex()

    def of(self, address: str) -> bytes:
        """The digest that stands for an address in any of its spellings."""
        return self._hash.digest(b"address " + canonical(address).encode())[:DIGEST_OCTETS]


def nobody_there(outcome: Outcome, reply: Reply | None) -> bool:
    """Whether a receiver has said that nobody reads this mailbox: for good, or for as long as the outcome tells.

    Nothing else suppresses by itself: not blocks, authentication or policy, which blame us; not a full mailbox, which may be
    emptied; not what DNS, silence or old age ended.
    """
    return (
        reply is not None
        and outcome.verdict is Verdict.REJECTED
        and outcome.scope is Scope.RECIPIENT
        and outcome.category is Category.UNKNOWN_USER
    )
