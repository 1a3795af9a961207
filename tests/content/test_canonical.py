"""Canonicalisation against the RFC's cases, against dkimpy for anything, and against what others have signed."""

import re
from itertools import pairwise

import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from sender.content.canonical import Canonicalization, body_hash, canonical_body, canonical_header
from tests.content.foreign import checked, parsed, tags
from tests.corpora import corpus

RELAXED, SIMPLE = Canonicalization.RELAXED, Canonicalization.SIMPLE

# pieces that make every kind of white space likely, and never a bare CR or LF: composed messages have none
PIECES = st.lists(st.sampled_from([b" ", b"  ", b"\t", b"\r\n", b"a", b"b:", b"\xc3\xa9", b"."]), max_size=40).map(b"".join)
LINE = st.lists(st.sampled_from([b" ", b"   ", b"\t", b"\r\n ", b"\r\n\t", b"x", b"Y:", b"\xff"]), max_size=20).map(b"".join)


@pytest.mark.parametrize(
    ("body", "relaxed", "simple"),
    [
        (b"", b"", b"\r\n"),
        (b"\r\n", b"", b"\r\n"),
        (b"\r\n\r\n\r\n", b"", b"\r\n"),
        (b" \t\r\n \r\n", b"", b" \t\r\n \r\n"),
        (b"a\r\n", b"a\r\n", b"a\r\n"),
        (b"a", b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\n\r\n", b"a\r\n", b"a\r\n"),
        (b"a\r\n\t\r\n", b"a\r\n", b"a\r\n\t\r\n"),
        (b"\r\na\r\n", b"\r\na\r\n", b"\r\na\r\n"),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n", b" C \r\nD \t E\r\n"),  # RFC 6376 section 3.4.5
        (b"a\tb\r\n", b"a b\r\n", b"a\tb\r\n"),
        (b"a \r\n", b"a\r\n", b"a \r\n"),
        (b"          deep\r\n", b" deep\r\n", b"          deep\r\n"),
    ],
)
def test_body(body: bytes, relaxed: bytes, simple: bytes) -> None:
    assert canonical_body(body, RELAXED) == relaxed
    assert canonical_body(body, SIMPLE) == simple


def test_body_with_nothing_to_fold_is_not_copied() -> None:
    body = b"one two\r\n\r\n three\r\n" * 50
    assert canonical_body(body, RELAXED) is body
    assert canonical_body(body, SIMPLE) is body


@pytest.mark.parametrize(
    ("field", "relaxed"),
    [
        (b"A: X\r\n", b"a:X\r\n"),  # RFC 6376 section 3.4.5
        (b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
        (b"C:\r\n", b"c:\r\n"),
        (b"C: \t \r\n", b"c:\r\n"),
        (b"Subject:\r\n  folded at once\r\n", b"subject:folded at once\r\n"),
        (b"Subject: a:b: c\r\n", b"subject:a:b: c\r\n"),
        (b"Subject: a\r\n \r\n b\r\n", b"subject:a b\r\n"),
    ],
)
def test_header(field: bytes, relaxed: bytes) -> None:
    name = field.partition(b":")[0].strip().lower()
    assert canonical_header(name, field, RELAXED) == relaxed
    assert canonical_header(name, field, SIMPLE) == field


@given(PIECES)
def test_relaxed_body_is_dkimpys(body: bytes) -> None:
    assert canonical_body(body, RELAXED) == Relaxed.canonicalize_body(body if body.endswith(b"\r\n") else body + b"\r\n")


@given(PIECES)
def test_simple_body_is_dkimpys(body: bytes) -> None:
    assert canonical_body(body, SIMPLE) == Simple.canonicalize_body(body)


@given(st.lists(LINE, min_size=1, max_size=5))
def test_relaxed_header_is_dkimpys(values: list[bytes]) -> None:
    ours = b"".join(canonical_header(b"x-name", b"X-Name:" + value + b"\r\n", RELAXED) for value in values)
    theirs = Relaxed.canonicalize_headers([[b"X-Name", value + b"\r\n"] for value in values])
    assert ours == b"".join(name + b":" + value for name, value in theirs)


@given(PIECES)
def test_canonical_form_is_its_own(body: bytes) -> None:
    for mode in Canonicalization:
        once = canonical_body(body, mode)
        if once:
            assert canonical_body(once, mode) == once


@pytest.mark.parametrize("number", range(1, 7))
def test_real_mail_verifies(number: int) -> None:
    text = corpus(f"stalwart-mail-auth/resources/dkim/{number:03}.txt").read_bytes()
    first, _, message = text.partition(b"\n\n")
    records = dict(line.decode().split(" ", 1) for line in first.splitlines())
    fields, body = parsed(message)
    signatures = [field for field in fields if field[0] == b"dkim-signature"]
    known = [(field, records.get(f"{tags(field[1])['s']}._domainkey.{tags(field[1])['d']}")) for field in signatures]
    results = [checked(fields, body, field, record) for field, record in known if record]
    assert results
    assert (True, True) in results


def test_real_mail_changed_does_not_verify() -> None:
    text = corpus("stalwart-mail-auth/resources/dkim/001.txt").read_bytes()
    first, _, message = text.partition(b"\n\n")
    record = first.splitlines()[0].decode().split(" ", 1)[1]
    fields, body = parsed(message)
    assert checked(fields, body, fields[0], record) == (True, True)
    assert checked(fields, body + b"more\r\n", fields[0], record) == (False, True)
    changed = [(name, field.replace(b"Suzie", b"Susie")) for name, field in fields]
    assert checked(changed, body, fields[0], record) == (True, False)


def test_example_signed_with_simple_on_both_sides() -> None:
    folder = corpus("dkimpy-data/data")
    fields, body = parsed((folder / "rfc6376.signed.msg").read_bytes())
    assert body_hash(body, SIMPLE) == body_hash(b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n", SIMPLE)
    record = "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert checked(fields, body, fields[0], record) == (True, True)


def arc_cases(file: str) -> dict[str, tuple[bytes, bytes, str]]:
    """The signing cases: (message, ARC-Message-Signature field, DNS record), read by indentation."""
    cases: dict[str, tuple[bytes, bytes, str]] = {}
    for document in re.split(r"^---\s*$", corpus(f"arc-valimail/tests/{file}").read_text(), flags=re.MULTILINE):
        record = re.search(r"^  dummy\._domainkey\.example\.org: \|\n((?:    .*\n?)+)", document, re.MULTILINE)
        starts = [match.start() for match in re.finditer(r"^  \w+:\s*$", document, re.MULTILINE)] + [len(document)]
        for start, end in pairwise(starts):
            name = document[start:end].split(":")[0].strip()
            blocks = dict(re.findall(r"^    ([\w-]+):\s+\|\n((?:(?:      .*)?\n)+)", document[start:end], re.MULTILINE))
            if record and blocks.get("AMS", "").strip():
                message = re.sub(r"^ {6}", "", blocks["message"], flags=re.MULTILINE)
                seal = "ARC-Message-Signature: " + blocks["AMS"].strip().replace("\n", "\r\n") + "\r\n"
                cases[name] = (message.encode(), seal.encode(), "".join(record[1].split()).replace("k=", " k="))
    return cases


def test_arc_signatures_verify() -> None:
    cases = arc_cases("arc-draft-sign-tests.yml")
    edges = {
        "message_body_eol_wsp",
        "message_body_trail_crlf",
        "headers_field_name_case",
        "headers_field_unfold",
        "headers_col_wsp",
    }
    assert edges <= set(cases)
    for name, (message, seal, record) in cases.items():
        fields, body = parsed(message)
        assert checked(fields, body, (b"arc-message-signature", seal), record) == (True, True), name
