"""What queue tests share: envelopes, campaigns brought as far as a test needs them, and the law that holds throughout."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sender.model import Envelope, LaneId, Route, State
from sender.queue.base import Again, Chunk, Lease, LeaseRequest, Queue, RoutedPack, RowBatch, Settlement, shown_as
from sender.queue.control import FOR_EVER, Hold
from sender.queue.doubts import Parked
from sender.queue.pack import encode

ROUTE = Route(pool="main", receiver="google")
OTHER = Route(pool="main", receiver="orange")
LANE = LaneId(source="s1", receiver="google")
QUEUED_AT = 1000.0
MANY = 10_000  # more than a test has of anything
WHY = "mx.google.example: no reply to the end of data"  # of a doubt


def envelopes(campaign: str, count: int, *, start: int = 0, queued_at: float = QUEUED_AT) -> list[Envelope]:
    return [
        Envelope(
            campaign=campaign,
            ordinal=start + number,
            address=f"user{start + number}@example.org",
            fields={"first": f"Ann {number}", "city": "Lyon", "code": f"{number:06}"},
            queued_at=queued_at,
        )
        for number in range(count)
    ]


async def opened(queue: Queue, campaign: str = "spring", batches: int = 1) -> None:
    """Announce, add rows, close and accept a campaign."""
    await queue.announce(campaign, b'{"v":1}')
    rows = [RowBatch(number=number, rows=b'{"to":"a@example.org"}') for number in range(batches)]
    await queue.add_rows(campaign, rows)
    await queue.close_rows(campaign, batches)
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, QUEUED_AT)


async def chunk_of(
    queue: Queue,
    campaign: str,
    packs: Sequence[tuple[Route, Sequence[Envelope]]],
    *,
    priority: int = 5,
    states: dict[State, int] | None = None,
    events: tuple[bytes, ...] = (),
) -> Chunk:
    """The next chunk of a campaign: all that its inbox holds became these packs and states."""
    inflow = await queue.rows(campaign, 100)
    return Chunk(
        campaign=campaign,
        number=inflow.chunk,
        priority=priority,
        batches=inflow.batches,
        packs=tuple(RoutedPack(route=route, pack=encode(some), count=len(some)) for route, some in packs),
        states=states or {},
        drop=inflow.repeats,
        events=events,
    )


async def filled(
    queue: Queue,
    count: int,
    *,
    campaign: str = "spring",
    route: Route = ROUTE,
    priority: int = 5,
    pack_size: int = 200,
    queued_at: float = QUEUED_AT,
) -> list[Envelope]:
    """A campaign with `count` envelopes ready on a route."""
    await opened(queue, campaign)
    some = envelopes(campaign, count, queued_at=queued_at)
    packs = [(route, some[start : start + pack_size]) for start in range(0, count, pack_size)]
    assert await queue.expand(await chunk_of(queue, campaign, packs, priority=priority), queued_at)
    return some


def wish(count: int, *, lane: LaneId = LANE, route: Route = ROUTE, owner: str = "worker-1") -> LeaseRequest:
    return LeaseRequest(lane=lane, route=route, owner=owner, envelopes=count)


async def leased(queue: Queue, count: int, *, now: float = QUEUED_AT) -> list[Lease]:
    return list(await queue.lease([wish(count)], now))


def flat(leases: Sequence[Lease]) -> list[Envelope]:
    return [envelope for lease in leases for envelope in lease.envelopes]


def settlement(
    lease: Lease,
    *,
    final: Sequence[tuple[int, State]] = (),
    again: Sequence[tuple[int, float]] = (),
    events: tuple[bytes, ...] = (),
) -> Settlement:
    """What became of a lease's positions; `again` is (position, due)."""
    return Settlement(
        lease=lease.id,
        route=lease.route,
        campaign=lease.envelopes[0].campaign,
        final=tuple(final),
        again=tuple(Again(position=place, envelope=lease.envelopes[place], due=due) for place, due in again),
        events=events,
    )


def all_delivered(lease: Lease) -> Settlement:
    return settlement(lease, final=[(place, State.DELIVERED) for place in range(len(lease.envelopes))])


async def told(queue: Queue, *texts: str) -> None:
    """Each text becomes an entry of its own in one stream, oldest first: so many settlements of one lease."""
    await filled(queue, len(texts), campaign=f"c{texts[0]}")
    (lease,) = await queue.lease([wish(len(texts))], QUEUED_AT)
    for place, text in enumerate(texts):
        event = f'{{"v":1,"id":"{text}"}}'.encode()
        await queue.settle([settlement(lease, final=[(place, State.DELIVERED)], events=(event,))], QUEUED_AT)


def parking(lease: Lease, positions: Sequence[int]) -> Settlement:
    """These positions end as UNKNOWN after two doubts each, and are kept for an operator."""
    final = [(position, State.UNKNOWN) for position in positions]
    doubted = {position: replace(lease.envelopes[position], attempts=2, doubts=2) for position in positions}
    parked = tuple(Parked(position=place, envelope=one, at=QUEUED_AT + 5, why=WHY) for place, one in doubted.items())
    ordinals = tuple(lease.envelopes[position].ordinal for position in positions)
    return replace(settlement(lease, final=final), parked=parked, ordinals=ordinals)


async def conserved(queue: Queue, *, all_in_line: bool = True) -> None:
    """Every recipient accepted is either final or in exactly one place, and unless some are held back, `ready` shows it."""
    depth = await queue.depth(QUEUED_AT)
    statuses = await queue.status(await queue.campaigns())
    queued = sum(status.queued for status in statuses)
    assert queued == sum(depth.ready.values()) + depth.leased + depth.later, (depth, statuses)
    assert all(status.queued >= 0 for status in statuses)
    ready = Counter[Route]()
    for found in await queue.ready(10_000):
        ready[shown_as(found.route)] += found.envelopes
    if all_in_line:
        assert ready == {route: count for route, count in depth.ready.items() if count}
    assert all(0 < count <= depth.ready[route] for route, count in ready.items())


def paused(campaign: str = "spring") -> Hold:
    return Hold(campaign=campaign, start=-FOR_EVER, end=FOR_EVER)


def lifted(campaign: str = "spring") -> Hold:
    return Hold(campaign=campaign, start=0.0, end=0.0)


async def campaigns_leased(queue: Queue, count: int, *, now: float = QUEUED_AT) -> list[str]:
    return [envelope.campaign for envelope in flat(await leased(queue, count, now=now))]
