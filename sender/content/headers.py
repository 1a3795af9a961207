"""Header fields in their final octets: encoded (RFC 2047), folded (RFC 5322 section 2.2.3), and checked.

The rule for values, here and nowhere else: a run of control characters, line ends included, becomes one space. So a value
can lengthen its field and never start another one. `check_field` proves it of the serialised octets, because the
standard library's own serialiser has let line ends through more than once.
"""

import re
from binascii import b2a_base64

from sender.content.address import Mailbox
from sender.errors import ContentError

TEXT_MAX = 4000  # characters of one field's value: more is no header, and no receiver takes it
NAME_MAX = 40  # characters of a field name: leaves room for an encoded word on its line

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PRINTABLE = re.compile(r"[ -~]*")
_TIDY = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # nothing to clean
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r" *[^ ]+")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/^_`{|}~-]+)*")
_FIELD = re.compile(rb"[!-9;-~]+:[^\r\n\0]*(?:\r\n[ \t][^\r\n\0]*[^\r\n\0 \t])*\r\n")
_LONG_LINE = re.compile(rb"[^\n]{1000}")  # 998 octets and CR


def clean(text: str) -> str:
    """The value as a header may carry it: control characters turned into spaces, nothing at the ends."""
    return _CONTROL.sub(" ", text).strip(" ")


def unstructured(name: str, value: str) -> bytes:
    """One whole field of free text: as it stands if it is short ASCII, else folded, else in encoded words."""
    text = value if _TIDY.fullmatch(value) else clean(value)
    if len(text) > TEXT_MAX:
        raise ContentError(name, f"{len(text)} characters; at most {TEXT_MAX}")
    if _PRINTABLE.fullmatch(text) and "=?" not in text:
        if len(name) + len(text) <= 76:
            return f"{name}: {text}\r\n".encode("ascii")
        words = _WORD.findall(text)
        if max(map(len, words)) <= 900:
            return f"{name}:{_folded(words, len(name) + 1)}\r\n".encode("ascii")
    return b"%s: %s\r\n" % (name.encode("ascii"), encoded_words(text, len(name) + 2))


def _folded(words: list[str], column: int) -> str:
    lines, line = [], " " + words[0].lstrip(" ")
    for word in words[1:]:
        if column + len(line) + len(word) > 76:
            lines.append(line)
            line, column = word, 0
        else:
            line += word
    return "\r\n".join([*lines, line])


def encoded_words(text: str, column: int) -> bytes:
    """Base64 encoded words of at most 75 octets, one a line, the first from `column`; characters are never cut."""
    data = text.encode()
    words, start, room = [], 0, (76 - column - 12) // 4 * 3
    while start < len(data):
        end = start + room
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        words.append(b"=?utf-8?b?%s?=" % b2a_base64(data[start:end], newline=False))
        start, room = end, 45
    return b"\r\n ".join(words)


def phrase(name: str, column: int) -> bytes:
    """A display name as atoms, a quoted string or encoded words, whichever is the least that says it.

    White space of any kind becomes one space: readers show it so anyway, and fold there.
    """
    if len(name) <= 60 and _PHRASE.fullmatch(name):
        return name.encode("ascii")
    text = _SPACES.sub(" ", clean(name)).strip(" ")
    if len(text) > TEXT_MAX:
        raise ContentError("name", f"{len(text)} characters; at most {TEXT_MAX}")
    if len(text) <= 60 and _PHRASE.fullmatch(text):
        return text.encode("ascii")
    words = _WORD.findall('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    if _PRINTABLE.fullmatch(text) and "=?" not in text and max(map(len, words)) <= 900:
        return _folded(words, column).lstrip(" ").encode("ascii")
    return encoded_words(text, column)


def mailbox(name: str, value: Mailbox) -> bytes:
    """A whole address field with one mailbox, e.g. To or From."""
    return address_field(name.encode("ascii"), value.name, str(value.address).encode())


def address_field(name: bytes, display: str, address: bytes) -> bytes:
    """A whole address field from a display name ("" for none) and an address that has been checked."""
    shown = phrase(display, len(name) + 2) if display else b""
    if not shown:
        return b"%s: %s\r\n" % (name, address)
    gap = b" " if len(name) + len(shown) + len(address) <= 70 else b"\r\n "  # folded already, or too long for one line
    return b"%s: %s%s<%s>\r\n" % (name, shown, gap, address)


def parameter(name: str, value: str) -> str:
    """A folded MIME parameter; other than short plain ASCII is percent-encoded, in pieces if long (RFC 2231)."""
    if len(value) <= 60 and re.fullmatch(r"[ !#-\[\]-~]*", value):
        return f';\r\n {name}="{value}"'
    octets = [chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"%{byte:02X}" for byte in value.encode()]
    lines = ["utf-8''"]
    for octet in octets:
        if len(lines[-1]) > 57:
            lines.append("")
        lines[-1] += octet
    if len(lines) == 1:
        return f";\r\n {name}*={lines[0]}"
    return "".join(f";\r\n {name}*{place}*={line}" for place, line in enumerate(lines))


def list_id(value: str) -> bytes:
    """A whole List-Id field from `Name <news.shop.example>` or the bare identifier (RFC 2919)."""
    name, _, identifier = value.rpartition("<")
    shown = phrase(name.strip().strip('"'), len("List-Id: ")) if name.strip() else b""
    bare = identifier.removesuffix(">").encode("ascii")
    return b"List-Id: %s\r\n <%s>\r\n" % (shown, bare) if shown else b"List-Id: <%s>\r\n" % bare


def name_of(whole: bytes) -> bytes:
    """The lower-case name of a whole field."""
    return whole.partition(b":")[0].lower()


def check_field(whole: bytes, name: bytes | None = None) -> None:
    """Refuse octets that are not exactly one well-formed field (RFC 5322 section 2.2), and this one if a name is given."""
    if not _FIELD.fullmatch(whole) or _LONG_LINE.search(whole) or name not in (None, name_of(whole)):
        raise ContentError(ascii(whole[:40].decode("latin-1")), "not exactly one well-formed header field")
