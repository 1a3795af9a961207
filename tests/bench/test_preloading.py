"""What stands in the queue before a fleet starts is all there, and stays there until it is let go."""

from collections import Counter

from sender.model import LaneId, Route
from sender.queue.base import Queue
from sender.queue.memory import MemoryQueue
from tests.bench.preloading import PACK, preload, release
from tests.queue.feeding import conserved, wish

SPEC = {"from": "b@bench.example", "subject": "Hello {{ name }}", "text": "{{ city }} {{ code }}"}


async def ready(queue: Queue, receiver: str) -> list[str]:
    lane, route = LaneId(source="s1", receiver=receiver), Route(pool="main", receiver=receiver)
    leases = await queue.lease([wish(PACK, lane=lane, route=route)], await queue.time())
    return [envelope.address for lease in leases for envelope in lease.envelopes]


async def test_a_campaign_is_held_until_it_is_let_go_and_another_is_not() -> None:
    queue = MemoryQueue()
    for campaign in ("warm", "bench"):
        await preload(queue, campaign, SPEC, 45_000, lambda number: (f"d{number % 3}.example", f"r{number % 3}"))
    for status in await queue.status(["warm", "bench"]):
        assert (status.accepted, status.queued, status.complete) == (45_000, 45_000, True)
    assert await ready(queue, "r1") == []
    await release(queue, "warm")
    found = await ready(queue, "r1")
    assert Counter(address.partition("@")[2] for address in found) == {"d1.example": PACK}
    (bench,) = await queue.status(["bench"])
    assert bench.queued == 45_000
    await conserved(queue, all_in_line=False)
