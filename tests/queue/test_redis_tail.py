"""A hundred thousand receivers in one campaign: what the store keeps of each of them is bounded."""

from collections.abc import AsyncIterator

import pytest

from sender.model import Envelope, LaneId, Route, State
from sender.queue.base import Lease
from sender.queue.client import Client
from sender.queue.redis import RedisQueue, open_redis
from tests.queue.feeding import QUEUED_AT, all_delivered, chunk_of, conserved, envelopes, opened, parking, wish

pytestmark = pytest.mark.integration

NAMED = 500  # counters of a campaign in one partition, from which receivers without a profile are counted together
MANY = 1_400


@pytest.fixture
async def queue(client: Client, valkey_url: str) -> AsyncIterator[RedisQueue]:
    queue = await open_redis(valkey_url, partitions=2)
    yield queue
    await conserved(queue)
    await queue.aclose()


def route(number: int) -> Route:
    return Route(pool="main", receiver=f"~d{number}.example" if number else "google")


async def leased(queue: RedisQueue) -> list[Lease]:
    """One envelope for each of many receivers, all of them leased."""
    await opened(queue)
    some = [(route(number), [envelope]) for number, envelope in enumerate(envelopes("spring", MANY))]
    await queue.expand(await chunk_of(queue, "spring", some), QUEUED_AT)
    wishes = [wish(1, lane=LaneId(source="s1", receiver=route(n).receiver), route=route(n)) for n in range(MANY)]
    return sorted(await queue.lease(wishes, QUEUED_AT), key=lambda lease: lease.envelopes[0].ordinal)


def counters(queue: RedisQueue) -> list[str]:
    return [partition.count("spring") for partition in queue._layout.partitions]


async def test_receivers_without_a_profile_are_counted_together_where_there_are_many(queue: RedisQueue, client: Client) -> None:
    leases = await leased(queue)
    await queue.settle([all_delivered(lease) for lease in leases[1:]], QUEUED_AT)
    await queue.settle([all_delivered(leases[0])], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert sum(status.final.values()) == MANY
    assert status.final["google", State.DELIVERED] == 1, "one with a profile is always counted by its name"
    assert status.final["other", State.DELIVERED] >= MANY - 2 * NAMED
    assert all(0 < size <= NAMED + 2 for size in await client.run([("HLEN", key) for key in counters(queue)]))


async def test_a_parked_one_that_is_sent_again_is_taken_off_where_it_was_counted(queue: RedisQueue) -> None:
    leases = await leased(queue)
    await queue.settle([parking(lease, [0]) for lease in leases], QUEUED_AT)
    (before,) = await queue.status(["spring"])
    assert before.final["other", State.UNKNOWN] > 0
    some: list[Envelope] = [lease.envelopes[0] for lease in leases]
    assert await queue.resend([envelope.id for envelope in some], QUEUED_AT) == MANY
    (status,) = await queue.status(["spring"])
    assert (dict(status.final), status.queued) == ({}, MANY)


async def test_nothing_is_left_of_a_route_that_is_empty(queue: RedisQueue, client: Client) -> None:
    leases = await leased(queue)
    await queue.settle([all_delivered(lease) for lease in leases], QUEUED_AT)
    await queue.unclaim("worker-1", [lease.lane for lease in leases], [lease.route for lease in leases])
    (names,) = await client.run([("KEYS", "penstock:{p*")])
    keys = [name.decode() for name in names]
    assert not [key for key in keys if "~d" in key]
    for partition in queue._layout.partitions:
        kept = {partition.key("waiting"), partition.key("epoch"), partition.key("events"), partition.count("spring")}
        assert {key for key in keys if key.startswith(partition.prefix)} <= kept
        (waiting,) = await client.run([("HKEYS", partition.key("waiting"))])
        assert not [name for name in waiting if name.startswith((b"ready", b"aside"))]
