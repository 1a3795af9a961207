"""Hostile values in every place a value can stand: never another field, another part, or a bare line end."""

from html import unescape
from typing import Any

import pytest

from sender.content.compose import Composer
from sender.content.headers import clean
from sender.content.quoted import unix_lines
from sender.content.template import Compiled
from sender.errors import ConfigErrors, ContentError
from sender.model import Envelope
from tests.content.messages import KEYS, NOW, assert_wire_form, compiled, composed, corpus_json, document, part, read

PLANNED = [b"date", b"from", b"to", b"subject", b"message-id", b"list-unsubscribe", b"list-unsubscribe-post", b"x-note"]
PLANNED += [b"mime-version", b"content-type"]


def look_alikes() -> list[str]:
    table = corpus_json("smtp-smuggling/sequences.json")
    found = {*table["outbound_eod_sequences"], *table["inbound_eod_sequences"], *table["hannob"].values()}
    assert len(found) == 12
    return sorted(found)


@pytest.fixture(name="campaign", scope="module")
def campaign_fixture() -> Compiled:
    """A campaign with a merge field in every place that may have one."""
    return compiled(
        subject="{{ v }}",
        text="[{{ v }}]\n{{ v }}\n{% if v %}({{ v }}){% endif %}",
        html='<p title="{{ v }}">{{ v }}</p>\n{% if v %}<b>{{ v }}</b>{% endif %}',
        headers={"X-Note": "a {{ v }}"},
        list_unsubscribe="https://shop.example/{{ v|truncate(60) }}",
    )


