"""Header fields: one field in, one field out, whatever the value; and a parser that is not ours reads it back."""

from email import message_from_bytes, policy
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.content import headers
from sender.content.address import parse_mailbox
from sender.errors import ContentError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
SPECIAL = st.text(st.sampled_from(list('ab .,;:<>@()[]"\\=?_é\u4e2d\U0001f600\r\n\t\0')), max_size=120)


def assert_field(whole: bytes) -> None:
    headers.check_field(whole)
    assert whole.isascii()
    assert max(map(len, whole.split(b"\r\n"))) <= 78 or b"=?" not in whole


def display_name(whole: bytes, name: str) -> str:
    """The name as read; the newer parser keeps the space between two encoded words, which RFC 2047 says is none."""
    if whole.count(b"=?utf-8?b?") < 2:
        return name
    words = whole.removeprefix(b"To: ").rpartition(b"<")[0].decode("ascii").replace("\r\n", "").strip()
    return str(make_header(decode_header(words)))


def read(whole: bytes) -> str:
    message = message_from_bytes(whole + b"\r\n", policy=policy.default)
    assert len(message.keys()) == 1
    return str(message.values()[0])


@given(TEXT | SPECIAL)
def test_free_text_is_read_back(text: str) -> None:
    whole = headers.unstructured("Subject", text)
    assert_field(whole)
    assert read(whole) == headers.clean(text)


@given(TEXT | SPECIAL)
@pytest.mark.row("S5")
def test_display_names_are_read_back(text: str) -> None:
    whole = headers.address_field(b"To", text, b"ann@customer.example")
    assert_field(whole)
    message = message_from_bytes(whole + b"\r\n", policy=policy.default)
    (address,) = message["to"].addresses
    assert address.addr_spec == "ann@customer.example"
    assert display_name(whole, address.display_name) == " ".join(headers.clean(text).split())


@pytest.mark.parametrize("length", [1, 60, 75, 76, 77, 200, 997, 998, 999, 4000])
@pytest.mark.row("S5")
def test_long_values_fold_or_are_encoded(length: int) -> None:
    for text in ("x" * length, ("word " * length)[:length].strip(), "é" * length):
        whole = headers.unstructured("X-Note", text)
        headers.check_field(whole)
        assert read(whole) == text
    with pytest.raises(ContentError, match="at most 4000"):
        headers.unstructured("X-Note", "x" * 4001)


def test_what_looks_like_an_encoded_word_is_encoded() -> None:
    whole = headers.unstructured("Subject", "=?utf-8?Q?hi=0D=0ABcc:_evil@x?=")
    assert read(whole) == "=?utf-8?Q?hi=0D=0ABcc:_evil@x?="
    assert b"Bcc" not in whole


def test_least_encoding() -> None:
    assert headers.mailbox("From", parse_mailbox("Shop <a@d.example>")) == b"From: Shop <a@d.example>\r\n"
    assert headers.mailbox("From", parse_mailbox('"Shop, Inc." <a@d.example>')) == b'From: "Shop, Inc." <a@d.example>\r\n'
    assert headers.mailbox("From", parse_mailbox("a@d.example")) == b"From: a@d.example\r\n"
    assert headers.mailbox("From", parse_mailbox("Zoé <a@d.example>")) == b"From: =?utf-8?b?Wm/DqQ==?= <a@d.example>\r\n"
    assert headers.list_id("Shop news <news.shop.example>") == b"List-Id: Shop news\r\n <news.shop.example>\r\n"
    assert headers.list_id("news.shop.example") == b"List-Id: <news.shop.example>\r\n"


@pytest.mark.parametrize(
    "whole",
    [
        b"A: b",
        b"A: b\n",
        b"A: b\r\nB: c\r\n",
        b"A: b\rc\r\n",
        b"A: \0\r\n",
        b"A b\r\n",
        b"A : b\r\n",
        b" A: b\r\n",
        b"A: b\r\n \r\n",
        b"A: b\r\n\r\n",
        b"",
        b"\r\n",
        b"A: " + b"x" * 996 + b"\r\n",
        "é: b\r\n".encode(),
    ],
)
@pytest.mark.row("S3")
def test_what_is_no_field_is_refused(whole: bytes) -> None:
    with pytest.raises(ContentError):
        headers.check_field(whole)


def test_a_field_of_another_name_is_refused() -> None:
    headers.check_field(b"To: b\r\n", b"to")
    with pytest.raises(ContentError):
        headers.check_field(b"Bcc: b\r\n", b"to")


@pytest.mark.parametrize("name", ["a.pdf", "Größe.pdf", "a b;c.pdf", 'a"b\\.pdf', "x" * 120 + ".pdf", "é" * 100])
def test_file_names_are_read_back(name: str) -> None:
    whole = f"Content-Disposition: attachment{headers.parameter('filename', name)}\r\n".encode("ascii")
    assert_field(whole)
    assert message_from_bytes(whole + b"\r\n", policy=policy.default).get_filename() == name
