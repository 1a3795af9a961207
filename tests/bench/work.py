"""The work: the same for the engine and for whoever is measured beside it.

Messages of a case's size with three merge fields, to readers at the case's domains in turn.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import formatdate
from pathlib import Path

from tests.bench.rig import Case

SENDER = "bench@bench.example"
DOMAIN, SELECTOR = "bench.example", "s"
SUBJECT = "Hello {{ name }}"

_GREETING = "Hello {{ name }} in {{ city }}, your code is {{ code }}.\n"
_LINE = "The new season has come, and with it all that we have worked on through the winter.\n"
_HEADER_LINES = 8  # what the header takes, in lines of the text
_FIELD = re.compile(r"{{ (\w+) }}")
_MESSAGE = """\
From: Bench <{sender}>
To: {{{{ name }}}} <{{{{ to }}}}>
Subject: {subject}
Date: {date}
Message-ID: <{{{{ code }}}}@{domain}>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

{text}"""


def text(case: Case) -> str:
    """The template of the body."""
    return _GREETING + _LINE * (case.octets // len(_LINE) - _HEADER_LINES)


def message(case: Case) -> str:
    """The template of a whole message, for those who send octets; its lines end in CRLF."""
    whole = _MESSAGE.format(sender=SENDER, subject=SUBJECT, date=formatdate(), domain=DOMAIN, text=text(case))
    return whole.replace("\n", "\r\n")


def slots(template: str) -> list[str]:
    """A template compiled: text and names of fields in turn."""
    return _FIELD.split(template)


def merged(compiled: Sequence[str], fields: Mapping[str, str]) -> bytes:
    """One message."""
    parts = list(compiled)
    parts[1::2] = [fields[name] for name in compiled[1::2]]
    return "".join(parts).encode()


def readers(case: Case) -> list[dict[str, str]]:
    """All recipients: the address, and the merge fields."""
    return [
        {
            "to": f"reader{number}@domain{number % case.domains}.example",
            "name": f"Ann{number}",
            "city": "Lyon",
            "code": f"{number:06}",
        }
        for number in range(case.messages)
    ]


def rows(case: Case) -> Iterator[str]:
    """All recipients as lines of CSV."""
    yield "to,name,city,code\n"
    yield from (",".join(one.values()) + "\n" for one in readers(case))


def write_campaign(directory: Path, case: Case) -> Path:
    """The campaign as Penstock takes it."""
    (directory / "text.txt").write_text(text(case))
    path = directory / "bench.toml"
    path.write_text(f'from = "Bench <{SENDER}>"\nsubject = "{SUBJECT}"\ntext_file = "text.txt"\n')
    return path