def everywhere(campaign: Compiled, value: str) -> None:
    """Put the value in every field of a message and see that it comes back as itself."""
    envelope = Envelope(campaign="spring", ordinal=7, address="ann@customer.example", fields={"v": value, "name": value})
    message = Composer(KEYS).compose(campaign, envelope, NOW)
    assert_wire_form(message)
    assert [name for name, _ in message.headers] == PLANNED
    found = read(message)
    assert found["subject"] == clean(value)
    assert found["x-note"] == clean("a " + value)
    assert found["to"].addresses[0].addr_spec == "ann@customer.example"
    assert found["to"].addresses[0].display_name.replace(" ", "") == "".join(clean(value).split())
    assert [item.get_content_type() for item in found.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    lines = unix_lines(value)
    assert part(message, "text/plain") == f"[{lines}]\n{lines}\n" + (f"({lines})\n" if value else "\n")
    html = part(message, "text/html")
    assert html.count("<") == (4 if value else 2)
    assert unescape(html) == f'<p title="{lines}">{lines}</p>\n' + (f"<b>{lines}</b>\n" if value else "\n")


@pytest.mark.row("S22")
def test_naughty_strings_come_back_as_themselves(campaign: Compiled) -> None:
    strings = corpus_json("naughty-strings/blns.json")
    assert len(strings) == 515
    for value in strings:
        everywhere(campaign, value)


@pytest.mark.row("S1")
def test_no_look_alike_of_an_end_of_data_leaves(campaign: Compiled) -> None:
    for value in look_alikes():
        everywhere(campaign, "before" + value + "MAIL FROM:<x>")
        message = composed({"v": value}, subject="{{ v }}", text="x" + value.replace("\0", "") + "y{{ v }}", html=None)
        assert_wire_form(message)


@pytest.mark.parametrize(
    "value",
    [
        "A\r\nBcc: evil@d.example",
        "A\nBcc: x",
        "A\rBcc: x",
        "A\r\n\r\n<html>",
        "=?utf-8?Q?hi=0D=0ABcc:_evil@x?=",
        "=?utf-8?B?DQpCY2M6IHg=?=",
        '"><script>',
        "\u202egnp.exe",
        "a\u2028b\x85c",
        "\x0b\x0c\x1c\x1d\x1e",
        '"',
        "\\",
        'a"\\\r\n b',
        "<x@d.example>, <y@d.example>",
        "x" * 3900,
        "\0",
        "--=_a" * 5,
        "\r\n.\r\n",
        " ",
        "{{ v }}{% if %}",
    ],
)
@pytest.mark.row("S2")
@pytest.mark.row("S3")
@pytest.mark.row("S5")
def test_values_stay_values(campaign: Compiled, value: str) -> None:
    everywhere(campaign, value) if len(value) < 800 else composed({"first": value, "name": value})


@pytest.mark.parametrize(
    "name",
    [
        "From",
        "SENDER",
        "Return-Path",
        "Received",
        "DKIM-Signature",
        "Bcc",
        "Content-Type",
        "Resent-To",
        "ARC-Seal",
        "Subject",
        "Message-ID",
        "X\r\nBcc",
        "X:",
        "X Y",
        "é",
        "",
        " X",
        "X" * 41,
        "X\0",
    ],
)
@pytest.mark.row("S4")
def test_field_names_are_tokens_and_not_ours(name: str) -> None:
    with pytest.raises(ConfigErrors, match=r"headers\."):
        composed(headers={name: "x"})


@pytest.mark.row("S4")
def test_field_names_once_only() -> None:
    with pytest.raises(ConfigErrors, match="twice"):
        composed(headers={"X-A": "x", "x-a": "y"})


@pytest.mark.parametrize("key", ["from", "reply_to", "list_id", "list_unsubscribe", "return_path", "identity"])
@pytest.mark.parametrize("ending", ["\r\nBcc: x@d.example", "\nBcc: x@d.example", "\0", "\rx"])
@pytest.mark.row("S2")
def test_specifications_can_not_inject_either(key: str, ending: str) -> None:
    value = {"list_unsubscribe": "https://shop.example/", "list_id": "news.shop.example"}.get(key, "news@shop.example")
    changes: dict[str, Any] = {key: value + ending}
    with pytest.raises(ConfigErrors, match=key):
        composed(**changes)


@pytest.mark.row("S3")
def test_static_text_in_headers_follows_the_same_rule() -> None:
    message = composed(subject="a\r\nBcc: x", headers={"X-A": "a\nBcc: x"})
    assert_wire_form(message)
    assert read(message)["subject"] == read(message)["x-a"] == "a Bcc: x"
    assert "bcc" not in read(message)


@pytest.mark.row("S2")
def test_attachments_can_not_inject() -> None:
    for name in ("a\r\nBcc: x", "a\0", "..", "/", "a/.."):
        with pytest.raises(ConfigErrors, match="name"):
            composed(attachments=[{"name": name, "content_b64": ""}])
    for kind in ("text/plain\r\nX: y", "message/rfc822", "multipart/mixed", "text", "text/plain; x=y"):
        with pytest.raises(ConfigErrors, match="type"):
            composed(attachments=[{"name": "a", "type": kind, "content_b64": ""}])
    for inline_id in ("a>\r\nX: y", "a b", "<a>"):
        with pytest.raises(ConfigErrors, match="inline_id"):
            composed(attachments=[{"name": "a", "inline_id": inline_id, "content_b64": ""}])


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://{{ v }}/",
        "https://shop.example{{ v }}",
        "mailto:x@d.example",
        "https://shop.example/>, <mailto:x",
        "https:///x",
        "https://[x/",
        "https://shop.example/é",
    ],
)
def test_unsubscribe_urls(url: str) -> None:
    with pytest.raises(ConfigErrors, match="list_unsubscribe"):
        composed(list_unsubscribe=url)


@pytest.mark.row("S6")
def test_an_address_that_was_never_checked_is_not_written(campaign: Compiled) -> None:
    for address in ("a@d.example\r\nBcc: x@d.example", "a@d.example\nBcc: x@d.example", "a@d.example\rx", "a@d.example\r\n"):
        envelope = Envelope(campaign="spring", ordinal=7, address=address, fields={"v": "x"})
        with pytest.raises(ContentError, match="well-formed"):
            Composer(KEYS).compose(campaign, envelope, NOW)


def test_a_document_is_what_the_tests_think() -> None:
    assert set(document()) == {"from", "subject", "text", "html"}
