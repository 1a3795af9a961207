"""What the client machine tells its caller."""

from dataclasses import dataclass

from msgspec import Struct

from sender.model import Reply, Result, Step
from sender.smtp.capability import Capabilities


@dataclass(frozen=True, slots=True)
class Greeted:
    """The receiver said who it is; EHLO goes out next."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class StartTls:
    """Do the handshake now, on a clean buffer, then call `tls_started`; if it fails the connection is lost."""


@dataclass(frozen=True, slots=True)
class NoTls:
    """TLS is required and can't be had: nothing was sent in clear, and the session is over.

    `step` is STARTTLS when it was refused, EHLO when it was not offered; `reply` is the one that showed it.
    """

    step: Step
    reply: Reply


@dataclass(frozen=True, slots=True)
class Ready:
    """Transactions may be handed over."""

    capabilities: Capabilities


class Finished(Struct, frozen=True):
    """One transaction has its result. Cheap to make: there is one for each message."""

    result: Result


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The receiver ended the session: greeting or EHLO refused, or 421. What is still open comes back through `lost`."""

    step: Step
    reply: Reply


@dataclass(frozen=True, slots=True)
class Goodbye:
    """QUIT was answered: close the connection."""


Event = Greeted | StartTls | NoTls | Ready | Finished | TurnedAway | Goodbye
