"""What tests of caps share: a day to count in, and leases that are settled with marks."""

from collections.abc import Sequence
from dataclasses import replace

from sender.model import Cap, LaneId, Mark, Route, State
from sender.queue.base import Again, Granted, Lease, LeaseRequest, Queue, Settlement
from sender.queue.warmups import Account, Use
from tests.queue.feeding import LANE, ROUTE

DAY = 739_586
MIDNIGHT = 1_792_800_000.0  # begins that day
HOUR, MINUTE = 3600.0, 60.0
MANY = 1_000_000
OURS = Account.of(LANE, ROUTE)
TAIL = Account("s1/other")


def cap(
    per_day: int = MANY, per_hour: int = MANY, per_minute: int = MANY, *, day: int = DAY, starts: float | None = None
) -> Cap:
    begun = MIDNIGHT + (day - DAY) * 86_400 if starts is None else starts
    return Cap(day=day, starts=begun, ends=begun + 86_400, per_day=per_day, per_hour=per_hour, per_minute=per_minute)


def capped(
    count: int, *, lane: LaneId = LANE, route: Route = ROUTE, owner: str = "worker-1", needed: bool = True, account: str = ""
) -> LeaseRequest:
    return LeaseRequest(lane=lane, route=route, owner=owner, envelopes=count, capped=needed, account=account)


async def granted(queue: Queue, count: int, now: float, *, owner: str = "worker-1") -> Granted:
    return await queue.lease([capped(count, owner=owner)], now)


def marked(lease: Lease, positions: Sequence[int] | None = None, mark: Mark = Mark.DELIVERED) -> Settlement:
    """These positions, or all, ended as delivered, in attempts that count as this."""
    some = tuple(range(len(lease.envelopes)) if positions is None else positions)
    final = tuple((position, State.DELIVERED) for position in some)
    return replace(_nothing(lease), final=final, marks={mark: some})


def released(lease: Lease, positions: Sequence[int] | None = None) -> Settlement:
    """These positions, or all, go back untried."""
    some = range(len(lease.envelopes)) if positions is None else positions
    again = tuple(Again(position=place, envelope=lease.envelopes[place], due=0.0, tried=False) for place in some)
    return replace(_nothing(lease), again=again)


def _nothing(lease: Lease) -> Settlement:
    return Settlement(lease=lease.id, route=lease.route, campaign=lease.envelopes[0].campaign)


async def used(queue: Queue, now: float, account: Account = OURS) -> Use:
    return (await queue.use([account], now))[account]


async def counts(queue: Queue, now: float, account: Account = OURS) -> tuple[int, int, int, int]:
    """What the day, the hour and the minute have counted, and what of it is outstanding."""
    use = await used(queue, now, account)
    return use.day, use.hour, use.minute, use.outstanding
