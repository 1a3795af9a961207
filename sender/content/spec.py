"""A campaign's specification: the JSON document that anybody may write, checked as a whole before anything is queued.

Wire format, version 1; unknown keys are errors. Template values (`subject`, `text`, `html`, `headers`, `list_unsubscribe`,
`feedback_id`) may name merge fields as `{{ field }}`.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from sender.content.address import parse_address, parse_domain, parse_mailbox
from sender.content.headers import NAME_MAX
from sender.content.times import DayWindow, Moment, time_mistakes
from sender.errors import ConfigError, ConfigErrors, ContentError
from sender.schema import SPILL_NOW, Rate, Seconds, Spill, convert, rate_text, spill_text

HEADERS_MAX = 50
ATTACHMENTS_MAX = 100
ATTACHMENTS_BYTES_MAX = 30_000_000

_CAMPAIGN = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_CAMPAIGN_MAX = 32
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+^_`|~.-]+")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*", re.IGNORECASE)
_CONTENT_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:@[A-Za-z0-9.-]+)?")
_LIST_ID = re.compile(r"(?:([^<>\r\n]*)<)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(>)?")
_COMPOSED = ("subject", "text", "html", "headers", "reply_to", "list_id", "list_unsubscribe", "feedback_id", "attachments")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Set by us, by the receivers or by whoever relays: a campaign that sets them is mistaken or up to something.
_RESERVED = re.compile(
    r"apparently-to|authentication-results|bcc|cc|date|delivered-to|dkim-signature|domainkey-signature|feedback-id|from"
    r"|list-id|list-unsubscribe|list-unsubscribe-post|message-id|mime-version|received|received-spf|reply-to|return-path"
    r"|sender|subject|to|x-original-to|arc-.*|content-.*|resent-.*"
)

ShortText = Annotated[str, msgspec.Meta(max_length=2000)]
Body = Annotated[str, msgspec.Meta(max_length=2_000_000)]
Slug = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$",
        description="1 to 64 lower-case letters and digits, and '-' or '_' between them",
    ),
]


class TemplateMode(StrEnum):
    """How the template values are read."""

    AUTO = "auto"  # logic only where there is some
    PLAIN = "plain"  # `{{ field }}` and nothing else; `{%` is text
    JINJA = "jinja"


class Attachment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that goes with every message; with `inline_id` an image that the HTML names as `cid:inline_id`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    type: Annotated[str, msgspec.Meta(max_length=100)] = "application/octet-stream"
    content_b64: str
    inline_id: Annotated[str, msgspec.Meta(max_length=100)] = ""

    @property
    def content(self) -> bytes:
        return b64decode(self.content_b64, validate=True)

    @property
    def file_name(self) -> str:
        """The name without any folder: `../../x` is `x`."""
        return PurePosixPath(self.name.replace("\\", "/")).name


class CampaignSpec(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What to send, in whose name and how urgently; not to whom."""

    v: Literal[1] = 1
    from_: Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]
    reply_to: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    subject: ShortText = ""
    text: Body = ""
    html: Body = ""
    headers: dict[str, ShortText] = {}
    list_id: Annotated[str, msgspec.Meta(max_length=250)] = ""
    list_unsubscribe: ShortText = ""  # an https URL that takes the POST of RFC 8058
    feedback_id: Annotated[str, msgspec.Meta(max_length=200)] = ""
    list: Annotated[str, msgspec.Meta(max_length=200)] = ""  # which list a later unsubscription is about
    pool: Slug = "main"
    priority: Annotated[int, msgspec.Meta(ge=0, le=9)] = 5  # 0 goes first
    identity: str = ""  # the domain whose keys sign; "" is the From domain
    return_path: str = ""  # a domain, or an address whose local part bounces are told apart behind; "" is bounce@identity
    attachments: tuple[Attachment, ...] = ()
    template: TemplateMode = TemplateMode.AUTO
    raw_b64: Annotated[str, msgspec.Meta(max_length=60_000_000)] = ""  # a ready-made RFC 5322 message
    give_up: Seconds | None = None  # age at which retries end, if not the configured one
    start: Moment | None = None  # nothing is sent before
    deadline: Moment | None = None  # who has not been sent to by then ends as EXPIRED
    windows: tuple[DayWindow, ...] = ()  # nothing is sent outside of them
    time_zone: str = "UTC"  # of the windows, as the IANA database names it
    rate: Rate | None = None  # at most so many envelopes, over all sources
    spill: Spill = SPILL_NOW  # for how long warm sources leave it to those of the pool that warm up

    @property
    def scheduled(self) -> bool:
        """Whether it may have to wait for more than its turn."""
        return any((self.start, self.deadline, self.windows, self.rate))

    @property
    def signing_domain(self) -> str:
        """The domain whose DKIM keys sign, as A-labels."""
        return parse_domain(self.identity) if self.identity else parse_mailbox(self.from_).address.domain

    @property
    def bounce_address(self) -> tuple[str, str]:
        """Local part and domain that every return path starts from."""
        if "@" in self.return_path:
            address = parse_address(self.return_path)
            return address.local, address.domain
        return "bounce", parse_domain(self.return_path) if self.return_path else self.signing_domain


