"""What a sending identity that warms up may spend: units of its account, carried to its campaigns' budgets as they need them.

A unit counts once it is taken from the account, for the sending day and the windows of that moment; so a purse takes little
at a time. What it holds when the sending day ends is lost: nobody may send it any more. What budgets hold by then may still go
out: a quarter of a minute's cap at most for each scheduler.
"""

from sender.model import Cap
from sender.queue.base import Queue
from sender.queue.warmups import Account
from sender.warming.wards import identity_name

_PARTS = 4  # of a minute's cap, each taken by itself: two schedulers must not keep it from each other
_MOST = 100_000  # units at a time
_ANY_RATE = 1e9  # envelopes a second: of a campaign without a rate of its own


class Purse:
    """The units of one domain that this scheduler has in hand."""

    def __init__(self, queue: Queue, domain: str) -> None:
        self._queue, self._account = queue, Account(identity_name(domain))
        self._cap: Cap | None = None
        self._units = 0
        self._looked_at = float("-inf")

    async def grant(self, campaign: str, rate: float, burst: float, now: float) -> int:
        """Let a campaign of the domain lease some more, as its own rate and the domain's cap permit; how many envelopes."""
        if self._looked_at != now:
            await self._look(now)
        if self._cap is None or not self._cap.starts <= now < self._cap.ends:
            return 0
        part = max(1, min(self._cap.per_minute // _PARTS, _MOST))
        if self._units < part:
            self._units += await self._queue.reserve(self._account, part - self._units, now)
        if not self._units:
            return 0
        granted = await self._queue.grant(campaign, rate or _ANY_RATE, min(burst, self._units), now)
        self._units = max(0, self._units - granted)
        return granted

    async def _look(self, now: float) -> None:
        """The cap as it stands: with another day what was in hand is lost."""
        before, self._looked_at = self._cap, now
        self._cap = (await self._queue.use([self._account], now))[self._account].cap
        if before is None or self._cap is None or self._cap.day != before.day:
            self._units = 0

    def __repr__(self) -> str:
        return f"<Purse of {self._account}: {self._units:,} units>"
