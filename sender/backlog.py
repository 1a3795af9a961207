"""What a lane has leased and not yet handed to a session, by destination, in the order it came.

An envelope's way through here: `held` (leased, its destination known) -> a batch that is being prepared -> `ready` (composed
and signed). Only plain state: the lane decides, this remembers.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import trio
from msgspec import Struct

from sender.campaigns import Campaign
from sender.model import Destination, Envelope, Transaction
from sender.policy.receivers import Limits, Profile
from sender.queue.base import Ticket

T = TypeVar("T")


class Held(Struct, frozen=True, eq=False):
    """One leased envelope with all that is needed to send and to settle it. Positional: one is built per message."""

    ticket: Ticket  # of its lease
    position: int
    envelope: Envelope
    campaign: Campaign
    leased_at: float = float("-inf")  # trio's time when its lease came; who gets no mail was asked after that


def held_of(transaction: Transaction) -> Held:
    """The leased envelope that a transaction was made for."""
    assert isinstance(transaction.tag, Held)
    return transaction.tag


class Backlog:
    """The envelopes of one lane for one destination."""

    def __init__(self, destination: Destination, profile: Profile) -> None:
        """`profile` is that of the destination's receiver: the lane's own, unless DNS changed its mind meanwhile."""
        self.destination, self.profile = destination, profile
        self.held: deque[Held] = deque()
        self.ready: deque[Transaction] = deque()
        self.preparing = 0
        self.sessions = 0  # open or being opened
        self.open = 0
        self.since = trio.current_time()  # when it was last served, or began to wait
        self._parked = trio.lowlevel.ParkingLot()  # sessions with nothing to send
        self._paced = False  # one of them waits for the pace
        self._octets = 1  # of the message prepared last

    @property
    def limits(self) -> Limits:
        return self.profile.limits

    @property
    def waiting(self) -> int:
        """Envelopes that no session has taken yet."""
        return len(self.held) + self.preparing + len(self.ready)

    def of_its_size(self, most: int, octets: int) -> int:
        """How many messages, of the size that the last one had, come to so many octets: one at least, and `most`."""
        return max(1, min(most, octets // self._octets))

    def batch(self, most: int) -> list[Held]:
        """The next envelopes to prepare; `prepared` must follow."""
        batch = [self.held.popleft() for _ in range(min(most, len(self.held)))]
        self.preparing += len(batch)
        return batch

    def prepared(self, count: int, transactions: list[Transaction]) -> None:
        """Of a batch of `count` these came out fit to be sent."""
        self.preparing -= count
        self.ready.extend(transactions)
        if not transactions:
            self.changed()
            return
        self._octets = transactions[-1].size
        self.offer(len(transactions))

    def changed(self) -> None:
        """Wake all sessions that wait for something to send: they should look around."""
        self._parked.unpark_all()

    def offer(self, messages: int = 1) -> None:
        """Wake as many sessions as there is something to send for: more would only look and wait again."""
        self._parked.unpark(count=messages)

    async def wait_changed(self) -> None:
        """Wait to be woken; whoever then takes nothing must `offer` it to the next."""
        await self._parked.park()

    async def wait_paced(self, due: float, deadline: float) -> None:
        """Wait for the pace, which permits a message at `due`; of several sessions one does, the others until it took that.

        All of them would wake for each message, and all but one in vain.
        """
        if self._paced:
            with trio.move_on_at(deadline):
                await self._parked.park()
            return
        self._paced = True
        try:
            with trio.move_on_at(due):
                await self._parked.park()
        finally:
            self._paced = False

    def drain(self) -> list[Held]:
        """All that no session has taken, ready ones first: they go back."""
        back = [*map(held_of, self.ready), *self.held]
        self.ready.clear()
        self.held.clear()
        return back

    def one(self) -> list[Held]:
        """One that no session has taken, if there is one."""
        if self.held:
            return [self.held.popleft()]
        return [held_of(self.ready.popleft())] if self.ready else []

    def sift(self, ask: Callable[[Held], T | None]) -> dict[Held, T]:
        """Take out, of what no session has taken, whatever `ask` has an answer to; with the answers."""
        waiting = [*map(held_of, self.ready), *self.held]
        out = {held: answer for held in waiting if (answer := ask(held)) is not None}
        if out:
            self.ready = deque(transaction for transaction in self.ready if held_of(transaction) not in out)
            self.held = deque(held for held in self.held if held not in out)
        return out

    def __repr__(self) -> str:
        return f"<Backlog {self.destination.key}: {len(self.held)} held, {len(self.ready)} ready, {self.sessions} sessions>"
