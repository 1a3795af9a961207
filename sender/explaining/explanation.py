"""Why something waits: what binds it, where that comes from, and when it may end. The words and the times, nothing else.

Of several reasons the one that ends last binds: what waits for a start and for a retry goes when both have come.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

FOR_EVER = float("inf")
_DAY_S = 86_400.0


class Limit(StrEnum):
    """What can bind: the words of `penstock why --json`."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    PAUSE = "pause"  # by an operator
    HOLD = "hold"  # of lanes, by an operator
    START = "start"
    WINDOW = "window"
    RATE = "rate"
    EXPANSION = "expansion"
    RETRY = "retry"
    SCHEDULER = "scheduler"
    NO_SOURCE = "no_source"
    NO_PROCESS = "no_process"
    LANE = "lane"  # paused, paced, full ...: `detail` says which
    TURN = "turn"  # others of its campaign go before it
    DOUBT = "doubt"  # an operator has to decide
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that keeps it from being sent."""

    limit: Limit
    text: str  # for an operator
    origin: str = ""  # the rule, setting, file, command or person it comes from
    until: float | None = None  # Unix seconds, FOR_EVER where only somebody's word ends it; None: not known
    expires: float | None = None  # Unix seconds: the deadline, where that comes before this ends
    detail: str = ""

    @property
    def last(self) -> float:
        """When it ends, for the order: what is not known may end at any moment."""
        if self.expires is not None:
            return FOR_EVER
        return self.until if self.until is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What else is worth knowing."""

    name: str
    text: str
    at: float | None = None  # Unix seconds: when it was, or will be


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to one question."""

    subject: str
    state: str  # in a word or two
    reasons: tuple[Reason, ...] = ()  # the binding one first
    notes: tuple[Note, ...] = ()
    known: bool = True  # False: there is nothing of that name

    @property
    def expires(self) -> float | None:
        """When it ends as expired, Unix seconds, where it can't go before."""
        return min((reason.expires for reason in self.reasons if reason.expires is not None), default=None)

    @property
    def next(self) -> float | None:
        """When it can go at the earliest, Unix seconds; FOR_EVER where somebody has to act first, None where nobody knows."""
        if self.expires is not None:
            return None
        untils = [reason.until for reason in self.reasons if reason.until is not None]
        return max(untils, default=None)


def bound(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The reasons in the order of their weight: what ends last first; those whose end nobody knows keep their order behind."""
    return tuple(sorted(reasons, key=lambda reason: -reason.last))


def joined(parts: Sequence[str], most: int = 5) -> str:
    """A list in words, cut where it is long."""
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def span(seconds: float) -> str:
    """A time span in words: the two largest units."""
    left, words = max(0, round(seconds)), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if left >= size:
            words.append(f"{left // size} {unit}")
            left %= size
        elif words:
            break
        if len(words) == 2:
            break
    return " ".join(words) or "a moment"


def moment(unix: float, now: float) -> str:
    """A time of day; with its date where that is not near."""
    return time.strftime("%H:%M:%S" if abs(unix - now) < _DAY_S / 2 else "%Y-%m-%d %H:%M", time.localtime(unix))


def counted(number: int, noun: str) -> str:
    """So many of something, in words."""
    plural = f"{noun}es" if noun.endswith(("ch", "s")) else f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def printable(text: str) -> str:
    """What comes from the store or from a receiver, fit for a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


_LATE_S = 3.0  # a scheduler looks several times a second: what has been due for longer has none


def overdue(due: float, now: float) -> bool:
    """It should have been made ready, and was not."""
    return due < now - _LATE_S


def out_of_line(what: str) -> Reason:
    """A hold has gone, and what it kept back was not put in line again."""
    text = f"{what} held back, and nothing holds it any more: a scheduler puts it back in line within a second"
    return Reason(limit=Limit.SCHEDULER, text=f"{text}; is one running?", origin="penstock run scheduler")


def retry_reason(due: float, now: float, text: str, origin: str = "") -> Reason:
    """Something waits for its next attempt, or for a scheduler that makes it ready."""
    if overdue(due, now):
        late = f"{text}; the next one has been due for {span(now - due)}: is a scheduler running?"
        return Reason(limit=Limit.SCHEDULER, text=late, origin="penstock run scheduler")
    return Reason(limit=Limit.RETRY, text=text, origin=origin, until=due)
