"""Ready-made messages: normalised, checked, completed, and otherwise left alone."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.content.compose import Composer
from sender.content.message import Composed
from sender.content.raw import normalise, split
from sender.content.spec import parse
from sender.content.template import compile_campaign
from sender.errors import ConfigErrors, ContentError
from sender.model import Envelope
from tests.content.messages import KEYS, NOW, assert_wire_form, corpus_json, read, whole

HEAD = b"From: a@shop.example\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n folded\r\n"


def composed(message: bytes, to: str = "ann@customer.example") -> Composed:
    document = {"from": "a@shop.example", "raw_b64": base64.b64encode(message).decode()}
    compiled = compile_campaign(parse(document, file="test"))
    assert compiled.missing([]) == []
    return Composer(KEYS).compose(compiled, Envelope(campaign="order-1", ordinal=0, address=to), NOW)


def test_what_lacks_is_added_and_the_rest_left_alone() -> None:
    message = composed(HEAD + b"X-Odd:value\r\n\r\nbody\r\n")
    assert_wire_form(message)
    assert whole(message).startswith(HEAD + b"X-Odd:value\r\nDate: ")
    assert message.body == (b"body\r\n",)
    assert read(message)["subject"] == "café folded"
    assert read(message)["message-id"] == f"<{KEYS.make('order-1', 0).message_id}@shop.example>"
    own = HEAD + b"Date: Wed, 18 Nov 2026 08:26:40 +0000\r\nMESSAGE-ID: <x@y.example>\r\n\r\nbody\r\n"
    assert whole(composed(own)) == own
    assert KEYS.verify_return_path(message.mail_from) == ("order-1", 0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"a\nb", b"a\r\nb\r\n"), (b"a\rb\r", b"a\r\nb\r\n"), (b"a\r\r\nb\n\rc", b"a\r\n\r\nb\r\n\r\nc\r\n"), (b"", b"\r\n")],
)
@pytest.mark.row("S2")
def test_line_ends(body: bytes, expected: bytes) -> None:
    assert composed(HEAD + b"\r\n" + body).body == (expected,)
    assert composed(HEAD.replace(b"\r\n", b"\n") + b"\n" + body).body == (expected,)


@pytest.mark.row("S1")
def test_no_look_alike_of_an_end_of_data_leaves() -> None:
    table = corpus_json("smtp-smuggling/sequences.json")
    for sequence in {*table["outbound_eod_sequences"], *table["inbound_eod_sequences"], *table["hannob"].values()}:
        message = HEAD + b"\r\nbefore" + sequence.encode() + b"after"
        if "\0" in sequence:
            with pytest.raises(ConfigErrors, match="NUL"):
                composed(message)
        else:
            assert_wire_form(composed(message))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"Subject: x\r\n\r\n", "from: missing"),
        (b"\r\nbody", "from: missing"),
        (HEAD + b"From: b@shop.example\r\n\r\n", "more than once"),
        (HEAD + b"Message-Id: <a@b>\r\nMESSAGE-ID: <c@d>\r\n\r\n", "more than once"),
        (HEAD + b"no field\r\n\r\n", "not exactly one"),
        (b" folded\r\n" + HEAD + b"\r\n", "not exactly one"),
        (HEAD + b"X: a\rBcc: b@d.example\r\n\r\n", "mixed line ends"),
        (HEAD + b"X: a\nBcc: b@d.example\r\n\r\n", "mixed line ends"),
        (HEAD + b"X: a\0b\r\n\r\n", "NUL"),
        (HEAD + b"X: \xff\r\n\r\n", "not UTF-8"),
        (HEAD + b"X: " + b"x" * 996 + b"\r\n\r\n", "not exactly one"),
        (HEAD + b"\r\n" + b"x" * 999 + b"\r\n", "over 998"),
        (HEAD + b"X: y\r\n" * 1000 + b"\r\n", "more than 1000"),
    ],
)
@pytest.mark.row("S2")
def test_refused(message: bytes, why: str) -> None:
    with pytest.raises(ConfigErrors, match=why):
        composed(message)


@pytest.mark.row("S9")
def test_octets_over_127_are_flagged_and_never_changed() -> None:
    message = composed(HEAD + b"\r\n\xff\xfe\r\n")
    assert (message.eight_bit, message.smtputf8, message.body) == (True, False, (b"\xff\xfe\r\n",))
    assert composed(HEAD + "X-Note: é\r\n\r\n".encode()).smtputf8


@given(st.binary(max_size=100))
def test_any_octets(octets: bytes) -> None:
    for message in (octets, HEAD + b"\r\n" + octets):
        try:
            found = split(normalise(message))
        except ContentError:
            continue
        whole = b"".join(field for _, field in found.headers) + b"\r\n" + found.body
        assert whole.count(b"\r\n") == whole.count(b"\r") == whole.count(b"\n")
        assert split(normalise(whole)) == found
