"""Warmup as the store keeps it: caps that leasing obeys, what came of each sending day, where lanes stand, and who said so.

A unit is the right to send one envelope. It is counted when the envelope is leased. It is used up once an attempt ends in a
mark that `uses` it; what is settled without such a mark gives its unit back. Units that are leased and not settled are
*outstanding*: they may be sent at any moment, so that each window begins with those there are. So never more is sent than a
cap permits, in any of its windows, whoever dies or comes late; and what nobody used is there for somebody else.

Time never goes back for an account: who comes with an earlier time than one before him is taken to come at that one's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sender.model import Cap, LaneId, Mark, Route

DAYS_KEPT = 60  # sending days of which the store knows what came of them, beside the newest
AUDIT_KEPT = 100_000  # entries of the audit stream, about
TAIL = "~"  # what the names of receivers without a profile begin with
OTHER = "other"  # the receiver under which all of those are counted


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a cap is for: a lane, whose units are counted in its route's partition; or, without a route, what several share."""

    name: str  # "source/receiver"; shared: "source/other", "@domain"
    route: Route | None = None

    @classmethod
    def of(cls, lane: LaneId, route: Route) -> "Account":
        return cls(str(lane), route)

    def __str__(self) -> str:
        return self.name


class Window(StrEnum):
    """Which window of a cap is used up."""

    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"
    UNPLANNED = "unplanned"  # nothing is known of this day: the scheduler has yet to say


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a request was granted nothing, whatever its route has: a cap. Of several windows, the one that opens last."""

    lane: LaneId
    account: str  # whose cap it is: the lane's name, or that of a shared account
    window: Window
    opens: float  # Unix seconds; 0: not known. Units that come back may open it before
    most: int = 0  # what the window permits
    outstanding: int = 0  # of those, leased and not settled: they may come back


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What an account has counted. Units outstanding are among those of each window."""

    cap: Cap | None = None  # what leasing obeys
    day: int = 0  # units
    hour: int = 0
    minute: int = 0
    outstanding: int = 0
    # What came of each sending day: one that is not there had no attempt. Of a lane without a cap it is the day in UTC.
    marks: Mapping[int, Mapping[Mark, int]] = field(default_factory=dict)
    complaints: Mapping[int, int] = field(default_factory=dict)  # by sending day


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A state as it stands: opaque octets under a name."""

    name: str
    version: int  # how often it was written
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A state to be written, if `version` is still the one that stands; 0 where there is none."""

    name: str
    version: int
    body: bytes  # b"" removes it
    audit: bytes = b""  # who changed what and why: told once, and only if it was written


class Warmups(Protocol):
    """The part of a queue that warmup stands on."""

    async def set_caps(self, caps: Mapping[Account, Cap | None], now: float) -> None:
        """From now on leasing obeys these; None lifts a cap, and goes on counting.

        Told again it changes nothing. An earlier day than the one that stands is left aside. The same day with other numbers
        keeps what it has counted; a later one begins with what is outstanding.
        """

    async def use(self, accounts: Sequence[Account], now: float) -> Mapping[Account, Use]:
        """What each of these has counted by now."""

    async def complain(self, account: Account, day: int, complaints: int) -> None:
        """Count complaints that came from outside, on this sending day."""

    async def reserve(self, account: Account, units: int, now: float) -> int:
        """Use up to so many units of a shared account at once, for what is leased by other means; how many there were."""

    async def progress(self, names: Sequence[str] | None = None) -> Mapping[str, Kept]:
        """The states under these names, or all there are."""

    async def change_progress(self, changes: Sequence[Change]) -> Sequence[str]:
        """Write states, each only in place of the version it names; gives the names of those that were written."""

    async def audit(self, before: str = "", limit: int = 100) -> tuple[str, Sequence[bytes]]:
        """What was told to the audit stream, newest first, and the cursor to go on from; "" once there is no more."""

    async def untold_audit(self, limit: int) -> Sequence[tuple[str, bytes]]:
        """The oldest entries of the audit stream that nobody has called told yet, with their ids."""

    async def audit_told(self, last: str) -> None:
        """This entry and those before it have been told to the events."""

    async def tell_audit(self, entries: Sequence[bytes]) -> None:
        """Add to the audit stream what no change of a state tells."""
