"""A campaign compiled once: header fields and body in their final octets, with slots where a recipient's values go.

1. `compile_campaign` cuts every template value into fixed text and slots (`slots`), writes the MIME tree around them
   (`mime`), encodes all that is fixed, and checks every header field it has serialised.
2. `Compiled.missing` says at submission which merge fields a recipient lacks: no half-empty mail is ever built.
3. `compose` fills the slots, per message.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from urllib.parse import quote

from sender.content import headers, mime
from sender.content.address import parse_domain, parse_mailbox
from sender.content.canonical import relaxed_piece
from sender.content.logic import AUTOMATIC, COST_MAX
from sender.content.pieces import fit
from sender.content.raw import Raw, read_raw
from sender.content.signed import SignedFields
from sender.content.slots import Text, parse
from sender.content.spec import CampaignSpec, TemplateMode, check_campaign_id
from sender.errors import ConfigError, ConfigErrors, ContentError

_URL_MAX = 900
_CONTENT = ("subject", "text", "html")


@dataclass(frozen=True, slots=True)
class TextField:
    """A header field of free text with merge fields in it."""

    place: int
    name: str
    text: Text

    def whole(self, values: Mapping[str, str]) -> bytes:
        return headers.unstructured(self.name, self.text.render(values))


@dataclass(frozen=True, slots=True)
class UnsubscribeField:
    """List-Unsubscribe: values are percent-encoded, so that they stay within the part of the URL they stand in."""

    place: int
    url: Text

    def whole(self, values: Mapping[str, str]) -> bytes:
        url = "".join([piece if isinstance(piece, str) else quote(piece.text(values), safe="") for piece in self.url.pieces])
        if len(url) > _URL_MAX:
            raise ContentError("List-Unsubscribe", f"a URL of {len(url)} characters; at most {_URL_MAX}")
        return f"List-Unsubscribe: <{url}>\r\n".encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What compose needs, and nothing it would have to work out again.

    `headers` has b"" where a field is made per message: the three that every message has of its own stand at `date_at`,
    `to_at` and `message_id_at` (-1: a ready-made message brings its own).
    """

    fields: frozenset[str]  # merge fields a recipient must have
    headers: tuple[tuple[bytes, bytes], ...]
    date_at: int
    to_at: int
    message_id_at: int
    slots: tuple[TextField | UnsubscribeField, ...]
    body: tuple[bytes, ...]
    values: tuple[tuple[int, mime.Value], ...]  # the place in `body` that each one fills
    bounce_local: str
    bounce_domain: str
    message_id_domain: str
    eight_bit: bool = False
    smtputf8: bool = False
    signed: SignedFields = field(init=False)
    body_size: int = field(init=False)  # octets of `body`, without any values
    relaxed: tuple[bytes, ...] | None = field(init=False)  # `body` as a signature covers it, where that is something else
    fit: bool = field(init=False)  # its fixed pieces are, for the wire

    def __post_init__(self) -> None:
        relaxed = tuple(map(relaxed_piece, self.body))
        object.__setattr__(self, "relaxed", None if relaxed == self.body else relaxed)
        object.__setattr__(self, "fit", fit(self.body))
        object.__setattr__(self, "body_size", sum(map(len, self.body)))
        object.__setattr__(self, "signed", SignedFields(self.headers))

    def missing(self, available: Iterable[str]) -> list[str]:
        """The merge fields that a recipient with these ones lacks, sorted; none is what a submission needs."""
        return sorted(self.fields - frozenset(available))


def compile_campaign(
    spec: CampaignSpec, *, campaign: str | None = None, message_id_domain: str = "", file: str = "campaign"
) -> Compiled:
    """Compile a checked specification, or raise ConfigErrors with everything wrong in its templates.

    With `campaign` its id is checked too, and that the return path has room for it. `message_id_domain` is the identity's
    own choice; "" is the signing domain.
    """
    errors: list[ConfigError] = []
    if campaign is not None:
        errors += _id_mistakes(campaign, spec.bounce_address[0], file)
    ids = parse_domain(message_id_domain) if message_id_domain else spec.signing_domain
    if spec.raw_b64:
        compiled = _try_raw(spec, ids, file, errors)
    else:
        texts = _texts(spec, file, errors)
        compiled = None if errors else _composed(spec, texts, ids, file, errors)
    if errors or compiled is None:
        raise ConfigErrors(errors)
    return compiled


def _id_mistakes(campaign: str, bounce_local: str, file: str) -> list[ConfigError]:
    errors = []
    try:
        check_campaign_id(campaign)
    except ContentError as error:
        errors.append(ConfigError(file, "id", error.why))
    if len(bounce_local.encode()) + len(campaign) > 64 - 26:  # "+", "-", 7 hex digits and the 17 characters of the mark
        errors.append(ConfigError(file, "return_path", f"local part {bounce_local!r} leaves no room for a token"))
    return errors


