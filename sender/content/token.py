"""Tokens that come back to us in addresses and links, and that nobody else can make.

A token reads `campaign-ordinalkmac`: the ordinal in hexadecimal, k the one-character name of the key, mac 80 bits of
HMAC-SHA256 in 16 characters; `bounce+` and a token fit the 64 octets of a local part up to ordinal 16^7. It is lower case
throughout and survives being folded to it, as addresses are. One HMAC a message serves all purposes, each with octets of
its own: they tell nothing about each other, so a token made for one purpose is no token for another.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, assert_never

from sender.errors import ConfigError, ConfigErrors
from sender.keyed_hash import KeyedHash

_LINE = re.compile(r"([a-z0-9])\s+([0-9a-fA-F]{32,})")
_TOKEN = re.compile(r"([a-z0-9._-]{1,64})-([0-9a-f]{1,8})([a-z0-9])([a-z2-7]{16})", re.IGNORECASE | re.ASCII)


class Purpose(Enum):
    """What a token is for."""

    RETURN_PATH = "return path"
    UNSUBSCRIBE = "unsubscribe"
    MESSAGE_ID = "message-id"


class Tokens(NamedTuple):
    """The tokens of one envelope."""

    return_path: str
    unsubscribe: str
    message_id: str

    def of(self, purpose: Purpose) -> str:
        match purpose:
            case Purpose.RETURN_PATH:
                return self.return_path
            case Purpose.UNSUBSCRIBE:
                return self.unsubscribe
            case Purpose.MESSAGE_ID:
                return self.message_id
            case _:
                assert_never(purpose)


class TokenKeys:
    """The keys that tokens are made and checked with: the first makes, all check, so that keys can be rotated."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` maps a name, one of a-z and 0-9, to at least 16 secret octets; the first one makes new tokens."""
        if not keys or any(not re.fullmatch("[a-z0-9]", name) or len(key) < 16 for name, key in keys.items()):
            raise ConfigError("token keys", "", "at least one key; a name is one of a-z, 0-9; a key has at least 16 octets")
        self._keys = MappingProxyType({name: KeyedHash(key) for name, key in keys.items()})
        self._current = next(iter(keys))

    def __repr__(self) -> str:
        return f"<TokenKeys {' '.join(self._keys)}>"  # the secrets stay out of logs

    @classmethod
    def parse(cls, text: str, *, file: str) -> "TokenKeys":
        """Read a key file: one `name hexadecimal` a line, newest first; ConfigErrors names bad lines, not their secrets."""
        lines = [line.split("#")[0].strip() for line in text.splitlines()]
        found = [(number, _LINE.fullmatch(line)) for number, line in enumerate(lines, 1) if line]
        bad = [number for number, match in found if not match]
        names = [match[1] for _, match in found if match]
        errors = [ConfigError(file, f"line {number}", "expected a name (a-z, 0-9) and 32 or more hex digits") for number in bad]
        if not errors and (not names or len(set(names)) < len(names)):
            errors.append(ConfigError(file, "", "at least one key, and each name once"))
        try:
            if not errors:
                return cls({match[1]: bytes.fromhex(match[2]) for _, match in found if match})
        except ValueError:
            errors.append(ConfigError(file, "", "a key has an odd number of hex digits"))
        raise ConfigErrors(errors)

    def make(self, campaign: str, ordinal: int) -> Tokens:
        """All tokens of one envelope; the same every time under the same key."""
        return self._make(self._current, campaign, ordinal)

    def verify(self, purpose: Purpose, token: str) -> tuple[str, int] | None:
        """Campaign and ordinal of a token we made for this purpose, whatever its case; None for anything else."""
        match = _TOKEN.fullmatch(token)
        if not match:
            return None
        campaign, ordinal, name = match[1].lower(), int(match[2], 16), match[3].lower()
        if name not in self._keys:
            return None
        expected = self._make(name, campaign, ordinal).of(purpose)
        return (campaign, ordinal) if hmac.compare_digest(expected, token.lower()) else None

    def verify_return_path(self, address: str) -> tuple[str, int] | None:
        """Campaign and ordinal of a bounce's recipient, `local+token@domain`; None for anything else."""
        return self.verify(Purpose.RETURN_PATH, address.rpartition("@")[0].rpartition("+")[2])

    def _make(self, name: str, campaign: str, ordinal: int) -> Tokens:
        stem = f"{campaign}-{ordinal:x}{name}"
        mac = self._keys[name].digest(stem.encode())
        marks = b32encode(mac[:30]).decode("ascii").lower()  # five octets make eight characters: 10 make 16
        return Tokens(stem + marks[:16], stem + marks[16:32], stem + marks[32:])
