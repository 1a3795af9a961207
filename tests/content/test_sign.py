"""What we sign, dkimpy verifies; what was changed on the way, it does not."""

from itertools import product
from pathlib import Path

import dkim
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sender.content.canonical import Canonicalization
from sender.content.key import PrivateKey, generate
from sender.content.message import Composed
from sender.content.rotation import Algorithm, DkimKey
from sender.content.sign import finish, prepare
from sender.content.signed import SIGNED, SignedFields
from sender.errors import ContentError, SigningError
from tests.content.foreign import dns, parsed, tags
from tests.content.messages import composed as campaign_message
from tests.corpora import corpus

NOW = 1_795_000_000.0
RELAXED, SIMPLE = Canonicalization.RELAXED, Canonicalization.SIMPLE

HEADER = (
    b"From: Shop <news@shop.example>\r\n",
    b"To: ann@customer.example\r\n",
    b"Subject: Ten percent,\r\n\t  only  today \r\n",
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n",
    b"Message-ID: <1@shop.example>\r\n",
    b"List-Unsubscribe: <https://shop.example/u/1>\r\n",
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
    b"Feedback-ID: spring:shop\r\n",
    b"X-Campaign: spring\r\n",
)
BODY = b"Dear Ann,\r\n\r\n\t  ten  percent \r\nbye\r\n"


class Identity:
    """Keys of one domain, both halves, and the DNS that publishes them."""

    def __init__(self, **files: PrivateKey) -> None:
        self.private = files
        self.records = {f"{selector}._domainkey.shop.example": key.dns_record() for selector, key in files.items()}

    def keys(self, headers: Canonicalization = RELAXED, body: Canonicalization = RELAXED) -> list[DkimKey]:
        return [
            DkimKey(domain="shop.example", selector=name, algorithm=key.algorithm, headers=headers, body=body)
            for name, key in self.private.items()
        ]

    def signed(self, message: Composed, keys: list[DkimKey] | None = None) -> bytes:
        prepared = prepare(message, self.keys() if keys is None else keys, NOW)
        signatures = [self.private[name.partition("/")[2]].sign(digest) for name, digest in prepared.digests]
        return finish(prepared, signatures) + b"".join(message.body)

    def verdicts(self, content: bytes) -> list[bool]:
        """dkimpy's verdict on each signature, from the top."""
        count = sum(name == b"dkim-signature" for name, _ in parsed(content)[0])
        return [verified(content, place, self.records) for place in range(count)]


def verified(content: bytes, place: int, records: dict[str, str]) -> bool:
    try:
        return bool(dkim.DKIM(content).verify(idx=place, dnsfunc=dns(records)))
    except dkim.ValidationError:  # how dkimpy says that the body is another
        return False


def message(*fields: bytes, body: bytes = BODY) -> Composed:
    named = tuple((field.partition(b":")[0].strip().lower(), field) for field in fields or HEADER)
    return Composed(named, (body,), len(body), "b@shop.example", "ann@customer.example", SignedFields(named))


def corpus_key(tmp_path: Path, name: str, algorithm: Algorithm) -> PrivateKey:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(corpus(f"dkimpy-data/data/{name}").read_bytes())
    return PrivateKey.load(path, algorithm)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("keys")
    return Identity(r1=generate(Algorithm.RSA, folder / "r1"), e1=generate(Algorithm.ED25519, folder / "e1"))


@pytest.mark.parametrize(("headers", "body"), list(product(Canonicalization, Canonicalization)))
@pytest.mark.parametrize(
    "text", [BODY, b"", b"\r\n", b"x\r\n\r\n\r\n", b" \r\n", b"plain\r\n", b"\xc3\xa9\r\n", b".\r\n..\r\n"]
)
def test_dkimpy_verifies(identity: Identity, headers: Canonicalization, body: Canonicalization, text: bytes) -> None:
    content = identity.signed(message(body=text), identity.keys(headers, body))
    assert identity.verdicts(content) == [True, True]


