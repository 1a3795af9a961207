"""Commands as octets: each function returns exactly one line, and content leaves with CRLF line ends only.

What could end a line early, or smuggle a second one in, is refused with LocalProtocolError rather than mended: mending an
address sends mail elsewhere, and mending content after it was signed breaks the signature.
"""

import re

from sender.errors import LocalProtocolError

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
STARTTLS = b"STARTTLS\r\n"
END_OF_DATA = b".\r\n"

MAX_LINE = 512  # octets with CRLF (RFC 5321 section 4.5.3.1.4)
MAX_PATH = 254  # octets between "<" and ">" (RFC 5321 section 4.5.3.1.3)
_MAIL_PARAMETERS = 26 + 17 + 10  # what RFC 1870, 6152 and 6531 add to the length of MAIL

_UNSAFE = re.compile("[\x00-\x20\x7f-\xa0<>\u2028\u2029\ud800-\udfff]")  # controls, spaces, brackets, lone surrogates


def ehlo(name: str) -> bytes:
    """EHLO with a domain or an address literal (RFC 5321 section 4.1.1.1)."""
    return _greet("EHLO", name)


def helo(name: str) -> bytes:
    """HELO, for receivers that refuse EHLO."""
    return _greet("HELO", name)


def mail(address: str, *, size: int | None = None, eight_bit: bool = False, smtputf8: bool = False) -> bytes:
    """MAIL with the parameters asked for; the empty address is the null reverse-path (RFC 5321 section 4.5.5)."""
    line = f"MAIL FROM:<{_path(address, smtputf8=smtputf8)}>"
    if size is not None:
        line += f" SIZE={size:d}"
    if eight_bit:
        line += " BODY=8BITMIME"
    if smtputf8:
        line += " SMTPUTF8"
    return _line(line, MAX_LINE + _MAIL_PARAMETERS)


def rcpt(address: str, *, smtputf8: bool = False) -> bytes:
    """RCPT for one recipient."""
    if not address:
        raise LocalProtocolError("RCPT: no address")
    return _line(f"RCPT TO:<{_path(address, smtputf8=smtputf8)}>", MAX_LINE)


def bdat(size: int, *, last: bool) -> bytes:
    """BDAT announcing `size` octets that follow as they are (RFC 3030 section 2)."""
    if size < 0:
        raise LocalProtocolError(f"BDAT: {size} octets")
    return b"BDAT %d LAST\r\n" % size if last else b"BDAT %d\r\n" % size


def check_content(content: bytes) -> None:
    """Refuse content that is empty, lacks its final CRLF, or holds a NUL or a CR or LF outside a pair (RFC 5321 section 2.3.8).

    Those are what SMTP smuggling is made of: some receiver takes one of them for the end of the data.
    """
    if not content.endswith(b"\r\n"):
        raise LocalProtocolError("content does not end with CRLF")
    if 0 in content:
        raise LocalProtocolError("content holds a NUL")
    # Taking every CR out and putting one before each LF gives the same octets only if they came in pairs. Replacing single
    # octets is what bytes do fastest: a third of the time of counting CR, LF and pairs.
    if content.replace(b"\r", b"").replace(b"\n", b"\r\n") != content:
        raise LocalProtocolError("content holds a CR or LF outside a CRLF pair")


def dot_stuff(content: bytes) -> bytes:
    """Double the dot that begins a line (RFC 5321 section 4.5.2); the same object when there is none."""
    if content.rfind(b"\r\n.") >= 0:  # there is seldom one, and from the right bytes search in a third of the time
        content = content.replace(b"\r\n.", b"\r\n..")
    return b"." + content if content.startswith(b".") else content


def _greet(verb: str, name: str) -> bytes:
    if not name or not name.isascii() or _UNSAFE.search(name):
        raise LocalProtocolError(f"{verb}: {name!r} is not a host name or address literal")
    return _line(f"{verb} {name}", MAX_LINE)


def _path(address: str, *, smtputf8: bool) -> str:
    if _UNSAFE.search(address):
        raise LocalProtocolError(f"address {address!r}: control characters, spaces and angle brackets can't be sent")
    plain = address.isascii()
    if not (smtputf8 or plain):
        raise LocalProtocolError(f"address {address!r} needs SMTPUTF8")
    if (len(address) if plain else len(address.encode())) > MAX_PATH:
        raise LocalProtocolError(f"address {address[:40]!r}… is over {MAX_PATH} octets")
    return address


def _line(text: str, limit: int) -> bytes:
    line = text.encode() + b"\r\n"
    if len(line) > limit:
        raise LocalProtocolError(f"{text[:40]!r}… is over {limit} octets")
    return line
