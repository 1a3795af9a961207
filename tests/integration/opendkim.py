"""An opendkim of our own as Postfix's milter: it verifies what arrives, and Authentication-Results says what it found."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.programs import answers, find, running

PORT = 8891
JUDGE = "judge.postfix.example"

# Nothing is held back for what it finds: the finding itself is what the tests want.
_CONFIG = """\
Mode v
Socket inet:{port}@{address}
PidFile {home}/opendkim.pid
Nameservers {nameserver}
AuthservID {judge}
AlwaysAddARHeader yes
SoftwareHeader no
On-Default accept
MinimumKeyBits 1024
Syslog no
"""

_DKIM = re.compile(r"dkim=(\w+)")
_PROPERTY = re.compile(r"header\.([da])=(\S+)")
_COMMENT = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What opendkim says of one signature."""

    result: str  # RFC 8601 section 2.7.1: pass, fail, neutral, none ...
    domain: str = ""
    algorithm: str = ""


@contextmanager
def opendkim(home: Path, address: str, nameserver: str) -> Iterator[str]:
    """A verifying milter on `address`; yields its host:port."""
    config = home / "opendkim.conf"
    config.write_text(_CONFIG.format(port=PORT, address=address, home=home, nameserver=nameserver, judge=JUDGE))
    command = [find("opendkim", "opendkim"), "-f", "-x", str(config)]
    with running(command, home / "opendkim.log", lambda: answers(address, PORT)):
        yield f"{address}:{PORT}"


def findings(field: bytes) -> list[Finding]:
    """What an Authentication-Results field (RFC 8601) says of each signature, topmost first."""
    judge, *results = _COMMENT.sub("", " ".join(field.decode().split())).split(";")
    assert judge == JUDGE, f"the judgement of a stranger: {field!r}"
    return [_finding(match[1], result) for result in results if (match := _DKIM.match(result.strip()))]


def _finding(result: str, text: str) -> Finding:
    properties = dict(_PROPERTY.findall(text))
    return Finding(result=result, domain=properties.get("d", ""), algorithm=properties.get("a", ""))