@pytest.mark.parametrize(
    ("file", "algorithm"),
    [
        ("1024_testkey.key", Algorithm.RSA),
        ("2048_testkey.key", Algorithm.RSA),
        ("2048_testkey_PKCS8.key", Algorithm.RSA),
        ("test.private", Algorithm.RSA),
        ("ed25519test.key", Algorithm.ED25519),
        ("rfc8032_7_1.key", Algorithm.ED25519),
    ],
)
def test_dkimpy_verifies_with_its_own_keys(tmp_path: Path, file: str, algorithm: Algorithm) -> None:
    identity = Identity(s1=corpus_key(tmp_path, file, algorithm))
    assert identity.verdicts(identity.signed(message())) == [True]


@pytest.mark.parametrize("bits", [1024, 3072, 4096])
def test_dkimpy_verifies_other_sizes(tmp_path: Path, bits: int) -> None:
    identity = Identity(s1=generate(Algorithm.RSA, tmp_path / "key", bits=bits))
    assert identity.verdicts(identity.signed(message())) == [True]


def test_published_keys_sign_what_their_records_verify(tmp_path: Path) -> None:
    # the Ed25519 key of RFC 8463 appendix A: its record is known, so is the public half of what we publish
    private = corpus_key(tmp_path, "rfc8032_7_1.key", Algorithm.ED25519)
    assert private.dns_record() == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_composed_campaign_verifies(identity: Identity) -> None:
    made = campaign_message(list_unsubscribe="https://shop.example/u", feedback_id="spring:shop")
    content = identity.signed(made)
    assert identity.verdicts(content) == [True, True]
    listed = tags(parsed(content)[0][0][1])["h"].split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "feedback-id", "message-id", "date", "to"} <= set(listed)


