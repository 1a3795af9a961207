"""The judge of signatures: dkimpy's own signatures pass, and every tampering shows."""

import base64
import hashlib
import io
import json

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from workers.emulator.verifier import KEYS, MESSAGE, Judge, frame, serve

MESSAGE_TEXT = (
    b"From: news@shop.example\r\nTo: joe@here.example\r\nSubject: hello\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@shop.example>\r\n\r\nHello.\r\n"
)


class Signer:
    """An RSA key with its record, signing through dkimpy."""

    def __init__(self) -> None:
        key = generate_private_key(65_537, 2_048)
        self._pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.texts = {"s1._domainkey.shop.example": f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"}

    def sign(self, message: bytes) -> bytes:
        signature: bytes = dkim.sign(message, b"s1", b"shop.example", self._pem, canonicalize=(b"relaxed", b"relaxed"))
        return signature + message


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def judge(signer: Signer) -> Judge:
    judge = Judge()
    judge.learn(signer.texts)
    return judge


def test_a_good_signature_passes(judge: Judge, signer: Signer) -> None:
    assert judge.judge(signer.sign(MESSAGE_TEXT)) == ("pass shop.example",)


def test_tampering_shows(judge: Judge, signer: Signer) -> None:
    signed = signer.sign(MESSAGE_TEXT)
    [body] = judge.judge(signed.replace(b"Hello.", b"Hullo."))
    [header] = judge.judge(signed.replace(b"Subject: hello", b"Subject: hullo"))
    assert body.startswith("fail shop.example: body hash mismatch")
    assert header == "fail shop.example: the signature does not match"


def test_what_is_missing_is_named(judge: Judge, signer: Signer) -> None:
    assert judge.judge(MESSAGE_TEXT) == ()
    judge.learn({})
    assert judge.judge(signer.sign(MESSAGE_TEXT)) == ("fail shop.example: no key at s1._domainkey.shop.example",)


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\x00", b"DKIM-Signature: x\r\n\r\n", b"DKIM-Signature: v=1; a=b\r\n\r\n", b"no header\r\n"]
)
def test_junk_fails_and_ends_nothing(judge: Judge, junk: bytes) -> None:
    assert not any(entry.startswith("pass") for entry in judge.judge(junk))


def test_two_signatures_are_judged_one_by_one(judge: Judge, signer: Signer) -> None:
    twice = signer.sign(MESSAGE_TEXT)
    stranger = Signer().sign(MESSAGE_TEXT)
    both = stranger[: len(stranger) - len(MESSAGE_TEXT)] + twice
    assert judge.judge(both) == ("fail shop.example: the signature does not match", "pass shop.example")


def ed25519_signed(key: Ed25519PrivateKey, message: bytes) -> bytes:
    """RFC 8463: the hash that RSA would sign, signed as a message. The hash comes from a field that dkimpy would accept."""
    body = message.partition(b"\r\n\r\n")[2]
    bh = base64.b64encode(hashlib.sha256(body).digest())
    field = b"v=1; a=ed25519-sha256; c=simple/simple; d=shop.example; s=ed; h=from:subject; bh=" + bh + b"; b="
    signed = b"From: news@shop.example\r\nSubject: hello\r\nDKIM-Signature: " + field
    signature = base64.b64encode(key.sign(hashlib.sha256(signed).digest()))
    return b"DKIM-Signature: " + field + signature + b"\r\n" + message


def test_ed25519_is_judged_too(judge: Judge) -> None:
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    judge.learn({"ed._domainkey.shop.example": f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"})
    signed = ed25519_signed(key, MESSAGE_TEXT)
    assert judge.judge(signed) == ("pass shop.example",)
    [verdict] = judge.judge(signed.replace(b"Subject: hello", b"Subject: hullo"))
    assert verdict == "fail shop.example: the signature does not match"
    assert judge.judge(signed) == ("pass shop.example",)  # a verdict does not stick to the key


def test_the_process_reads_frames_and_writes_lines(signer: Signer) -> None:
    signed = signer.sign(MESSAGE_TEXT)
    source = io.BytesIO(
        frame(KEYS, 0, json.dumps(signer.texts).encode())
        + frame(MESSAGE, 7, signed)
        + frame(MESSAGE, 8, signed + b"more\r\n")
        + frame(MESSAGE, 9, MESSAGE_TEXT)
    )
    sink = io.BytesIO()
    serve(source, sink)
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [line["serial"] for line in lines] == [7, 8, 9]
    assert [line["signatures"][0][:4] if line["signatures"] else "" for line in lines] == ["pass", "fail", ""]
