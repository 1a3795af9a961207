"""Addresses that get no mail, whatever a list says: global, or of one list.

The store never sees an address: it keeps digests under a key that only the fleet's hosts have (`sender.policy.suppression`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

GLOBAL = ""  # the list of entries that hold for every list
NEWS_KEPT = 100_000  # about: who follows the news and falls behind further than this is told so


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One entry: whom (as a digest), for which list, why, by whom, until when."""

    digest: bytes
    list: str = GLOBAL
    reason: str  # unknown_user, complaint, unsubscribe, manual ...: lower case, at most 40 characters
    source: str = ""  # where it comes from: an envelope's id, an operator, a file
    at: float  # Unix seconds
    expires: float = 0.0  # Unix seconds; 0: never

    def holds(self, now: float) -> bool:
        return not self.expires or now < self.expires

    def outlasts(self, other: "Suppression") -> bool:
        """Whether this one still holds when the other has expired."""
        return bool(other.expires) and (not self.expires or self.expires > other.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Entries in the order they were added, and the cursor to go on from."""

    cursor: str
    entries: Sequence[Suppression]
    missed: bool = False  # there were others before these: too many came since the cursor, or the store has lost some


class Suppressions(Protocol):
    """The part of a queue that keeps suppressions."""

    async def suppression_mark(self, mark: str) -> str:
        """Write down, once for the whole store, under which key its digests are made; gives the mark that stands.

        Under another key no entry would ever be found: who gets another mark than its own must not go on.
        """

    async def suppress(self, entries: Sequence[Suppression]) -> int:
        """Add entries; one that is there stays as it is unless it expires earlier. Gives how many were new."""

    async def unsuppress(self, digests: Sequence[bytes], list_name: str) -> int:
        """Remove entries of this list (GLOBAL or a name); how many there were."""

    async def suppressed(self, digests: Sequence[bytes], list_name: str, now: float) -> Sequence[Suppression | None]:
        """For each digest the entry that holds for this list now, its own or the global one."""

    async def suppressions(self, after: str, limit: int) -> tuple[str, Sequence[Suppression]]:
        """All entries, for an export, about `limit` at a time, and the cursor to go on from; "" once there are no more.

        What is there throughout is given at least once; expired entries may be among them until `reclaim` has seen them.
        """

    async def suppression_news(self, after: str, limit: int) -> News:
        """Entries in the order they were added, after a cursor; "" begins with what comes from now on.

        How a process that holds envelopes learns of suppressions that came after it leased them.
        """
