"""Addresses against three published lists: each decision equals the list's, or is a deviation named here with its reason."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.content.address import parse_address, parse_domain, parse_mailbox
from sender.errors import ContentError
from tests.content.messages import corpus_json
from tests.corpora import corpus

# What we refuse although a list takes it. The value is how our refusal reads.
STRICTER = {
    "read as routes": re.compile(r"[^@]*[%!].*@"),
    "domain literal": re.compile(r".*@\["),
    "dot is missing": re.compile(r"[^@]*@[^.]+$"),
    "not a top-level domain": re.compile(r".*\.(?=[a-z0-9-]*[0-9-])(?!xn--)[a-z0-9-]+$", re.IGNORECASE),
    "not an A-label": re.compile(r"test@xn--example\.com"),  # the list's author did not decode it
}

# What we take although a list refuses it.
LAXER = {
    "a final dot is the same domain": re.compile(r".*[.\uff0e]"),
    "the limit is in octets of what we send: NFC, A-labels, no needless quotes": re.compile(
        r'my\.s\u0323\u0307\.address@1{10}2.*|"(abcdefghijklmnopqrstuvwxyz ){2}abcdefg\\h"@iana\.org'
    ),
    "RFC 5893's rule across labels is for display": re.compile(r"me@(1\.xn--4dbc\.com|xn--4dbc\.1\.com|1\.xn--4dbrk0ce)"),
    "special-use domains have no MX, which is DNS's to say": re.compile(
        r"me@(anything\.arpa|valid\.invalid|link\.local|host\.localhost|onion\.onion\.onion|test\.test\.test)"
    ),
    "SMTPUTF8 is taken, and flagged": re.compile(r'"quoted\.with\.\.unicode\.λ"@example\.com'),
}


def taken(text: str) -> str | None:
    try:
        return str(parse_address(text))
    except ContentError:
        return None


def assert_decision(text: str, *, valid: bool) -> None:
    if valid and taken(text) is None:
        with pytest.raises(ContentError) as caught:
            parse_address(text)
        reasons = [why for why, rule in STRICTER.items() if why in caught.value.why and rule.match(text)]
        assert reasons, f"{text!a} is valid, and we say {caught.value.why}"
    elif not valid and taken(text) is not None:
        assert any(rule.fullmatch(text) for rule in LAXER.values()), f"{text!a} is not valid, and we take it"


@pytest.mark.parametrize("name", ["tests.xml", "tests-original.xml"])
def test_isemail(name: str) -> None:
    valid = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321"}
    tree = ElementTree.parse(corpus(f"isemail/test/{name}"))
    cases = list(tree.getroot().iter("test"))
    assert len(cases) in (164, 279)
    for case in cases:
        text = "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) <= 0x2420 else c for c in case.findtext("address") or "")
        assert_decision(text, valid=case.findtext("category") in valid)


def test_email_validator() -> None:
    cases = corpus_json("email-validator/cases.json")
    for text, expected in cases["test_email_valid"] + cases["test_email_valid_intl_local_part"]:
        if "<" in text:
            found = parse_mailbox(text).address
            assert str(found) == f"{expected['local_part']}@{expected['domain']}"
        elif taken(text) is None:
            assert_decision(text, valid=True)
        else:
            assert taken(text) == f"{expected['local_part']}@{expected.get('ascii_domain') or expected['domain']}"
            assert parse_address(text).smtputf8 is not expected["local_part"].isascii()
    for text, local in cases["test_email_valid_only_if_quoted_local_part"]:
        assert parse_address(text).local == local
    refused = ["syntax", "syntax_strict", "reserved_domain", "character_smtputf8_off"]
    for name in refused:
        for row in cases[f"test_email_invalid_{name}"]:
            assert_decision(row[0], valid=False)
    for row in cases["test_email_invalid_syntax_display_name"]:
        with pytest.raises(ContentError):
            parse_mailbox(row[0])
    for text, _ in cases["test_email_unsafe_character"]:
        assert taken(f"{text}test@example.org") is None
    for ((text, diagnosis),) in cases["test_pyisemail_tests"]:
        assert_decision(text, valid=diagnosis.startswith(("ISEMAIL_VALID", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321")))


def test_mox() -> None:
    tables = corpus_json("mox-tables/tables.json")
    for verdict in ("good", "bad"):
        for text in tables["address"][verdict] + [f"{local}@example.com" for local in tables["localpart"][verdict]]:
            assert_decision(text, valid=verdict == "good")


@pytest.mark.parametrize(
    "twin",
    [
        "a@bücher.example",
        "a@BÜCHER.Example",
        "a@xn--bcher-kva.example",
        "a@XN--BCHER-KVA.EXAMPLE.",
        "a@bu\u0308cher。example",
        '"a"@bücher.example.',
    ],
)
def test_twins_are_one_identity(twin: str) -> None:
    assert str(parse_address(twin)) == "a@xn--bcher-kva.example"


@pytest.mark.parametrize("char", [*map(chr, range(33)), "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "<", ">", ",", "\r\n"])
@pytest.mark.row("S6")
def test_nothing_that_could_end_a_command_gets_in(char: str) -> None:
    for text in (
        f"a{char}b@d.example",
        f"ab@d{char}.example",
        f"{char}ab@d.example",
        f"ab@d.example{char}",
        f"ab{char}@d.example",
    ):
        assert taken(text) is None
    if char not in (" ", "<", ">", ","):
        assert taken(f'"a{char}b"@d.example') is None
        assert taken(f'"a\\{char}b"@d.example') is None


@pytest.mark.parametrize(
    "text",
    [
        "user@d.example:25",
        "@relay.example:user@d.example",
        "a@b)c@d.example",
        "a@d.example/x",
        "a@-d.example",
        "a@d-.example",
        "a@d_e.example",
        "a@d..example",
        "a@.example",
        "(c)a@d.example",
        "a@ab--cd.example",
    ],
)
@pytest.mark.row("S13")
def test_other_domains_than_the_one_checked_are_refused(text: str) -> None:
    assert taken(text) is None


def test_lengths_are_in_octets() -> None:
    assert taken("a" * 64 + "@d.example")
    assert taken("a" * 65 + "@d.example") is None
    assert taken("é" * 32 + "@d.example")
    assert taken("é" * 33 + "@d.example") is None
    domain = ".".join(["d" * 47] * 4) + ".example"
    assert taken("a" * (254 - 1 - len(domain)) + "@" + domain)
    assert taken("a" * (255 - 1 - len(domain)) + "@" + domain) is None
    assert taken("a@" + "d" * 63 + ".example")
    assert taken("a@" + "d" * 64 + ".example") is None


def test_mailboxes() -> None:
    assert parse_mailbox("Ann Example <ann@d.example>").name == "Ann Example"
    assert parse_mailbox('"Ann \\"A\\" Example" <ann@d.example>').name == 'Ann "A" Example'
    assert parse_mailbox(" ann@d.example ").name == ""
    for text in ("Ann\r\nBcc: x <ann@d.example>", "Ann <ann@d.example> x", "Ann <a@d.example><b@d.example>", ""):
        with pytest.raises(ContentError):
            parse_mailbox(text)


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_is_taken_is_stable(local: str, domain: str) -> None:
    once = taken(f"{local}@{domain}.example")
    if once is not None:
        assert taken(once) == once
        assert once.count("@") == 1 or once.startswith('"')
        assert parse_domain(once.rpartition("@")[2]) == once.rpartition("@")[2]