def parse(document: bytes | Mapping[str, Any], *, file: str) -> CampaignSpec:
    """Read a specification, or raise ConfigErrors naming every key that does not fit."""
    if not isinstance(document, Mapping):
        try:
            document = msgspec.json.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigErrors([ConfigError(file, "", f"not JSON: {error}")]) from error
    spec = convert(CampaignSpec, document, file=file)
    errors = [ConfigError(file, key, why) for key, why in _mistakes(spec)]
    if errors:
        raise ConfigErrors(errors)
    return spec


def dump(spec: CampaignSpec) -> bytes:
    """The wire form: JSON with sorted keys, without what is left at its default."""
    document = {field.encode_name: getattr(spec, field.name) for field in msgspec.structs.fields(spec)}
    shown = {
        name: value for name, value in document.items() if name == "v" or value not in ("", (), {}, None, _DEFAULTS.get(name))
    }
    return msgspec.json.encode(shown, order="sorted", enc_hook=_plain)


def _plain(value: object) -> str | float:
    """What `schema` reads as one of its own types, in a form it reads."""
    if isinstance(value, Rate):
        return rate_text(value)
    if isinstance(value, Spill):
        return spill_text(value)
    if isinstance(value, Seconds):
        return float(value)
    raise TypeError(f"no wire form of {type(value)}")


_DEFAULTS = {"pool": "main", "priority": 5, "template": TemplateMode.AUTO, "time_zone": "UTC", "spill": SPILL_NOW}


def check_campaign_id(campaign: str) -> None:
    """Refuse an id that could not travel in an address that somebody folds to lower case; ContentError."""
    if len(campaign) > _CAMPAIGN_MAX or not _CAMPAIGN.fullmatch(campaign):
        allowed = f"at most {_CAMPAIGN_MAX} lower-case letters and digits, with single '.', '_' or '-' between"
        raise ContentError("campaign", f"{campaign[:80]!r}: {allowed}")


def _mistakes(spec: CampaignSpec) -> Iterator[tuple[str, str]]:
    """Everything wrong that one field's type can't say."""
    yield from _tried("from", lambda: parse_mailbox(spec.from_))
    if spec.reply_to:
        yield from _tried("reply_to", lambda: parse_mailbox(spec.reply_to))
    if spec.identity:
        yield from _tried("identity", lambda: parse_domain(spec.identity))
    if spec.return_path:
        yield from _tried("return_path", lambda: _check_bounce_local(spec.bounce_address[0]))
    yield from _body_mistakes(spec)
    yield from _header_mistakes(spec)
    yield from _attachment_mistakes(spec)
    yield from time_mistakes(spec.start, spec.deadline, spec.windows, spec.time_zone)


def _tried(key: str, read: Any) -> Iterator[tuple[str, str]]:
    try:
        read()
    except ContentError as error:
        yield key, error.why


