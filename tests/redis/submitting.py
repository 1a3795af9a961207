"""What these tests share: batches that are recognised again, and what a store has of them."""

from collections.abc import Iterable

from sender.queue.base import Queue, RowBatch
from sender.queue.keys import CampaignKeys
from tests.queue.feeding import OTHER, QUEUED_AT, ROUTE, all_delivered, chunk_of, conserved, envelopes, wish
from tests.redis.servers import ask

CAMPAIGN = "spring"
ROWS = b"\n".join(b'{"to":"recipient-%04d@example.org"}' % number for number in range(100))


def batch(number: int) -> RowBatch:
    return RowBatch(number=number, rows=ROWS)


async def missing(queue: Queue, numbers: Iterable[int]) -> list[int]:
    """Which of these batches the store has lost: they are added anew, and once."""
    return [number for number in numbers if await queue.add_rows(CAMPAIGN, [batch(number)])]


async def stored(url: str) -> list[int]:
    """The numbers of all batches in the inbox of one server, doubles included."""
    entries = await ask(url, ("XRANGE", CampaignKeys(CAMPAIGN).rows, "-", "+"))
    return sorted(int(dict(zip(fields[::2], fields[1::2], strict=True))[b"batch"]) for _, fields in entries)


async def ready(queue: Queue, count: int) -> None:
    """The campaign with envelopes ready on two routes, half of them each."""
    await queue.announce(CAMPAIGN, b'{"v":1}')
    await queue.add_rows(CAMPAIGN, [batch(0)])
    await queue.close_rows(CAMPAIGN, 1)
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, QUEUED_AT)
    some = envelopes(CAMPAIGN, count)
    chunk = await chunk_of(queue, CAMPAIGN, [(ROUTE, some[: count // 2]), (OTHER, some[count // 2 :])])
    assert await queue.expand(chunk, QUEUED_AT)


async def drained(queue: Queue, owner: str = "worker-1") -> int:
    """Lease and deliver all that is ready on both routes; gives how many envelopes that were."""
    done = 0
    await queue.join(owner)
    while leases := await queue.lease([wish(100, route=route, owner=owner) for route in (ROUTE, OTHER)], QUEUED_AT):
        for lease in leases:
            done += len(lease.envelopes)
            await queue.settle([all_delivered(lease)], QUEUED_AT)
    await conserved(queue)
    return done
