"""Who gets no mail, as a process that delivers knows it: asked once a lease, and told of what comes after.

1. A lane asks (`ask`) about the recipients of each lease as it comes in; lanes that ask at the same time share one call.
2. `run` follows the store's news once a second, and remembers the last of them with the moment they were heard.
3. `withdrawn` is asked before each message goes out. What was suppressed after its envelope was asked about ends here; an
   envelope that was leased longer ago than the news reach back goes to the queue, to be asked about anew.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from itertools import islice

import trio

from sender.backlog import Held
from sender.errors import BackendError
from sender.model import State
from sender.policy.suppression import Digests
from sender.queue.base import Queue
from sender.queue.suppressions import GLOBAL, News, Suppression
from sender.withdrawal import Withdrawn

_POLL_S = 1.0
_NEWS_AT_ONCE = 2_000
_REMEMBERED = 100_000  # news; some 30 MB where a whole list is imported

_OUT_OF_REACH = Withdrawn(state=None, why="it was leased longer ago than the news of suppressions reach back")


def why_suppressed(entry: Suppression) -> str:
    """An entry in words: the reason, and whom it holds for."""
    return f"suppressed: {entry.reason}, {f'list {entry.list}' if entry.list != GLOBAL else 'all lists'}"


class _Wish:
    """What one lane asks."""

    __slots__ = ("digests", "error", "found", "list_name")

    def __init__(self, digests: Sequence[bytes], list_name: str) -> None:
        self.digests, self.list_name = digests, list_name
        self.found: Sequence[Suppression | None] | None = None
        self.error: BackendError | None = None

    @property
    def answered(self) -> bool:
        return self.found is not None or self.error is not None


class Suppressing:
    """The suppressions that concern what a process has leased."""

    def __init__(
        self,
        queue: Queue,
        digests: Digests,
        clock: Callable[[], float],
        *,
        remembered: int = _REMEMBERED,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._queue, self._digests, self._clock = queue, digests, clock
        self._remembered, self._on_trouble = remembered, on_trouble
        self._wishes: list[_Wish] = []
        self._turn = trio.Lock()
        self._cursor = ""  # where the news go on; "" before they have begun
        self._heard: OrderedDict[tuple[str, bytes], tuple[float, Suppression]] = OrderedDict()  # the latest last
        self._reach = float("-inf")  # news that came after this moment are all in `_heard`

    async def ask(self, addresses: Sequence[str], list_name: str) -> Sequence[Suppression | None]:
        """For each address the entry that holds now; the caller notes trio's time from before.

        Raises BackendError where the store can't say.
        """
        wish = _Wish([self._digests.of(address) for address in addresses], list_name)
        self._wishes.append(wish)
        async with self._turn:
            if not wish.answered:
                await self._answer_all()
        if wish.found is None:
            raise BackendError(str(wish.error)) from wish.error
        return wish.found

    async def run(self) -> None:
        """Follow the news for ever."""
        while True:
            try:
                async with self._turn:
                    await self._begin()
                while len((await self._listen()).entries) == _NEWS_AT_ONCE:
                    pass
            except BackendError as error:
                self._on_trouble(f"suppressions: {error}")
            await trio.sleep(_POLL_S)

    def withdrawn(self, held: Held) -> Withdrawn | None:
        """Why this envelope must not be sent any more: one part of `sender.withdrawal`."""
        if held.leased_at < self._reach:
            return _OUT_OF_REACH
        if not self._heard:
            return None
        digest = self._digests.of(held.envelope.address)
        for name in (held.campaign.spec.list, GLOBAL):
            heard = self._heard.get((name, digest))
            if heard is not None and held.leased_at <= heard[0] and heard[1].holds(self._clock()):
                return Withdrawn(state=State.SUPPRESSED, why=why_suppressed(heard[1]))
        return None

    async def _answer_all(self) -> None:
        """Ask for everybody who waits; who comes meanwhile waits for the next turn."""
        asked, self._wishes = self._wishes, []
        by_list: dict[str, list[_Wish]] = defaultdict(list)
        for wish in asked:
            by_list[wish.list_name].append(wish)
        try:
            await self._begin()
            for name, wishes in by_list.items():
                digests = [digest for wish in wishes for digest in wish.digests]
                found = iter(await self._queue.suppressed(digests, name, self._clock()))
                for wish in wishes:
                    wish.found = list(islice(found, len(wish.digests)))
        except BackendError as error:
            for wish in asked:
                wish.error = error
        finally:  # whoever asked for all may have been cancelled
            self._wishes = [wish for wish in asked if not wish.answered] + self._wishes

    async def _begin(self) -> None:
        """The news begin before anything is asked, so that nothing falls between an answer and them."""
        if not self._cursor:
            self._cursor = (await self._queue.suppression_news("", _NEWS_AT_ONCE)).cursor

    async def _listen(self) -> News:
        """Take in the next news."""
        news = await self._queue.suppression_news(self._cursor, _NEWS_AT_ONCE)
        self._cursor, now = news.cursor, trio.current_time()
        if news.missed:
            self._reach = now
        for entry in news.entries:
            self._heard[entry.list, entry.digest] = now, entry
            self._heard.move_to_end((entry.list, entry.digest))
        while len(self._heard) > self._remembered:
            _, (at, _) = self._heard.popitem(last=False)
            self._reach = max(self._reach, at)
        return news

    def __repr__(self) -> str:
        return f"<Suppressing {self._digests.mark}: {len(self._heard)} news>"
