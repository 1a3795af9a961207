"""Whole messages: what is composed is what an independent parser reads back."""

import base64
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from sender.content.compose import Composer
from sender.content.token import Purpose
from sender.errors import ConfigErrors, ContentError
from sender.model import Envelope
from tests.content.messages import KEYS, NOW, assert_wire_form, compiled, composed, part, read, whole

PNG = bytes(range(256)) * 40


def attachment(name: str, content: bytes, kind: str = "application/pdf", inline_id: str = "") -> dict[str, str]:
    item = {"name": name, "type": kind, "content_b64": base64.b64encode(content).decode()}
    return item | ({"inline_id": inline_id} if inline_id else {})


def test_a_whole_message() -> None:
    message = composed(
        {"first": "Zoé", "name": "Zoé Müller", "n": "7"},
        to="zoe@xn--bcher-kva.example",
        subject="{{ first }}: d'été",
        reply_to='"Help, desk" <help@shop.example>',
        list_id="News <news.shop.example>",
        list_unsubscribe="https://shop.example/u/{{ unsubscribe_token }}?n={{ n }}",
        feedback_id="{{ campaign }}:shop:news:shop",
        headers={"X-Number": "{{ n }}", "Precedence": "bulk"},
    )
    assert_wire_form(message)
    found = read(message)
    assert found["from"] == "Shop <news@shop.example>"
    assert found["to"].addresses[0].display_name == "Zoé Müller"
    assert found["to"].addresses[0].addr_spec == "zoe@xn--bcher-kva.example"
    assert found["reply-to"].addresses[0].display_name == "Help, desk"
    assert found["subject"] == "Zoé: d'été"
    assert parsedate_to_datetime(found["date"]).timestamp() == NOW
    token = KEYS.make("spring", 7).unsubscribe
    assert found["list-unsubscribe"] == f"<https://shop.example/u/{token}?n=7>"
    assert found["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert found["list-id"] == "News <news.shop.example>"
    assert found["feedback-id"] == "spring:shop:news:shop"
    assert (found["x-number"], found["precedence"]) == ("7", "bulk")
    assert part(message, "text/plain") == "Dear Zoé,\nbye.\n"
    assert part(message, "text/html") == "<p>Dear Zoé,</p>\n"
    assert (message.rcpt, message.eight_bit, message.smtputf8) == ("zoe@xn--bcher-kva.example", False, False)
    assert KEYS.verify_return_path(message.mail_from) == ("spring", 7)
    assert message.mail_from.endswith("@shop.example")


def test_the_tree_of_parts_and_files_octet_by_octet() -> None:
    message = composed(
        html='<img src="cid:logo"> {{ first }}',
        attachments=[
            attachment("../../Rechnung März.pdf", b"\r\n.\r\n" + PNG),
            attachment("logo.png", PNG, "image/png", "logo"),
            attachment("empty.txt", b"", "text/plain"),
        ],
    )
    assert_wire_form(message)
    found = read(message)
    assert [item.get_content_type() for item in found.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "text/plain",
    ]
    invoice, empty = found.iter_attachments()
    assert invoice.get_filename() == "Rechnung März.pdf"
    assert invoice.get_content() == b"\r\n.\r\n" + PNG
    assert empty.get_content() == ""
    image = next(item for item in found.walk() if item.get_content_type() == "image/png")
    assert (image["content-id"], image.get_content()) == ("<logo>", PNG)
    assert not [item.defects for item in found.walk() if item.defects]


@pytest.mark.parametrize("changes", [{"text": None}, {"html": None}, {"text": "{{ first }}", "html": None}])
def test_single_parts(changes: dict[str, Any]) -> None:
    message = composed(**changes)
    assert_wire_form(message)
    assert not read(message).is_multipart()
    assert "Ann" in read(message).get_content()


@pytest.mark.parametrize(
    "text",
    [".", "..\n.\n\n.\nend", "\n\n", "x" * 5000, "é" * 998, "From me\nFrom you", "a \n\tb\t\n ", "=3D =\n=", "--=_a\n--=_a--"],
)
def test_bodies_are_read_back(text: str) -> None:
    message = composed({"first": text}, subject="s", text=text + "{{ first }}\n", html="<pre>{{ first }}</pre>" + text)
    assert_wire_form(message)
    assert part(message, "text/plain") == text + text + "\n"


def test_retries_keep_their_ids_and_envelopes_have_their_own() -> None:
    first, again, other = composed(ordinal=1), composed(ordinal=1), composed(ordinal=2)
    assert read(first)["message-id"] == read(again)["message-id"] != read(other)["message-id"]
    assert first.mail_from == again.mail_from != other.mail_from
    assert read(first)["message-id"].endswith("@shop.example>")


def test_the_date_follows_the_clock() -> None:
    composer, campaign = Composer(KEYS), compiled()
    envelope = Envelope(campaign="spring", ordinal=1, address="a@d.example", fields={"first": "A"})
    dates = [dict(composer.compose(campaign, envelope, NOW + step).headers)[b"date"] for step in (0, 0.9, 1, 0)]
    assert dates[0] == dates[1] == dates[3] != dates[2]
    assert dates[0] == b"Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"


def test_return_path_of_its_own() -> None:
    assert composed(return_path="b@bounces.example").mail_from.startswith("b+spring-7")
    assert composed(return_path="bounces.example").mail_from.endswith("@bounces.example")
    assert KEYS.verify(Purpose.UNSUBSCRIBE, composed().mail_from.partition("+")[2].partition("@")[0]) is None
    with pytest.raises(ConfigErrors, match="no room"):
        compiled(return_path="b" * 40 + "@bounces.example")


@pytest.mark.row("S9")
def test_smtputf8_is_flagged_and_never_downgraded() -> None:
    message = composed(to="zoé@d.example")
    assert message.smtputf8
    assert "To: zoé@d.example\r\n".encode() in whole(message)
    for sender, needed in (("Zoé <zoé@shop.example>", True), ("Zoé <zoe@bücher.example>", False)):
        changes: dict[str, Any] = {"from": sender}
        assert composed(**changes).smtputf8 is needed


def test_a_missing_field_is_an_error_not_a_half_empty_mail() -> None:
    campaign = compiled(subject="{{ a }}", text="{{ b }} {{ to }} {{ name }}", html="{{ c|default('x') }}{{ d|upper }}")
    assert campaign.fields == {"a", "b", "d"}
    assert campaign.missing(["a", "to", "d"]) == ["b"]
    for lacking in ("a", "b", "d"):
        fields = {name: "x" for name in "abd" if name != lacking}
        envelope = Envelope(campaign="spring", ordinal=1, address="a@d.example", fields=fields)
        with pytest.raises(ContentError):
            Composer(KEYS).compose(campaign, envelope, NOW)


def test_automatic_fields_win() -> None:
    message = composed(
        {"to": "x", "campaign": "x", "unsubscribe_token": "x"},
        text="{{ to }} {{ campaign }} {{ name }}",
        html=None,
        subject="s",
    )
    assert part(message, "text/plain") == "ann@customer.example spring \n"


def test_output_is_bounded() -> None:
    with pytest.raises(ContentError, match="more than 1,000,000"):
        composed({"first": "é" * 16_000}, subject="s", text="{{ first }}" * 20)
    with pytest.raises(ContentError, match="at most 900"):
        composed({"first": "é" * 500}, subject="s", list_unsubscribe="https://shop.example/{{ first }}")
    with pytest.raises(ContentError):
        composed({"first": "\ud800"})