def _texts(spec: CampaignSpec, file: str, errors: list[ConfigError]) -> dict[str, Text]:
    """Every template value by its key in the specification; one that is all comment is as good as none."""
    sources = {"subject": spec.subject, "text": spec.text, "html": spec.html, "feedback_id": spec.feedback_id}
    sources |= {"list_unsubscribe": spec.list_unsubscribe}
    sources |= {f"headers.{name}": value for name, value in spec.headers.items()}
    texts = {}
    for key, source in sources.items():
        try:
            text = parse(source, TemplateMode(spec.template), html=key == "html")
        except ValueError as error:
            errors.append(ConfigError(file, key, str(error)))
            continue
        if text.pieces:
            texts[key] = text
        elif source and key in _CONTENT:
            errors.append(ConfigError(file, key, "comes to nothing: a message can't do without it"))
    if sum(text.cost for text in texts.values()) > COST_MAX:
        errors.append(ConfigError(file, "", "too much logic in its templates together"))
    return texts


def _composed(spec: CampaignSpec, texts: Mapping[str, Text], ids: str, file: str, errors: list[ConfigError]) -> Compiled | None:
    entity = mime.entity(spec, texts.get("text"), texts.get("html"))
    try:
        fields, slots = _fields(spec, texts, entity)
        for name, whole in fields:
            if whole:
                headers.check_field(whole, name)
    except ContentError as error:
        errors.append(ConfigError(file, error.field, error.why))
        return None
    body, values = _flattened(entity.pieces)
    names = [name for name, _ in fields]
    return Compiled(
        fields=frozenset[str]().union(*(text.required for text in texts.values())) - AUTOMATIC.keys(),
        headers=tuple(fields),
        date_at=names.index(b"date"),
        to_at=names.index(b"to"),
        message_id_at=names.index(b"message-id"),
        slots=tuple(slots),
        body=body,
        values=values,
        bounce_local=spec.bounce_address[0],
        bounce_domain=spec.bounce_address[1],
        message_id_domain=ids,
        smtputf8=any(not whole.isascii() for _, whole in fields) or not spec.bounce_address[0].isascii(),
    )


def _fields(
    spec: CampaignSpec, texts: Mapping[str, Text], entity: mime.Entity
) -> tuple[list[tuple[bytes, bytes]], list[TextField | UnsubscribeField]]:
    """The planned fields, top to bottom, and those with merge fields in them."""
    fields: list[tuple[bytes, bytes]] = [(b"date", b""), (b"from", headers.mailbox("From", parse_mailbox(spec.from_)))]
    slots: list[TextField | UnsubscribeField] = []

    def text(name: str, key: str) -> None:
        slot = TextField(len(fields), name, texts[key])
        if not slot.text.fixed:
            slots.append(slot)
        fields.append((name.lower().encode("ascii"), slot.whole({}) if slot.text.fixed else b""))

    if spec.reply_to:
        fields.append((b"reply-to", headers.mailbox("Reply-To", parse_mailbox(spec.reply_to))))
    fields.append((b"to", b""))
    text("Subject", "subject")
    fields.append((b"message-id", b""))
    if spec.list_id:
        fields.append((b"list-id", headers.list_id(spec.list_id)))
    if "list_unsubscribe" in texts:
        slots.append(UnsubscribeField(len(fields), texts["list_unsubscribe"]))
        fields.append((b"list-unsubscribe", b""))
        fields.append((b"list-unsubscribe-post", b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"))
    if "feedback_id" in texts:
        text("Feedback-ID", "feedback_id")
    for name in spec.headers:
        if f"headers.{name}" in texts:
            text(name, f"headers.{name}")
    fields.append((b"mime-version", b"MIME-Version: 1.0\r\n"))
    fields += [(name.lower().encode("ascii"), f"{name}: {value}\r\n".encode("ascii")) for name, value in entity.fields]
    return fields, slots


def _flattened(pieces: Iterable[mime.Piece]) -> tuple[tuple[bytes, ...], tuple[tuple[int, mime.Value], ...]]:
    """Neighbouring octets joined; b"" where a value goes."""
    body: list[bytes] = []
    values: list[tuple[int, mime.Value]] = []
    for fixed, group in groupby(pieces, lambda piece: isinstance(piece, bytes)):
        if fixed:
            body.append(b"".join(piece for piece in group if isinstance(piece, bytes)))
            continue
        for piece in group:
            if not isinstance(piece, bytes):
                values.append((len(body), piece))
                body.append(b"")
    return tuple(body), tuple(values)


def _try_raw(spec: CampaignSpec, ids: str, file: str, errors: list[ConfigError]) -> Compiled | None:
    try:
        raw: Raw = read_raw(spec.raw_b64)
    except ContentError as error:
        errors.append(ConfigError(file, f"raw_b64: {error.field}", error.why))
        return None
    fields, names = list(raw.headers), [name for name, _ in raw.headers]
    places = []
    for name in (b"date", b"message-id"):
        places.append(-1 if name in names else len(fields))
        if name not in names:
            fields.append((name, b""))
    return Compiled(
        fields=frozenset(),
        headers=tuple(fields),
        date_at=places[0],
        to_at=-1,
        message_id_at=places[1],
        slots=(),
        body=(raw.body,),
        values=(),
        bounce_local=spec.bounce_address[0],
        bounce_domain=spec.bounce_address[1],
        message_id_domain=ids,
        eight_bit=raw.eight_bit,
        smtputf8=raw.smtputf8,
    )
