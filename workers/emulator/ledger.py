"""The receivers' own count of what came in: kept apart from the sender's, so that the two can be held against each other."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

_HEAD = 16_384  # octets searched for the Message-ID
_MESSAGE_ID = re.compile(rb"(?im)^message-id:[ \t]*(?:\r\n[ \t]+)?(<[^>\r\n]*>)")


@dataclass(slots=True, kw_only=True)
class Counts:
    """What one receiver saw. Accepted, deferred and refused count recipients (a refused MAIL is one); DKIM counts messages."""

    connections: int = 0
    turned_away: int = 0  # connections refused at the greeting
    tls: int = 0
    accepted: int = 0
    deferred: int = 0
    refused: int = 0
    complaints: int = 0  # messages whose reader pressed the spam button
    octets: int = 0
    dkim_pass: int = 0
    dkim_fail: int = 0
    dkim_none: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One message a receiver answered 250 for: from here on it is the receiver's."""

    serial: int  # counts from 1 over all receivers, in the order of acceptance
    receiver: str
    host: str
    source: str
    mail_from: str
    recipients: tuple[str, ...]
    message_id: str
    octets: int
    tls: bool
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What DKIM verification made of a taken message: one entry per signature, "pass domain" or "fail domain why"."""

    serial: int
    receiver: str
    signatures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True when there is a signature and none is bad."""
        return bool(self.signatures) and all(entry.startswith("pass ") for entry in self.signatures)


class Ledger:
    """Counts by receiver, and a record that only grows, handed line by line to `record`."""

    def __init__(self, record: Callable[[Taken | Judged], None]) -> None:
        self._record = record
        self._counts: dict[str, Counts] = {}
        self._serial = 0

    def of(self, receiver: str) -> Counts:
        return self._counts.setdefault(receiver, Counts())

    def counts(self) -> dict[str, Counts]:
        """The counts by receiver, of those that saw anything."""
        return {name: counts for name, counts in self._counts.items() if counts.connections}

    def total(self) -> Counts:
        whole = Counts()
        for counts in self._counts.values():
            for name, value in counts.as_dict().items():
                setattr(whole, name, getattr(whole, name) + value)
        return whole

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def taken(self, taken: Taken) -> None:
        counts = self.of(taken.receiver)
        counts.accepted += len(taken.recipients)
        counts.octets += taken.octets
        self._record(taken)

    def judged(self, judged: Judged) -> None:
        counts = self.of(judged.receiver)
        if judged.passed:
            counts.dkim_pass += 1
        elif judged.signatures:
            counts.dkim_fail += 1
        else:
            counts.dkim_none += 1
        self._record(judged)


def message_id(content: bytes) -> str:
    """The Message-ID of a message, or "" when its head has none."""
    end = content.find(b"\r\n\r\n", 0, _HEAD)
    found = _MESSAGE_ID.search(content, 0, end + 2 if end >= 0 else _HEAD)
    return found.group(1).decode("utf-8", "replace") if found else ""