def _check_bounce_local(local: str) -> None:
    if local.startswith('"'):
        raise ContentError("return_path", "a quoted local part has no room for a token behind it")


def _body_mistakes(spec: CampaignSpec) -> Iterator[tuple[str, str]]:
    if spec.raw_b64:
        yield from ((key, "a ready-made message (raw_b64) has its own") for key in _COMPOSED if getattr(spec, key))
        if not _is_base64(spec.raw_b64):
            yield "raw_b64", "not base64"
        return
    if not spec.text and not spec.html:
        yield "text", "missing: give text, html or both"
    if not spec.subject:
        yield "subject", "missing"
    for key in ("text", "html", "subject"):
        found = _CONTROL.search(getattr(spec, key))
        if found:
            yield key, f"control character U+{ord(found[0]):04X}"


def _header_mistakes(spec: CampaignSpec) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    if len(spec.headers) > HEADERS_MAX:
        yield "headers", f"{len(spec.headers)} fields; at most {HEADERS_MAX}"
        return
    for name in spec.headers:
        key, lower = f"headers.{name[:80]}", name.lower()
        if not _TOKEN.fullmatch(name) or len(name) > NAME_MAX:
            yield key, f"not a field name: at most {NAME_MAX} letters, digits and hyphens"
        elif _RESERVED.fullmatch(lower):
            yield key, "not yours to set here; From, Reply-To, Subject and the list fields have keys of their own"
        elif lower in seen:
            yield key, "given twice"
        seen.add(lower)
    if spec.list_id and not _is_list_id(spec.list_id):
        yield "list_id", "not an identifier like news.shop.example or Name <news.shop.example> (RFC 2919)"
    if spec.list_unsubscribe:
        yield from _url_mistakes(spec.list_unsubscribe)


def _url_mistakes(url: str) -> Iterator[tuple[str, str]]:
    """A merge field may stand in the path or the query, never in the host (RFC 8058 section 3.1)."""
    fixed = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", url, flags=re.DOTALL)
    if re.search(r"[^!-~]|[<>\"\\]", fixed):
        yield "list_unsubscribe", "a URL holds only printable ASCII: percent-encode the rest"
        return
    try:
        parts = urlsplit(url.partition("{")[0])
    except ValueError as error:
        yield "list_unsubscribe", f"not a URL: {error}"
        return
    if parts.scheme != "https" or not parts.hostname or ("{" in url and not (parts.path or parts.query)):
        yield "list_unsubscribe", "must be https://host/..., with merge fields only behind the host"


def _attachment_mistakes(spec: CampaignSpec) -> Iterator[tuple[str, str]]:
    if len(spec.attachments) > ATTACHMENTS_MAX:
        yield "attachments", f"{len(spec.attachments)} files; at most {ATTACHMENTS_MAX}"
        return
    total, seen = 0, set[str]()
    for place, item in enumerate(spec.attachments):
        key = f"attachments[{place}]"
        total += len(item.content_b64) * 3 // 4
        if not _is_base64(item.content_b64):
            yield f"{key}.content_b64", "not base64"
        if not item.file_name or item.file_name == ".." or re.search(r"[\x00-\x1f\x7f]", item.name):
            yield f"{key}.name", "not a file name"
        if not _TYPE.fullmatch(item.type) or item.type.lower().startswith(("multipart/", "message/")):
            yield f"{key}.type", "not a plain MIME type such as application/pdf"
        if item.inline_id and (not _CONTENT_ID.fullmatch(item.inline_id) or not spec.html or item.inline_id in seen):
            yield f"{key}.inline_id", "letters, digits and inner '.', '_', '-'; once only; and needs html to show it"
        seen.add(item.inline_id)
    if total > ATTACHMENTS_BYTES_MAX:
        yield "attachments", f"{total:,} octets; at most {ATTACHMENTS_BYTES_MAX:,}"


def _is_base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return False
    return True


def _is_list_id(text: str) -> bool:
    match = _LIST_ID.fullmatch(text)
    return match is not None and (match[1] is None) == (match[3] is None)
