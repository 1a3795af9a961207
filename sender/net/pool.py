"""Which sessions a lane should reuse, open and close now: decided at once, from values alone; the I/O is the caller's.

A destination is a set of MX hosts; its sessions can carry no other's mail. A lane has so many connections and no more, so
the destinations that wait must share them:

1. Idle sessions that are worn out, too old, idle for too long, or too many for the limit are closed.
2. Every destination that waits gets a first session, the one that has waited longest first: its own idle one, else a free
   place, else the place of an idle session that nobody needs as much, else the place that a busy session is asked to leave.
3. What places are left go round, one each, as long as a destination has more messages than sessions.

Sessions have a lifetime in seconds, not in messages alone: with a count alone the slowest of several hosts would in time
hold all of a lane's places, because every other host's sessions end sooner.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    connections: int  # open and opening, together
    openings: int  # connections that may be begun now
    messages: int  # per connection
    idle_s: float
    age_s: float = 300.0
    worth: int = 5  # messages waiting, per session, before one more connection is worth its handshake
    turn_s: float = 5.0  # how long a busy session may go on while another destination has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A destination with messages to send; `since` is when it was last served, or began to wait."""

    destination: str
    messages: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One open session as the pool sees it."""

    id: int
    destination: str
    busy: bool
    messages: int
    opened_at: float
    since: float  # when it became busy, or idle
    ending: bool = False  # busy, and asked to end


@dataclass(slots=True, kw_only=True)
class PoolPlan:
    """What to do: hand `reuse` to work, begin `open` connections per destination, `close`, and `end` busy ones softly."""

    reuse: list[Seat] = field(default_factory=list)
    open: Counter[str] = field(default_factory=Counter)
    close: list[Seat] = field(default_factory=list)
    end: list[Seat] = field(default_factory=list)  # take no further message, then close


def plan(
    waiting: Sequence[Waiting], seats: Sequence[Seat], opening: Mapping[str, int], limits: PoolLimits, now: float
) -> PoolPlan:
    """Decide for one lane. `opening` counts the connections on their way, by destination."""
    table = _Table(seats, opening, limits, now)
    table.close_spent()
    demands = sorted((demand for demand in waiting if demand.messages > 0), key=lambda demand: demand.since)
    wanted = {demand.destination: demand.messages for demand in demands}
    for demand in demands:
        table.first_seat(demand.destination, wanted)
    unmet = [demand for demand in demands if table.serving[demand.destination]]
    while unmet:
        unmet = [demand for demand in unmet if table.another_seat(demand)]
    return table.plan


class _Table:
    """The places of a lane while a plan is made; `serving` counts the sessions at work, coming or chosen, by destination."""

    def __init__(self, seats: Sequence[Seat], opening: Mapping[str, int], limits: PoolLimits, now: float) -> None:
        self.plan = PoolPlan()
        self.limits, self.now = limits, now
        self.idle = sorted((seat for seat in seats if not seat.busy), key=lambda seat: seat.since, reverse=True)
        self.busy = sorted((seat for seat in seats if seat.busy and not seat.ending), key=lambda seat: seat.since)
        self.leaving = sum(seat.ending for seat in seats)
        self.serving: Counter[str] = Counter(opening)
        self.serving.update(seat.destination for seat in seats if seat.busy)
        self.free = limits.connections - len(seats) - sum(opening.values())
        self.openings = limits.openings

    def close_spent(self) -> None:
        for seat in [seat for seat in self.idle if self._is_spent(seat)]:
            self._close(seat)
        while self.free < 0 and self.idle:
            self._close(self.idle[-1])
        for seat in self.busy[: max(0, -self.free - self.leaving)]:  # the limit has shrunk
            self.busy.remove(seat)
            self.plan.end.append(seat)

    def first_seat(self, destination: str, wanted: Mapping[str, int]) -> None:
        if self.serving[destination] or self._reuse(destination) or self._open(destination):
            return
        if self.openings <= 0:
            return
        if self.idle:  # whoever waited longer has taken his by now: what is left serves nobody, or somebody further back
            self._close(min(self.idle, key=lambda seat: (seat.destination in wanted, seat.since)))
            self._open(destination)
        elif self.leaving > 0:
            self.leaving -= 1
        else:
            self._ask_one_to_end()

    def another_seat(self, demand: Waiting) -> bool:
        """One more place for a destination that has work for it; False once there is none to be had."""
        if self.serving[demand.destination] >= demand.messages:
            return False
        if self._reuse(demand.destination):
            return True
        return demand.messages > self.serving[demand.destination] * self.limits.worth and self._open(demand.destination)

    def _is_spent(self, seat: Seat) -> bool:
        return (
            seat.messages >= self.limits.messages
            or self.now - seat.opened_at >= self.limits.age_s
            or self.now - seat.since >= self.limits.idle_s
        )

    def _ask_one_to_end(self) -> None:
        """The session that has been busy longest, of a destination with several; else any that has had its turn."""
        seat = next((seat for seat in self.busy if self.serving[seat.destination] > 1), None)
        if seat is None and self.busy and self.now - self.busy[0].since >= self.limits.turn_s:
            seat = self.busy[0]
        if seat is not None:
            self.busy.remove(seat)
            self.serving[seat.destination] -= 1
            self.plan.end.append(seat)

    def _reuse(self, destination: str) -> bool:
        seat = next((seat for seat in self.idle if seat.destination == destination), None)
        if seat is None:
            return False
        self.idle.remove(seat)
        self.plan.reuse.append(seat)
        self.serving[destination] += 1
        return True

    def _open(self, destination: str) -> bool:
        if self.free <= 0 or self.openings <= 0:
            return False
        self.free -= 1
        self.openings -= 1
        self.plan.open[destination] += 1
        self.serving[destination] += 1
        return True

    def _close(self, seat: Seat) -> None:
        self.idle.remove(seat)
        self.plan.close.append(seat)
        self.free += 1
