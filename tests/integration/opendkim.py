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

_RESULT = re.compile(r"dkim=(\w+)(?: reason=\"([^\"]*)\")?(?: \(([^)]*)\))?(?:[^;]*?header\.d=([^ ;]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What opendkim says of one signature."""

    result: str  # RFC 8601 section 2.7.1: pass, fail, neutral, none ...
    domain: str
    key: str  # "2048-bit key", "256-bit key" for Ed25519
    reason: str = ""


@contextmanager
def opendkim(home: Path, address: str, nameserver: str) -> Iterator[str]:
    """A verifying milter on `address`; yields its host:port."""
    config = home / "opendkim.conf"
    config.write_text(_CONFIG.format(port=PORT, address=address, home=home, nameserver=nameserver, judge=JUDGE))
    command = [find("opendkim", "opendkim"), "-f", "-x", str(config)]
    with running(command, home / "opendkim.log", lambda: answers(address, PORT)):
        yield f"{address}:{PORT}"


def findings(field: bytes) -> list[Finding]:
    """The signatures that an Authentication-Results field speaks of, topmost first."""
    text = " ".join(field.decode().split())
    judge, _, results = text.partition("; ")
    assert judge == JUDGE, f"Authentication-Results of a stranger: {text}"
    return [
        Finding(result=match[1], reason=match[2] or "", key=(match[3] or "").partition(";")[0], domain=match[4] or "")
        for match in _RESULT.finditer(results)
    ]
