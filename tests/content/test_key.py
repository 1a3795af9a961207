"""Private keys: which files are refused, that nothing leaks, and what is published."""

import copy
import os
import pickle
import stat
import subprocess
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import dkim
import nacl.signing
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sender.content.key import PrivateKey, generate, load_all, zone_line
from sender.content.rotation import Algorithm
from sender.errors import ConfigError, ConfigErrors
from tests.corpora import corpus

RSA, ED25519 = Algorithm.RSA, Algorithm.ED25519


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def refusal(path: Path, algorithm: Algorithm = RSA) -> str:
    with pytest.raises(ConfigError) as caught:
        PrivateKey.load(path, algorithm)
    assert caught.value.file == str(path)
    assert "PRIVATE KEY" not in str(caught.value)
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)
    return caught.value.why


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660, 0o777])
@pytest.mark.row("S31")
def test_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    generate(ED25519, path)
    path.chmod(mode)
    assert refusal(path, ED25519) == f"mode {mode:04o}: others may use it; chmod 0600"


@pytest.mark.row("S31")
def test_missing_key_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "key") == "No such file or directory"


def test_directory_and_pipe_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refusal(tmp_path / "pipe") == "not a regular file"
    assert refusal(tmp_path) == "Is a directory"


@pytest.mark.parametrize("bits", [512, 768, 1016])
@pytest.mark.row("S31")
def test_weak_key_is_refused(tmp_path: Path, bits: int) -> None:
    path = written(tmp_path / "key", openssl("genrsa", str(bits)))
    assert refusal(path) == f"an RSA key of {bits} bit: DKIM allows 1024 to 4096 (RFC 8301)"


@pytest.mark.parametrize("style", [(), ("-traditional",)])
@pytest.mark.row("S31")
def test_encrypted_key_is_refused(tmp_path: Path, style: tuple[str, ...]) -> None:
    pem = openssl("genrsa", "-aes128", "-passout", "pass:secret", *style, "2048")
    assert "encrypted" in refusal(written(tmp_path / "key", pem))


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert refusal(written(tmp_path / "curve", pem)) == "neither an RSA nor an Ed25519 key"
    generate(ED25519, tmp_path / "ed25519")
    assert refusal(tmp_path / "ed25519", RSA) == "it holds a key for ed25519-sha256, configured is rsa-sha256"
    generate(RSA, tmp_path / "rsa")
    assert refusal(tmp_path / "rsa", ED25519) == "it holds a key for rsa-sha256, configured is ed25519-sha256"


@pytest.mark.parametrize(
    ("content", "algorithm", "why"),
    [
        (b"", RSA, "not a private key in PEM"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", RSA, "not a private key in PEM"),
        (b"", ED25519, "an Ed25519 seed of 0 octets, expected 32"),
        (b"c2hvcnQ=", ED25519, "an Ed25519 seed of 5 octets, expected 32"),
        (b"not base64!", ED25519, "neither PEM nor base64"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes, algorithm: Algorithm, why: str) -> None:
    assert refusal(written(tmp_path / "key", content), algorithm) == why


def test_all_refusals_at_once(tmp_path: Path) -> None:
    good, weak = tmp_path / "good", tmp_path / "weak"
    generate(ED25519, good)
    written(weak, openssl("genrsa", "512"))
    with pytest.raises(ConfigErrors) as caught:
        load_all({"d/a": (good, ED25519), "d/b": (weak, RSA), "d/c": (tmp_path / "none", RSA)})
    assert [error.file for error in caught.value.errors] == [str(weak), str(tmp_path / "none")]
    assert list(load_all({"d/a": (good, ED25519)})) == ["d/a"]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_generated_file_is_ours_alone_and_never_overwritten(tmp_path: Path, algorithm: Algorithm) -> None:
    path = tmp_path / "key"
    mask = os.umask(0)
    try:
        made = generate(algorithm, path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert PrivateKey.load(path, algorithm).dns_record() == made.dns_record()
    with pytest.raises(ConfigError, match="File exists"):
        generate(algorithm, path)
    assert path.read_bytes() == content


def test_weak_key_is_not_generated(tmp_path: Path) -> None:
    for bits in (512, 1023, 8192):
        with pytest.raises(ConfigError, match="DKIM allows"):
            generate(RSA, tmp_path / "key", bits=bits)
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.row("S31")
def test_key_shows_nothing_of_itself(tmp_path: Path, algorithm: Algorithm) -> None:
    key = generate(algorithm, tmp_path / "key")
    assert repr(key) == str(key) == f"<PrivateKey {algorithm}>"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not travel"):
            attempt(key)


def test_record_is_what_openssl_and_dkimpy_read(tmp_path: Path) -> None:
    key = generate(RSA, tmp_path / "key")
    record = key.dns_record()
    assert record.startswith("v=DKIM1; k=rsa; p=")
    assert b64decode(record.partition("p=")[2]) == openssl("pkey", "-in", str(tmp_path / "key"), "-pubout", "-outform", "DER")
    _, size, kind, _ = dkim.load_pk_from_dns(b"s._domainkey.d.", lambda _name, **_: record.encode(), timeout=1)
    assert (size, kind) == (2048, b"rsa")


def test_ed25519_signature_is_over_the_digest(tmp_path: Path) -> None:
    # RFC 8032 section 7.1, the key of RFC 8463 too: deterministic, so dkimpy's primitive must give the same
    path = written(tmp_path / "key", corpus("dkimpy-data/data/rfc8032_7_1.key").read_bytes())
    digest = sha256(b"header").digest()
    ours = PrivateKey.load(path, ED25519).sign(digest)
    assert ours == nacl.signing.SigningKey(b64decode(path.read_bytes())).sign(digest).signature


def test_zone_line_keeps_strings_short(tmp_path: Path) -> None:
    record = generate(RSA, tmp_path / "key").dns_record()
    line = zone_line("shop.example", "s2026", record)
    assert line.startswith('s2026._domainkey.shop.example. IN TXT ( "v=DKIM1; k=rsa; p=')
    strings = line.split('"')[1::2]
    assert "".join(strings) == record
    assert max(map(len, strings)) <= 255
