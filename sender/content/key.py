"""The secret half of DKIM: private keys on disk, in the memory of a signer, and as the DNS record that publishes them.

Only signer processes load keys. A key file that others could read, or that is too weak, is refused with its path: the
remedy is a new key, not a warning. No text of this module's ever holds key material.
"""

import os
import stat
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils

from sender.content.rotation import Algorithm
from sender.errors import ConfigError, ConfigErrors

RSA_BITS = range(1024, 4096 + 1)  # RFC 8301 section 3.2: what every verifier can check, and signers may use
_FILE_LIMIT = 64 * 1024  # octets: the longest key takes 4 kB
_SEED = 32  # octets of a bare Ed25519 key (RFC 8032)
_TXT = 255  # octets of one string of a TXT record (RFC 1035 section 3.3)


class PrivateKey:
    """A loaded key that signs digests; it can't be printed, copied or pickled."""

    __slots__ = ("_ed25519", "_rsa", "algorithm")

    def __init__(self, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> None:
        """Raises ValueError when an RSA key's size is outside RSA_BITS."""
        self._rsa = key if isinstance(key, rsa.RSAPrivateKey) else None
        self._ed25519 = key if isinstance(key, ed25519.Ed25519PrivateKey) else None
        self.algorithm = Algorithm.ED25519 if self._rsa is None else Algorithm.RSA
        if self._rsa is not None and self._rsa.key_size not in RSA_BITS:
            allowed = f"{RSA_BITS.start} to {RSA_BITS.stop - 1}"
            raise ValueError(f"an RSA key of {self._rsa.key_size} bit: DKIM allows {allowed} (RFC 8301)")

    @classmethod
    def load(cls, path: Path, algorithm: Algorithm) -> "PrivateKey":
        """Read a key: PEM (PKCS#1 or PKCS#8), or a bare Ed25519 seed in base64.

        Raises ConfigError with the path when the file is missing, may be read by group or others, is not ours, is
        encrypted, or holds another kind of key or a weak one. Takes 40 ms for RSA-2048: load once.
        """
        content = _read_private(path)
        try:
            key = cls(_parsed(content, algorithm))
        except ValueError as error:
            raise _refused(path, str(error)) from None  # the cause might quote the content
        if key.algorithm is not algorithm:
            raise _refused(path, f"it holds a key for {key.algorithm}, configured is {algorithm}")
        return key

    def sign(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest of 32 octets: PKCS #1 v1.5 for RSA, the digest as the message for Ed25519 (RFC 8463 3)."""
        if self._rsa is not None:
            return self._rsa.sign(digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        assert self._ed25519 is not None
        return self._ed25519.sign(digest)

    def dns_record(self) -> str:
        """The text of the TXT record at <selector>._domainkey.<domain> (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
        if self._rsa is not None:
            der = self._rsa.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return f"v=DKIM1; k=rsa; p={b64encode(der).decode()}"
        assert self._ed25519 is not None
        return f"v=DKIM1; k=ed25519; p={b64encode(self._ed25519.public_key().public_bytes_raw()).decode()}"

    def __repr__(self) -> str:
        return f"<PrivateKey {self.algorithm}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not travel between processes")


def load_all(files: Mapping[str, tuple[Path, Algorithm]]) -> dict[str, PrivateKey]:
    """Load a signer's keys by key id; raises ConfigErrors with every file that is wrong."""
    keys: dict[str, PrivateKey] = {}
    errors: list[ConfigError] = []
    for name, (path, algorithm) in files.items():
        try:
            keys[name] = PrivateKey.load(path, algorithm)
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise ConfigErrors(errors)
    return keys


def generate(algorithm: Algorithm, path: Path, *, bits: int = 2048) -> PrivateKey:
    """Make a key and write it as PKCS#8 with mode 0600; `bits` is for RSA.

    Raises ConfigError when the file exists: a key that is in use is never overwritten.
    """
    if algorithm is Algorithm.RSA and bits not in RSA_BITS:
        raise _refused(path, f"an RSA key of {bits} bit: DKIM allows {RSA_BITS.start} to {RSA_BITS.stop - 1}")
    made = rsa.generate_private_key(65537, bits) if algorithm is Algorithm.RSA else ed25519.Ed25519PrivateKey.generate()
    pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refused(path, f"it can't be created: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # whatever the umask says
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
    return PrivateKey(made)


def zone_line(domain: str, selector: str, record: str) -> str:
    """The record as a line of a zone file, its text in strings of at most 255 octets."""
    strings = " ".join(f'"{record[place : place + _TXT]}"' for place in range(0, len(record), _TXT))
    return f"{selector}._domainkey.{domain}. IN TXT ( {strings} )"


def _read_private(path: Path) -> bytes:
    """Read a file that nobody but us may read; checked on the open file, so that it can't be swapped in between."""
    try:
        with open(path, "rb", opener=_opened) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise _refused(path, "not a regular file")
            if found.st_mode & 0o077:
                raise _refused(path, f"mode {stat.S_IMODE(found.st_mode):04o}: others may use it; chmod 0600")
            if found.st_uid not in (0, os.geteuid()):
                raise _refused(path, f"owned by user {found.st_uid}, not by us or root")
            return file.read(_FILE_LIMIT)
    except OSError as error:
        raise _refused(path, error.strerror or "it can't be read") from error


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # or a named pipe would hold us until somebody writes to it


def _parsed(content: bytes, algorithm: Algorithm) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    """Raises ValueError, whose text says nothing of the content."""
    if b"-----BEGIN" not in content and algorithm is Algorithm.ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(_seed(content))
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise ValueError("the key is encrypted: a signer starts without anybody to type a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PEM") from None
    match key:
        case rsa.RSAPrivateKey() | ed25519.Ed25519PrivateKey():
            return key
    raise ValueError("neither an RSA nor an Ed25519 key")


def _seed(content: bytes) -> bytes:
    try:
        seed = b64decode(content.strip(), validate=True)
    except Base64Error:
        raise ValueError("neither PEM nor base64") from None
    if len(seed) != _SEED:
        raise ValueError(f"an Ed25519 seed of {len(seed)} octets, expected {_SEED}")
    return seed


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(str(path), "", why)
