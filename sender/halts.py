"""Campaigns that must stop in this process, with what it has leased of them: `Halts` knows, and sees that it goes back.

1. About once a second the store is asked what operators have said of the campaigns that this process may hold.
2. `withdrawn` answers at once, from memory: by an operator's word, else by the campaign's own times. It is asked before an
   envelope is begun, and once more just before its end of data.
3. When one more campaign is halted, every lane that runs is told to let go of what no session has taken; for some rounds,
   because some of it was just being looked up or signed. What comes later still does not pass a session.

What is at its end of data already is not called back: the receiver may have it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

import trio

from sender.backlog import Held
from sender.campaigns import Campaign
from sender.errors import BackendError
from sender.model import State
from sender.policy.schedule import Outlook
from sender.queue.control import Control
from sender.withdrawal import Withdrawn

_POLL_S = 1.0
_ROUNDS = 5
_AT_ONCE = 500  # campaigns in one call
_PAUSED = Withdrawn(state=None, why="its campaign is paused")
_OUTSIDE = Withdrawn(state=None, why="its campaign has no window now")
_LATE = Withdrawn(state=State.EXPIRED, why="its campaign's deadline has passed")
_LATE_IN_DOUBT = Withdrawn(state=State.UNKNOWN, why="its campaign's deadline has passed; it may have arrived before")


class Says(Protocol):
    """The part of a queue that knows operators' words."""

    async def controls(self, campaigns: Sequence[str] | None = None) -> Mapping[str, Control]: ...


class Halts:
    """What must stop in this process."""

    def __init__(
        self,
        queue: Says,
        in_memory: Callable[[], Collection[Campaign]],
        clock: Callable[[], float],
        *,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`in_memory` gives the campaigns that this process may hold envelopes of."""
        self._queue, self._in_memory, self._clock, self._on_trouble = queue, in_memory, clock, on_trouble
        self._words: dict[str, Withdrawn] = {}
        self._outlooks: WeakKeyDictionary[Campaign, Outlook] = WeakKeyDictionary()  # of those with times of their own

    def withdrawn(self, held: Held) -> Withdrawn | None:
        """Why this envelope must not be sent now, or None; never blocks."""
        if not self._words and held.campaign.schedule.always:
            return None  # nearly always so
        halt = self._halt(held.campaign)
        return _LATE_IN_DOUBT if halt is _LATE and held.envelope.doubts else halt

    def _halt(self, campaign: Campaign) -> Withdrawn | None:
        if (word := self._words.get(campaign.id)) is not None:
            return word
        if campaign.schedule.always:
            return None
        now = self._clock()
        if now >= campaign.schedule.deadline:
            return _LATE
        outlook = self._outlooks.get(campaign)
        if outlook is None:
            outlook = self._outlooks[campaign] = Outlook(campaign.schedule)
        return _OUTSIDE if outlook.covered(now) else None

    async def run(self, let_go: Callable[[], None]) -> None:
        """Ask for ever; `let_go` is called when one more campaign is halted, and for a few rounds after that."""
        before, rounds = set[str](), 0
        while True:
            try:
                await self.look()
            except BackendError as error:
                self._on_trouble(str(error))  # what was halted stays halted
            halted = {campaign.id for campaign in self._in_memory() if self._halt(campaign) is not None}
            rounds = _ROUNDS if halted - before else max(0, rounds - 1)
            before = halted
            if rounds:
                let_go()
            await trio.sleep(_POLL_S)

    async def look(self) -> None:
        """Ask once."""
        campaigns = sorted({campaign.id for campaign in self._in_memory()})
        words: dict[str, Withdrawn] = {}
        for start in range(0, len(campaigns), _AT_ONCE):
            said = await self._queue.controls(campaigns[start : start + _AT_ONCE])
            words.update((name, halt) for name, word in said.items() if (halt := _halt(word)) is not None)
        self._words = words


def _halt(word: Control) -> Withdrawn | None:
    if word.ended is not None:
        return Withdrawn(state=word.ended, why=f"its campaign was {word.ended}{_by(word)}")
    return _PAUSED if word.paused else None


def _by(word: Control) -> str:
    return "".join((f" by {word.by}" if word.by else "", f": {word.why}" if word.why else ""))
