"""Groups of readers of the events: each group is given every event at least once, in the order of its stream.

1. `open_group` begins a group, at the oldest event kept or behind the newest.
2. `read_group` gives the next entries of some streams, those that were read and not acknowledged first: until they are,
   it gives nothing new of that stream. So what a reader is given it is given again, entry for entry, and a stream has one
   batch under way.
3. `acknowledge` says that entries are dealt with.

A stream is read by one reader at a time: the first that asks holds it, and each of its calls is a beat that others are shown
in place of entries. A beat is a number that counts up, never a time, as with owners (see `owners`): who has watched it stand
still for long enough by his own clock says which beat that was, and takes the stream over with all that is not acknowledged.

Events are kept for a while and not for ever. A group that falls so far behind loses some, and is told how many entries.

Who only looks disturbs nobody: `groups` says where all of them stand, those of other programs too, and `peek` reads on from
places that are the reader's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Start(StrEnum):
    """Where a new group begins."""

    BEGINNING = "beginning"  # with the oldest event that is kept
    NOW = "now"  # with the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What was told together, stored as one."""

    id: str  # the store's own, unique in its stream
    lines: tuple[bytes, ...]  # an event each, as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a reader asks of one stream."""

    stream: int  # from 0
    entries: int  # at most; 0: nothing, it beats only
    stands_still: str = ""  # the beat of another reader that lives no more: his stream becomes the asker's


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one stream gave."""

    stream: int
    entries: tuple[Entry, ...] = ()
    lost: int = 0  # entries that had gone before the group had dealt with them, told once
    beat: str = ""  # of the other reader who holds the stream, and his name; "": it is the asker's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a group is behind, over all streams."""

    entries: int = 0  # not acknowledged
    oldest_s: float = 0.0  # how long ago the oldest of those was stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """When a reader could last not deliver, and why."""

    at: float  # Unix seconds
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStanding:
    """Where a group stands, over all streams."""

    name: str  # of another program's group: its whole name in the store
    ours: bool
    entries: int | None  # not acknowledged; None where the store can't tell of another program's
    events: int | None  # in these entries; about as many, where they are too many to be counted
    exact: bool = True  # the events were counted
    under_way: int = 0  # of the entries: given to a reader
    oldest_s: float = 0.0  # how long ago the oldest of them was stored
    readers: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # by name: its beat on each stream; "" of others' readers
    failed: Failure | None = None


class Groups(Protocol):
    """The part of a queue that gives events to groups of readers. Names are short: letters, digits, dashes."""

    async def open_group(self, group: str, start: Start) -> int:
        """Begin a group on all streams, where it is not there yet; gives how many streams there are."""

    async def read_group(self, group: str, reader: str, wishes: Sequence[Wish]) -> Sequence[Reading]:
        """The next entries of each stream that is asked for; never waits for any.

        BackendError where entries are asked of a group that is not there: somebody took it away; `open_group` begins it anew.
        """

    async def acknowledge(self, group: str, reader: str, entries: Mapping[int, Sequence[str]]) -> int:
        """Entries are dealt with, ids by stream; how many of them count: none of a stream that another took over."""

    async def let_go(self, group: str, reader: str) -> None:
        """The reader ends in order: its streams are free at once, and what it had not acknowledged is given to the next."""

    async def lag(self, groups: Sequence[str], now: float) -> Mapping[str, Lag]:
        """How far each group is behind; one that is not there is left out."""

    async def groups(self, now: float) -> Sequence[GroupStanding]:
        """Where each group stands, by name; those of other programs, too."""

    async def note_failure(self, group: str, failure: Failure) -> None:
        """Keep the last failure of a group, for whoever looks."""

    async def ends(self) -> Mapping[int, str]:
        """Of each stream the id of its newest entry: where somebody begins to `peek` who wants what comes."""

    async def peek(self, after: Mapping[int, str], entries: int) -> Sequence[Reading]:
        """The next entries behind these ids, at most so many of each stream; no group's place moves."""

    async def tell(self, subject: str, events: Sequence[bytes]) -> None:
        """Add events that come with no settlement and no chunk, as one entry; all of one subject are in one stream."""

    async def forget_events(self, before: float) -> int:
        """Drop the entries that were stored before then, the store's time, read or not; how many."""