PIECE = st.sampled_from([b" ", b"  ", b"\t", b"\r\n ", b"word", b"a:b;c=d", b"\xc3\xa9", b"="])
BODY_PIECE = st.sampled_from([b" ", b"\t", b"\r\n", b"word", b"--", b"From ", b".", b"\xc3\xa9"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(
    names=st.lists(st.sampled_from([b"Subject", b"To", b"CC", b"List-Id", b"X-Mine", b"content-type"]), max_size=8),
    values=st.lists(st.lists(PIECE, max_size=8).map(b"".join), min_size=8, max_size=8),
    body=st.lists(BODY_PIECE, max_size=20).map(b"".join),
    modes=st.tuples(st.sampled_from(Canonicalization), st.sampled_from(Canonicalization)),
)
def test_dkimpy_verifies_anything(
    identity: Identity,
    names: list[bytes],
    values: list[bytes],
    body: bytes,
    modes: tuple[Canonicalization, Canonicalization],
) -> None:
    # "x" keeps the fold from being the last line of the field, which no header may have (RFC 5322 section 3.2.2)
    fields = [name + b": x" + value + b"x\r\n" for name, value in zip(names, values, strict=False)]
    made = message(b"From: a@shop.example\r\n", *fields, body=body + b"\r\n")
    keys = identity.keys(*modes)[1:]  # Ed25519: dkimpy's RSA takes 10 ms
    assert identity.verdicts(identity.signed(made, keys)) == [True]


@pytest.mark.parametrize(
    "added", [b"From: Bank <a@bank.example>\r\n", b"Subject: Your account\r\n", b"from: x@y.example\r\n", b"SUBJECT : x\r\n"]
)
def test_second_from_or_subject_breaks_the_signature(identity: Identity, added: bytes) -> None:
    content = identity.signed(message())
    assert identity.verdicts(content) == [True, True]
    head, _, body = content.partition(b"\r\n\r\n")
    if b" :" not in added:  # dkimpy reads no space before the colon, and so never finds such a field
        assert identity.verdicts(added + content) == [False, False]
        assert identity.verdicts(head + b"\r\n" + added + b"\r\n" + body) == [False, False]


def test_missing_subject_is_signed_as_missing(identity: Identity) -> None:
    content = identity.signed(message(b"From: a@shop.example\r\n"))
    assert identity.verdicts(content) == [True, True]
    assert identity.verdicts(b"Subject: Your account\r\n" + content) == [False, False]


@pytest.mark.parametrize("field", [field for field in HEADER if field.partition(b":")[0].lower() in SIGNED])
def test_every_field_that_counts_is_signed(identity: Identity, field: bytes) -> None:
    content = identity.signed(message())
    name = field.partition(b":")[0]
    assert identity.verdicts(content.replace(b"\r\n" + field, b"\r\n" + name + b": other\r\n")) == [False, False]


def test_other_fields_may_change(identity: Identity) -> None:
    content = identity.signed(message())
    changed = b"Received: from x\r\n" + content.replace(b"X-Campaign: spring", b"X-Campaign: autumn")
    assert identity.verdicts(changed) == [True, True]


def test_repeated_fields_are_signed_each(identity: Identity) -> None:
    content = identity.signed(message(b"To: a@x.example\r\n", b"From: a@shop.example\r\n", b"To: b@x.example\r\n"))
    assert identity.verdicts(content) == [True, True]
    assert tags(parsed(content)[0][0][1])["h"].split(":").count("to") == 2
    assert identity.verdicts(content.replace(b"To: a@x", b"To: c@x")) == [False, False]


def test_changed_body_breaks_and_longer_body_too(identity: Identity) -> None:
    content = identity.signed(message())
    assert identity.verdicts(content.replace(b"ten", b"nine")) == [False, False]
    assert identity.verdicts(content + b"and one more thing\r\n") == [False, False]


def test_field_as_it_is_written(identity: Identity) -> None:
    content = identity.signed(message())
    fields, body = parsed(content)
    assert body == BODY
    first, second = tags(fields[0][1]), tags(fields[1][1])
    assert (first["a"], second["a"]) == ("rsa-sha256", "ed25519-sha256")
    assert (first["v"], first["c"], first["d"], first["s"]) == ("1", "relaxed/relaxed", "shop.example", "r1")
    assert first["t"] == "1795000000"
    assert not {"l", "x", "z", "i"} & set(first)
    assert first["h"].split(":").count("from") == first["h"].split(":").count("subject") == 2
    assert max(map(len, content.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78


def test_expiry_when_told(identity: Identity) -> None:
    key = DkimKey(domain="shop.example", selector="e1", algorithm=Algorithm.ED25519, expires_s=604_800.0)
    content = identity.signed(message(), [key])
    assert tags(parsed(content)[0][0][1])["x"] == str(1_795_000_000 + 604_800)


def test_keys_with_different_canonicalisation_share_a_message(identity: Identity) -> None:
    keys = [identity.keys(SIMPLE, RELAXED)[0], identity.keys(RELAXED, SIMPLE)[1]]
    assert identity.verdicts(identity.signed(message(), keys)) == [True, True]


def test_only_active_keys_sign(identity: Identity) -> None:
    due, early = identity.keys()[1], DkimKey(domain="shop.example", selector="z", algorithm=Algorithm.RSA, not_before=NOW + 1)
    assert [name for name, _ in prepare(message(), [early, due], NOW).digests] == ["shop.example/e1"]


@pytest.mark.row("S31")
def test_never_unsigned(identity: Identity) -> None:
    with pytest.raises(SigningError, match="not sent unsigned"):
        prepare(message(), [], NOW)
    prepared = prepare(message(), identity.keys(), NOW)
    for signatures in ([], [b"one"], [b"one", b""], [b"one", b"two", b"three"]):
        with pytest.raises(SigningError, match="expected 2 signatures"):
            finish(prepared, signatures)


def test_no_from_is_refused(identity: Identity) -> None:
    with pytest.raises(ContentError, match="from"):
        prepare(message(b"Subject: x\r\n"), identity.keys(), NOW)
