"""What engines ask of a journal, and the journal of queues that need none."""

from collections.abc import Sequence
from typing import Protocol

import trio

from sender.model import Mark, State
from sender.queue.base import Again, Settlement
from sender.queue.journal_record import Key
from sender.queue.suppressions import Suppression


class Journaling(Protocol):
    """What engines ask of a journal. Only `run` waits."""

    @property
    def healthy(self) -> bool:
        """Whether it can be written: while it can't, nothing is leased and no end of data goes out."""

    def begin(self, owner: str) -> None:
        """From now on this owner writes; what an earlier one has left open is left to be recovered."""

    def intent(self, keys: Sequence[Key]) -> bool:
        """The end of data of these goes out next; False where that can't be written down, and must not happen."""

    def ended(
        self,
        key: Key,
        state: State,
        event: bytes,
        *,
        at: float,
        why: str = "",
        refused: Suppression | None = None,
        mark: Mark | None = None,
    ) -> None:
        """This envelope has reached its final state."""

    def back(self, key: Key, again: Again, event: bytes, *, mark: Mark | None = None) -> None:
        """This envelope was tried and goes back to the queue."""

    def untried(self, key: Key) -> None:
        """This envelope's end of data did not go out after all, if that was intended."""

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """The store has taken these."""

    async def run(self) -> None:
        """Upkeep, for ever."""

    def close(self) -> None:
        """Nothing more is written."""


class NoJournal:
    """For queues that do not outlive the process anyway."""

    healthy = True

    def begin(self, owner: str) -> None: ...
    def intent(self, keys: Sequence[Key]) -> bool:
        return True

    def ended(
        self,
        key: Key,
        state: State,
        event: bytes,
        *,
        at: float,
        why: str = "",
        refused: Suppression | None = None,
        mark: Mark | None = None,
    ) -> None: ...
    def back(self, key: Key, again: Again, event: bytes, *, mark: Mark | None = None) -> None: ...
    def untried(self, key: Key) -> None: ...
    def settled(self, settlements: Sequence[Settlement]) -> None: ...
    async def run(self) -> None:
        await trio.sleep_forever()

    def close(self) -> None: ...


NO_JOURNAL = NoJournal()
