"""One message out of a compiled campaign and an envelope: look-ups, and a few encodings.

The hot path of the whole sender. Everything that is the same for every recipient was done in `template`.
"""

from email.utils import formatdate

from sender.content.headers import address_field, check_field
from sender.content.logic import OUTPUT_MAX
from sender.content.message import Composed
from sender.content.pieces import plain
from sender.content.template import Compiled
from sender.content.token import TokenKeys
from sender.errors import ContentError
from sender.model import Envelope


class Composer:
    """Composes the messages of a process: holds the token keys, and the Date field of the current second."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys
        self._second = -1
        self._date = b""

    def compose(self, compiled: Compiled, envelope: Envelope, now: float) -> Composed:
        """Build the envelope's message. `now` is Unix seconds, for Date.

        The same envelope gets the same Message-ID, return path and tokens at every attempt. Raises ContentError where a
        value can't be written or a merge field is missing: the envelope fails alone.
        """
        tokens = self._keys.make(envelope.campaign, envelope.ordinal)
        values = {
            "name": "",
            **envelope.fields,
            "to": envelope.address,
            "campaign": envelope.campaign,
            "unsubscribe_token": tokens.unsubscribe,
        }
        try:
            headers = list(compiled.headers)
            if compiled.date_at >= 0:
                headers[compiled.date_at] = (b"date", self._date_field(now))
            if compiled.to_at >= 0:
                headers[compiled.to_at] = _checked(b"to", address_field(b"To", values["name"], envelope.address.encode()))
            if compiled.message_id_at >= 0:
                message_id = f"Message-ID: <{tokens.message_id}@{compiled.message_id_domain}>\r\n"
                headers[compiled.message_id_at] = (b"message-id", message_id.encode("ascii"))
            for slot in compiled.slots:
                headers[slot.place] = _checked(headers[slot.place][0], slot.whole(values))
            body, relaxed, size = _body(compiled, values)
        except UnicodeEncodeError as error:
            raise ContentError("recipient", f"a value that is not text: {error.reason}") from error
        return Composed(
            tuple(headers),
            body,
            size,
            f"{compiled.bounce_local}+{tokens.return_path}@{compiled.bounce_domain}",
            envelope.address,
            compiled.signed,
            relaxed,
            compiled.fit and relaxed is not None,
            compiled.eight_bit,
            compiled.smtputf8 or not envelope.address.isascii(),
        )

    def _date_field(self, now: float) -> bytes:
        second = int(now)
        if second != self._second:
            self._date = formatdate(second).replace("-0000", "+0000").encode("ascii").join((b"Date: ", b"\r\n"))
            self._second = second
        return self._date


def _checked(name: bytes, whole: bytes) -> tuple[bytes, bytes]:
    """The field, if it is exactly one: a single line can be seen at a glance, a folded one is looked at closely."""
    if whole.find(b"\n") != len(whole) - 1 or whole.find(b"\r") != len(whole) - 2:
        check_field(whole, name)
    return name, whole


def _body(compiled: Compiled, values: dict[str, str]) -> tuple[tuple[bytes, ...], tuple[bytes, ...] | None, int]:
    """The body in pieces, their relaxed form where no value changes anything around it, and the octets of the body."""
    pieces, made, size = list(compiled.body), [], 0
    try:
        for place, value in compiled.values:
            pieces[place] = data = value.encoded(values)
            made.append(data)
            size += len(data)
            if size > OUTPUT_MAX:
                raise ContentError("recipient", f"its values come to more than {OUTPUT_MAX:,} octets")
    except KeyError as error:
        raise ContentError(str(error.args[0]), "the recipient has no such field") from None
    body, size = tuple(pieces), size + compiled.body_size
    if not all(map(plain, made)):
        return body, None, size
    return body, body if compiled.relaxed is None else _filled(compiled, made), size


def _filled(compiled: Compiled, made: list[bytes]) -> tuple[bytes, ...]:
    assert compiled.relaxed is not None
    pieces = list(compiled.relaxed)
    for (place, _), data in zip(compiled.values, made, strict=True):
        pieces[place] = data
    return tuple(pieces)
