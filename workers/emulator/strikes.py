"""What befalls connections to ordinary receivers: at some point of the dialogue, something other than what would come.

A strike is data: where (host, point, recipient), how often, what it does, what is said instead. A test sets strikes while the
world runs, reads who met them, and heals the world: whoever was held up then gets the reply that was due.
"""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec
import trio

from workers.emulator.answers import Answer

_MET = 1_000  # names kept for each strike


class Point(StrEnum):
    """Where in a dialogue, in its order; each stands right before the reply that is due there."""

    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # some of it has come, not all; nothing is due
    DOT = "dot"  # all of it has come; nobody has looked at it yet
    TAKEN = "taken"  # it is the receiver's now


class Does(StrEnum):
    """What happens before the reply."""

    NOTHING = "nothing"  # only the reply is another
    HOLD = "hold"  # until the world is healed
    WAIT = "wait"
    SILENCE = "silence"  # no more replies; the connection stays
    DEAF = "deaf"  # nor is anything read
    CLOSE = "close"
    RESET = "reset"


class Strike(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One rule. `host` and `to` are patterns in which * stands for anything; `to` is matched from RCPT on."""

    point: Point
    host: str = "*"
    to: str = "*"
    skip: int = 0  # so many that match pass first
    times: int = 0  # so many are struck then; 0: all of them
    does: Does = Does.NOTHING
    wait_s: float = 0.0
    says: str = ""  # a reply, such as "451 4.3.0 Not now"; 421 closes behind it

    def __post_init__(self) -> None:
        if self.says and (self.point is Point.CONTENT or not self.says[:3].isdigit() or self.says[3:4] != " "):
            raise ValueError(f"says: {self.says!r} can't be said at {self.point}")

    @property
    def answer(self) -> Answer | None:
        if not self.says:
            return None
        code = int(self.says[:3])
        return Answer(code=code, text=self.says[4:], closes=code == 421)

    def matches(self, point: Point, host: str, recipients: Sequence[str]) -> bool:
        if point is not self.point or not fnmatchcase(host, self.host):
            return False
        return self.to == "*" or any(fnmatchcase(recipient, self.to) for recipient in recipients)


class Struck:
    """One strike, and who met it."""

    def __init__(self, strike: Strike) -> None:
        self.strike = strike
        self.count = 0
        self.met: list[str] = []  # of each that was struck: the recipient it was about, else the host
        self.healed = trio.Event()

    def meets(self, name: str) -> bool:
        """Count one that matches; whether it is struck."""
        strike = self.strike
        self.count += 1
        struck = self.count > strike.skip and (not strike.times or self.count <= strike.skip + strike.times)
        if struck and len(self.met) < _MET:
            self.met.append(name)
        return struck


class Strikes:
    """All strikes of a world, in the order in which they were set: the first that fits decides."""

    def __init__(self) -> None:
        self._all: list[Struck] = []

    def __repr__(self) -> str:
        return f"<Strikes {len(self._all)}>"

    def add(self, strikes: Sequence[Strike]) -> None:
        self._all += [Struck(strike) for strike in strikes]

    def heal(self) -> None:
        """Forget all strikes; who is held up goes on."""
        for struck in self._all:
            struck.healed.set()
        self._all = []

    def met(self) -> list[list[str]]:
        """Who met each strike, in the order in which they were set."""
        return [list(struck.met) for struck in self._all]

    def at(self, point: Point, host: str, recipients: Sequence[str]) -> Struck | None:
        """What befalls a connection that comes to this point."""
        name = recipients[-1] if recipients else host
        for struck in self._all:
            if struck.strike.matches(point, host, recipients) and struck.meets(name):
                return struck
        return None
