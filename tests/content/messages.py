"""Campaigns to test with, and the reading back by a parser that is not ours: the standard library's."""

import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from sender.content.compose import Composer
from sender.content.message import Composed
from sender.content.spec import parse
from sender.content.template import Compiled, compile_campaign
from sender.content.token import TokenKeys
from sender.model import Envelope
from tests.corpora import corpus

KEYS = TokenKeys({"a": bytes(range(32))})
NOW = 1_795_000_000.0


def corpus_json(name: str) -> Any:
    """A corpus file that is JSON."""
    return json.loads(corpus(name).read_text(encoding="utf-8"))


def document(**changes: Any) -> dict[str, Any]:
    """A small campaign with some keys set; None takes a key away."""
    base: dict[str, Any] = {
        "from": "Shop <news@shop.example>",
        "subject": "Hello {{ first }}",
        "text": "Dear {{ first }},\nbye.\n",
        "html": "<p>Dear {{ first }},</p>\n",
    }
    return {key: value for key, value in (base | changes).items() if value is not None}


def compiled(**changes: Any) -> Compiled:
    return compile_campaign(parse(document(**changes), file="test"), campaign="spring", file="test")


def composed(
    fields: dict[str, str] | None = None, *, to: str = "ann@customer.example", ordinal: int = 7, **changes: Any
) -> Composed:
    envelope = Envelope(campaign="spring", ordinal=ordinal, address=to, fields={"first": "Ann"} if fields is None else fields)
    return Composer(KEYS).compose(compiled(**changes), envelope, NOW)


def whole(message: Composed) -> bytes:
    """The message as it would go out unsigned."""
    return message.head + b"".join(message.body)


def read(message: Composed) -> EmailMessage:
    """The message as the standard library reads it."""
    found = message_from_bytes(whole(message), policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def part(message: Composed, kind: str) -> str:
    """The decoded text of the part of this type, its line ends as \\n."""
    found = next(part for part in read(message).walk() if part.get_content_type() == kind)
    content = found.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def assert_wire_form(message: Composed) -> None:
    """What must hold of every message: line ends, lengths, well-formed fields that are the planned ones, 7 bits."""
    content = whole(message)
    assert content.endswith(b"\r\n")
    assert content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")
    assert b"\0" not in content
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"".join(message.body).isascii() or message.eight_bit
    assert message.size == len(b"".join(message.body))
    names = [name for name, _ in message.headers]
    assert all(whole.lower().startswith(name + b":") for name, whole in message.headers)
    found = message_from_bytes(content, policy=policy.compat32)
    assert [name.lower().encode() for name, _ in found.items()] == names
    assert len(names) == len(set(names))
