"""Mailboxes: one strict reading, one spelling per identity.

An address is `local@domain` as RFC 5321 section 4.1.2 has it and nothing more: no comments, no routes, no domain literals,
no port. What is checked here is what goes into RCPT, so suppression, caps and delivery always mean the same mailbox.

Two rules are stricter than the RFC on purpose. `%` and `!` in a local part are refused, because relays still read them as
source routes. A domain needs two labels and a last label of letters (or an A-label), because anything else is a host in
somebody's local network or an IPv4 address in disguise.
"""

import re
import unicodedata
from dataclasses import dataclass

import idna

from sender.errors import ContentError

LOCAL_MAX = 64  # octets, RFC 5321 section 4.5.3.1.1
ADDRESS_MAX = 254  # octets: the path of section 4.5.3.1.3 without its angle brackets

# Nearly every address of a list: no reading of the rest of this file needed.
_COMMON = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@((?:[a-z0-9](?:-?[a-z0-9])*\.)+[a-z]+)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\[ -~])*)"@(.*)', re.DOTALL)
_ATEXT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TOP_LEVEL = re.compile(r"[a-z]+|xn--.+")
_MAILBOX = re.compile(r"([^<>]*)<([^<>]*)>", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox in the one spelling we keep: local part unquoted where it may be, domain as lower-case A-labels."""

    local: str
    domain: str

    @property
    def smtputf8(self) -> bool:
        """Whether the local part needs RFC 6531; a domain never does, as A-labels are ASCII."""
        return not self.local.isascii()

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with the name shown beside it; "" where there is none."""

    name: str
    address: Address


def parse_address(text: str) -> Address:
    """Read one mailbox, without anything around it; ContentError says what is wrong (RFC 5321, 5890, 6531)."""
    common = _COMMON.fullmatch(text)
    if common and len(common[1]) <= LOCAL_MAX and len(text) <= ADDRESS_MAX and "xn-" not in text and _short_labels(common[2]):
        return Address(common[1], common[2])
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        local, domain = _local(text, re.sub(r"\\(.)", r"\1", quoted[1])), quoted[2]
    else:
        local, at, domain = text.partition("@")
        if not at:
            raise _refused(text, "no @")
        _check_dot_atom(text, local)
        local = _local(text, local)
        if local.startswith('"'):  # NFC made an ASCII special of it
            raise _refused(text, "a character that normalises to one not allowed in a local part")
    address = Address(local, parse_domain(domain))
    if len(str(address).encode()) > ADDRESS_MAX:
        raise _refused(text, f"longer than {ADDRESS_MAX} octets")
    return address


def parse_mailbox(text: str) -> Mailbox:
    """Read `Name <local@domain>`, `"Name" <local@domain>` or a bare address; ContentError says what is wrong."""
    match = _MAILBOX.fullmatch(text.strip())
    if not match:
        return Mailbox("", parse_address(text.strip()))
    name = match[1].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    if _CONTROL.search(name):
        raise _refused(text, "a control character in the name")
    return Mailbox(name, parse_address(match[2]))


def parse_domain(text: str) -> str:
    """Read a mail domain as lower-case A-labels without the final dot; ContentError says what is wrong (RFC 5891)."""
    domain = text if text.isascii() else _mapped(text)
    domain = domain.lower().removesuffix(".")
    labels = domain.split(".")
    if domain.startswith("["):
        raise _refused(text, "a domain literal is not taken: give the domain's name")
    if len(domain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(text, "not a domain name: labels of 1 to 63 letters, digits and inner hyphens, joined by dots")
    if len(labels) < 2:
        raise _refused(text, "not a full domain name: a dot is missing")
    if not _TOP_LEVEL.fullmatch(labels[-1]):
        raise _refused(text, "the last label is not a top-level domain: letters, or an A-label")
    for label in labels:
        _check_reserved(text, label)
    return domain


def _mapped(text: str) -> str:
    """UTS 46 mapping first, so that case, width and the ideographic full stop do not make a second identity.

    The mapping would drop invisible characters; only the two joiners that IDNA gives a meaning are let through to it.
    """
    hidden = next((char for char in text if unicodedata.category(char)[0] in "CZ" and char not in "\u200c\u200d"), None)
    if hidden is not None:
        raise _refused(text, f"U+{ord(hidden):04X} in the domain")
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise _refused(text, f"not an IDNA 2008 domain: {error}") from error


def _check_reserved(text: str, label: str) -> None:
    """Hyphens in places 3 and 4 mark an encoding; only A-labels that decode to themselves are known (RFC 5890 2.3.1)."""
    if label[2:4] != "--":
        return
    try:
        idna.decode(label)
    except (idna.IDNAError, UnicodeError) as error:
        raise _refused(text, f"{label} is not an A-label: {error}") from error
    if not label.startswith("xn--"):
        raise _refused(text, f"{label} has reserved hyphens")


def _check_dot_atom(text: str, local: str) -> None:
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise _refused(text, "a dot at an end of the local part, or two in a row")
    strange = next((char for char in local if char.isascii() and char not in _ATEXT and char != "."), None)
    if strange is not None:
        raise _refused(text, f"{strange!r} in the local part")
    if not local:
        raise _refused(text, "no local part")


def _local(text: str, local: str) -> str:
    """Check what the local part means, and spell it: NFC, quoted only where a dot-atom can't say it."""
    local = unicodedata.normalize("NFC", local)
    if "%" in local or "!" in local:
        raise _refused(text, "'%' and '!' are read as routes by relays")
    for char in local:
        category = unicodedata.category(char)
        if category[0] in "CZ" and char != " ":
            raise _refused(text, f"U+{ord(char):04X} in the local part")
    if local and unicodedata.category(local[0])[0] == "M":
        raise _refused(text, "the local part starts with a combining mark")
    atoms = local.split(".")
    if not all(atom and all(char in _ATEXT or not char.isascii() for char in atom) for atom in atoms):
        local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
    if len(local.encode()) > LOCAL_MAX:
        raise _refused(text, f"a local part longer than {LOCAL_MAX} octets")
    return local


def _short_labels(domain: str) -> bool:
    return len(domain) < 64 or all(len(label) < 64 for label in domain.split("."))


def _refused(text: str, why: str) -> ContentError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return ContentError("address", f"{shown!a}: {why}")
