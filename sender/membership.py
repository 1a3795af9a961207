"""An owner's membership: under which name it holds leases and lanes, whether it still may, and who the others are.

1. `join` makes it a member under "<base>-<number>"; `run` beats, until an answer shows that it was fenced.
2. `alive` is the question before anything irrevocable. It is answered from memory: no beat that began within
   `FENCED_AFTER_S` was answered means no, because others may take this owner for dead soon. The start of the beat counts, not
   its answer: an answer that was long on its way proves nothing about now.
3. Fenced, the name is never used again: whoever ran under it drops what it holds, and joins anew under the next one.
"""

from collections.abc import Callable

import trio

from sender.errors import BackendError
from sender.queue.owners import BEAT_S, FENCED_AFTER_S, Owners


class Membership:
    """One owner's place in the fleet."""

    def __init__(self, queue: Owners, base: str, *, on_trouble: Callable[[str], None] = lambda text: None) -> None:
        """`base` is "host/anything unique"."""
        self._queue, self._base, self._on_trouble = queue, base, on_trouble
        self._number, self._spent = 1, False  # spent: this name was fenced
        self._member = False
        self._answered = float("-inf")  # when the last beat began that was answered, trio's clock
        self.members: tuple[str, ...] = ()  # of the whole fleet, sorted, as of the last beat

    @property
    def owner(self) -> str:
        """The name that leases and claims carry now."""
        return f"{self._base}-{self._number}"

    @property
    def host(self) -> str:
        return host(self._base)

    def alive(self) -> bool:
        """Whether this owner may act on what it holds: nobody can have taken it from it yet."""
        return self._member and trio.current_time() - self._answered <= FENCED_AFTER_S

    async def join(self) -> None:
        """Become a member, under a name that was not fenced. BackendError: nothing is known, call again."""
        while not self._member:
            if self._spent:
                self._number, self._spent = self._number + 1, False
            began = trio.current_time()
            try:
                await self._queue.join(self.owner)
            except ValueError:  # an earlier call had joined, and its answer was lost for too long
                self._spent = True
                continue
            self._member, self._answered, self.members = True, began, (self.owner,)
            await self._beat()
            if not self._member:
                raise BackendError(f"owner {self.owner} had joined, and the store knows nothing of it")

    async def run(self) -> None:
        """Beat until this owner turns out to be fenced; `join` makes it a member again, under another name."""
        while self._member:
            await trio.sleep(BEAT_S)
            try:
                await self._beat()
            except BackendError as error:
                self._on_trouble(str(error))

    async def _beat(self) -> None:
        began = trio.current_time()
        members = await self._queue.heartbeat(self.owner)
        if self.owner in members:
            self._answered, self.members = began, tuple(members)
        else:
            self._on_trouble(f"owner {self.owner} was fenced: others took it for dead; it lets go of all that it held")
            self._member, self._spent = False, True

    async def resign(self) -> None:
        """End in order: what was claimed is free at once."""
        self._member = False
        await self._queue.resign(self.owner)

    def __repr__(self) -> str:
        return f"<Membership {self.owner}: {'alive' if self.alive() else 'not alive'}, one of {len(self.members)}>"


def host(owner: str) -> str:
    """The host of an owner."""
    return owner.partition("/")[0]
