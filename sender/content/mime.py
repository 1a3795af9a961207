"""The MIME tree (RFC 2045, 2046, 2387) as fixed octets with value slots in between, written once per campaign.

text and HTML as alternatives; inline images related to the HTML; attachments mixed in last. Text parts are UTF-8 in
quoted-printable and files base64, so everything is 7-bit and no line is longer than 76 octets.
"""

import hashlib
from base64 import encodebytes
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import escape

from sender.content.headers import parameter
from sender.content.quoted import LINE_MAX, PLAIN_HTML, PLAIN_TEXT, SOFT_BREAK, before_value, encode, encode_value
from sender.content.slots import Field, HtmlField, Logic, Slot, Text
from sender.content.spec import Attachment, CampaignSpec


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A merge field in a body. Most values need no encoding: one look at the characters and they are through."""

    name: str
    column: int  # where on its line the value starts
    room: int  # octets left on that line, a soft break already taken off
    needs_nothing: Callable[[str], object]
    html: bool

    def encoded(self, values: Mapping[str, str]) -> bytes:
        value = values[self.name]
        if len(value) <= self.room and self.needs_nothing(value):
            return value.encode("ascii")
        return encode_value(str(escape(value)) if self.html else value, self.column)


@dataclass(frozen=True, slots=True)
class LogicValue:
    """What a piece of logic comes to, in a body."""

    logic: Logic
    column: int

    def encoded(self, values: Mapping[str, str]) -> bytes:
        return encode_value(self.logic.text(values), self.column)


Value = FieldValue | LogicValue
Piece = bytes | Value


@dataclass(frozen=True, slots=True)
class Entity:
    """One node of the tree: its Content- fields, whole and in order, and its body, which ends with CRLF."""

    fields: tuple[tuple[str, str], ...]
    pieces: tuple[Piece, ...]


def entity(spec: CampaignSpec, text: Text | None, html: Text | None) -> Entity:
    """The whole content of a campaign's messages; at least one of `text` and `html` is there."""
    inline = [_file(item) for item in spec.attachments if item.inline_id]
    files = [_file(item) for item in spec.attachments if not item.inline_id]
    boundary = _boundaries(spec)
    bodies = [entity_of("plain", text)] if text else []
    if html:
        shown = entity_of("html", html)
        bodies.append(_multipart("related", [shown, *inline], boundary("r"), '; type="text/html"') if inline else shown)
    body = bodies[0] if len(bodies) == 1 else _multipart("alternative", bodies, boundary("a"))
    return _multipart("mixed", [body, *files], boundary("m")) if files else body


def _boundaries(spec: CampaignSpec) -> Callable[[str], str]:
    """`=_` can't occur in quoted-printable nor in base64, so whatever follows is enough."""
    content = "\0".join([spec.from_, spec.subject, spec.text, spec.html])
    mark = hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:24]
    return lambda level: f"=_{level}{mark}"


def entity_of(subtype: str, text: Text) -> Entity:
    """One text part."""
    fields = (
        ("Content-Type", f"text/{subtype}; charset=utf-8"),
        ("Content-Transfer-Encoding", "quoted-printable"),
    )
    return Entity(fields, tuple(_lines(text.pieces)))


def _lines(pieces: Sequence[str | Slot]) -> Iterable[Piece]:
    """Quoted-printable pieces. A soft break follows each value, unless its line ends there anyway."""
    column = 0
    for place, piece in enumerate(pieces):
        if not isinstance(piece, str):
            yield _value(piece, column)
            column = 0
            if _line_goes_on(pieces, place):
                yield SOFT_BREAK
        elif place + 1 < len(pieces):
            data, column = before_value(piece, line_goes_on=_line_goes_on(pieces, place + 1))
            yield data
        else:
            yield encode(piece if piece.endswith("\n") else piece + "\n")
    if not pieces or not isinstance(pieces[-1], str):
        yield b"\r\n"


def _line_goes_on(pieces: Sequence[str | Slot], place: int) -> bool:
    """Whether something else stands on the line behind the value at `place`; a body ends with a line end."""
    following = pieces[place + 1] if place + 1 < len(pieces) else "\n"
    return not (isinstance(following, str) and following.startswith("\n"))


def _value(slot: Slot, column: int) -> Value:
    room = LINE_MAX - 1 - column
    match slot:
        case Field():
            return FieldValue(slot.name, column, room, PLAIN_TEXT.fullmatch, html=False)
        case HtmlField():
            return FieldValue(slot.name, column, room, PLAIN_HTML.fullmatch, html=True)
        case Logic():
            return LogicValue(slot, column)


def _file(item: Attachment) -> Entity:
    disposition = "inline" if item.inline_id else "attachment"
    fields = [
        ("Content-Type", item.type),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", disposition + parameter("filename", item.file_name)),
    ]
    if item.inline_id:
        fields.append(("Content-ID", f"<{item.inline_id}>"))
    return Entity(tuple(fields), (encodebytes(item.content).replace(b"\n", b"\r\n"),))


def _multipart(subtype: str, parts: Sequence[Entity], boundary: str, more: str = "") -> Entity:
    pieces: list[Piece] = []
    for part in parts:
        pieces.append(f"--{boundary}\r\n".encode("ascii"))
        pieces.append("".join(f"{name}: {value}\r\n" for name, value in part.fields).encode("ascii") + b"\r\n")
        pieces += [*part.pieces, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode("ascii"))
    return Entity((("Content-Type", f'multipart/{subtype}{more};\r\n boundary="{boundary}"'),), tuple(pieces))
