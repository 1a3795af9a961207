"""What a forecast still has to send at one receiver: envelopes that are ready, and those that wait for their next attempt.

Amounts are expectations and need not be whole. What is deferred comes back after the wait of the retry curve; what comes back
at about the same time after as many attempts comes back together.
"""

from dataclasses import dataclass

from sender.policy.forecast import Expectation
from sender.policy.retry import RetryCurve
from sender.policy.schedule import FOR_EVER

LITTLE = 1e-6  # of an envelope: none
_TOGETHER = 0.2  # of a wait: what comes due within this share of it comes due together


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Envelopes with one history."""

    amount: float
    attempts: int = 0
    tried_at: float = 0.0  # when the first attempt was
    reserved: bool = False  # for warm sources alone
    due: float = 0.0
    first_due: float = 0.0  # of what has joined it


class Stock:
    """The envelopes of one route."""

    def __init__(self, envelopes: float, reserved: float, expectation: Expectation, curve: RetryCurve) -> None:
        self._expectation, self._curve = expectation, curve
        self._ready = [
            _Batch(amount=amount, reserved=kept)
            for kept, amount in ((False, envelopes - reserved), (True, reserved))
            if amount > 0
        ]
        self._later: list[_Batch] = []
        self.delivered = self.rejected = self.expired = 0.0

    def ready(self, *, reserved: bool) -> float:
        """What may be taken now, of those that everybody may take or of those for warm sources alone."""
        return sum((batch.amount for batch in self._ready if batch.reserved == reserved), 0.0)

    @property
    def waiting(self) -> float:
        """All that is ready."""
        return sum((batch.amount for batch in self._ready), 0.0)

    @property
    def remaining(self) -> float:
        return sum((batch.amount for batch in (*self._ready, *self._later)), 0.0)

    @property
    def untried(self) -> float:
        return sum((batch.amount for batch in self._ready if not batch.attempts), 0.0)

    def next_due(self) -> float:
        return min((batch.due for batch in self._later), default=FOR_EVER)

    def promote(self, now: float) -> None:
        """What is due becomes ready, before what was never tried."""
        due = [batch for batch in self._later if batch.due <= now]
        if due:
            self._later = [batch for batch in self._later if batch.due > now]
            self._ready = sorted([*due, *self._ready], key=lambda batch: -batch.attempts)

    def take(self, amount: float, now: float, *, reserved: bool) -> float:
        """Try so many, by now; how many of them are delivered."""
        before = self.delivered
        for batch in self._ready:
            if batch.reserved == reserved and amount > 0:
                tried = min(amount, batch.amount)
                batch.amount -= tried
                amount -= tried
                self._attempt(batch, tried, now)
        self._ready = [batch for batch in self._ready if batch.amount > LITTLE]
        return self.delivered - before

    def end(self) -> None:
        """Whatever is left ends as expired."""
        self.expired += self.remaining
        self._ready, self._later = [], []

    def round_off(self) -> None:
        """Of less than half an envelope nobody waits for the end."""
        self.delivered += self.remaining
        self._ready, self._later = [], []

    def _attempt(self, batch: _Batch, tried: float, now: float) -> None:
        deferred = tried * (self._expectation.again if batch.attempts else self._expectation.put_off)
        self.delivered += (tried - deferred) * self._expectation.taken
        self.rejected += (tried - deferred) * (1 - self._expectation.taken)
        if deferred <= LITTLE:
            return
        tried_at = batch.tried_at or now
        ends = self._curve.ends_at(tried_at)
        if now >= ends:
            self.expired += deferred
            return
        wait_s = self._curve.wait_s(batch.attempts + 1) * (1 + self._curve.jitter)  # of several, the last one counts
        again = _Batch(
            amount=deferred,
            attempts=batch.attempts + 1,
            tried_at=tried_at,
            reserved=batch.reserved,
            due=min(now + wait_s, ends),
        )
        self._wait(again, _TOGETHER * wait_s)

    def _wait(self, again: _Batch, together_s: float) -> None:
        for batch in self._later:
            alike = batch.attempts == again.attempts and batch.reserved == again.reserved
            if alike and again.due - batch.first_due <= together_s:
                batch.amount += again.amount
                batch.due = max(batch.due, again.due)
                return
        again.first_due = again.due
        self._later.append(again)
