"""Who may settle what: owners of leases and lanes, and how one that died or was frozen is told from one that lives.

An owner joins, and then beats. A beat is a number that counts up, never a time: whoever watches decides by his own monotonic
clock that an owner's number has stood still for too long, so that no wall clock of any host can make the living look dead.
Then the owner is fenced, and no beat brings it back: it reads in the answer that it is no longer among the members, lets go
of everything, and joins again under another name. Its leases and claims go back only after the fence stands.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

BEAT_S = 2.0  # between two beats of an owner
OWNER_LIFE_S = 15.0  # an owner whose beat has stood still for so long, as its watcher's clock goes, lives no more
# An owner that could not beat for so long, as its own clock goes, sends nothing more: others may take it for dead soon.
FENCED_AFTER_S = OWNER_LIFE_S - 3.0


class Owners(Protocol):
    """The part of a queue that knows owners. Names are "host/anything unique" and never used twice."""

    async def join(self, owner: str) -> None:
        """Become a member; a repeat changes nothing. ValueError for a name that was fenced."""

    async def heartbeat(self, owner: str) -> Sequence[str]:
        """Beat once; gives all members, sorted. Where `owner` is not among them it has been fenced, or was never known."""

    async def beats(self) -> Mapping[str, int]:
        """The members and how often each has beaten: what a watcher compares."""

    async def fence(self, owners: Mapping[str, int | None], *, told: bool = False) -> Sequence[str]:
        """Declare owners dead for good, each only while its beat is still the one given (None: whatever it is).

        Gives those that are fenced now. What they hold stays theirs until `reclaim`, so that a journal can settle first.
        `told` says that it has: what they have not settled by now was never sent, and its units are there again. Of others
        nobody knows, and what they held counts as used.
        """

    async def fenced(self) -> Sequence[str]:
        """Owners that were declared dead and still hold something."""

    async def resign(self, owner: str) -> None:
        """The owner ends in order: its lane claims are free at once."""
