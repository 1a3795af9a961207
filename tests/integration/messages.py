"""The mail that is sent: what trips careless senders and receivers, in five kinds."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

_NAMES = ("Zoë", "Jürgen Groß", "Ольга", "王小明", "نور", "Ann, Jr.", "Seán Ó Briain", "🎈 Party", '"Quo" Ted', ".dotted")
_TEXT = (
    """\
.
..
. starts with a dot and a blank
.{{ name }}
{{ dots }}
...
.QUIT
Schöne Grüße, {{ name }}: 100 € = 100 %.
From here on it is only blanks:   \t
"""
    + "a line that goes on " * 80
    + "\n\n.\n"
)
_HTML = "<p>.</p>\n.\n<p>" + "<b>langer Text, ohne Zeilenende: ä</b> " * 120 + "{{ name }} <img src='cid:logo'></p>\n.\n"

MAX_LINE = 998  # octets without CRLF (RFC 5321 section 4.5.3.1.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """One campaign and whom it goes to."""

    name: str
    spec: Mapping[str, Any]
    rows: Sequence[Mapping[str, str]]
    files: Mapping[str, bytes] = field(default_factory=dict)  # attachments by file name
    raw_body: bytes = b""  # of a ready-made message, as it must arrive

    def subject(self, row: Mapping[str, str]) -> str:
        return str(self.spec.get("subject", "")).replace("{{ name }}", row["name"])


def mailings(domain: str, each: int) -> list[Mailing]:
    """Five kinds of mail for `each` recipients of a domain."""
    random = Random(20_26)
    logo, dump = random.randbytes(9_000), bytes(range(256)) * 40
    note = b".\r\n..\r\n.\r\n" + b"x" * 2_000 + b"\r\n"
    files = {"Übersicht 2026.bin": dump, "note.txt": note, "big.bin": random.randbytes(120_000)}
    return [
        _composed("plain", domain, each, {"text": _TEXT}),
        _composed("pictures", domain, each, {"text": _TEXT, "html": _HTML}, {"logo.png": logo}, inline="logo"),
        _composed("files", domain, each, {"text": _TEXT, "html": _HTML.replace("cid:logo", "x")}, files),
        _raw("eightbit", domain, each, "news@exact.example", _eight_bit(), "Subject: Grüße, unkodiert\r\nX-Name: Zoë\r\n"),
        _raw(
            "longlines", domain, each, "news@shop.example", _long_lines(), f"Subject: x\r\nX-Long: {'y' * (MAX_LINE - 8)}\r\n"
        ),
    ]


def _rows(kind: str, domain: str, each: int) -> list[dict[str, str]]:
    """One recipient in ten has an address that needs SMTPUTF8."""
    return [
        {
            "to": f"{kind}.{'zoë' if number % 10 == 9 else 'r'}{number}@{domain}",
            "name": _NAMES[number % len(_NAMES)],
            "dots": "." * (1 + number % 3),
        }
        for number in range(each)
    ]


def _composed(
    kind: str, domain: str, each: int, bodies: Mapping[str, str], files: Mapping[str, bytes] | None = None, inline: str = ""
) -> Mailing:
    spec = {
        "from": "Käserei Müller <news@shop.example>",
        "subject": f"{kind}: Grüße an {{{{ name }}}} — 你好 🎉",
        **bodies,
        "list_unsubscribe": "https://shop.example/u/{{ unsubscribe_token }}",
        "headers": {"X-Merged": "{{ name }}"},
        "attachments": [
            {"name": name, "type": "application/octet-stream", "content_b64": b64encode(data).decode(), "inline_id": inline}
            for name, data in (files or {}).items()
        ],
    }
    return Mailing(name=kind, spec=spec, rows=_rows(kind, domain, each), files=files or {})


def _raw(kind: str, domain: str, each: int, sender: str, body: bytes, fields: str) -> Mailing:
    head = f"From: Shop <{sender}>\r\nTo: readers:;\r\n{fields}MIME-Version: 1.0\r\n"
    encoding = "7bit" if body.isascii() else "8bit"
    head += f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    spec = {"from": sender, "raw_b64": b64encode(head.encode() + body).decode()}
    return Mailing(name=kind, spec=spec, rows=_rows(kind, domain, each), raw_body=body)


def _eight_bit() -> bytes:
    """Octets over 127, lines of the greatest length, dots, blanks at line ends, empty lines at the end."""
    lines = ["Zeilen mit Umlauten: äöüß €", "ä" * (MAX_LINE // 2), ".", "..", ".ä", "  blanks \t ", "", "From the top", ""]
    return "".join(f"{line}\r\n" for line in lines * 5).encode() + b"\r\n\r\n"


def _long_lines() -> bytes:
    """Lines of the greatest length that begin with dots, and one of nothing but dots."""
    lines = ["." * MAX_LINE, "." + "x" * (MAX_LINE - 1), "..", "x" * MAX_LINE, "x" * (MAX_LINE - 1) + "."]
    return "".join(f"{line}\r\n" for line in lines * 6).encode() + b".\r\n"
