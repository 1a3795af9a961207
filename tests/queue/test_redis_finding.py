"""Parked envelopes, fates and the search in Redis itself: bounds, what is forgotten, and what stands there that should not."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sender.model import LaneId, Route, State
from sender.queue.client import Client, Command
from sender.queue.finding import LaneReport, Whereabouts
from sender.queue.keys import FINISHED, Layout
from sender.queue.redis import RedisQueue, open_redis
from sender.queue.redis_upkeep import KEPT_S
from tests.queue.feeding import (
    QUEUED_AT,
    ROUTE,
    all_delivered,
    chunk_of,
    envelopes,
    filled,
    flat,
    leased,
    opened,
    parking,
    settlement,
    wish,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def queue(client: Client, valkey_url: str) -> AsyncIterator[RedisQueue]:
    queue = await open_redis(valkey_url, 16)
    yield queue
    await queue.aclose()


async def keys(client: Client) -> set[str]:
    (names,) = await client.run([("KEYS", "*")])
    return {name.decode() for name in names}


def partition(queue: RedisQueue) -> str:
    return queue._layout.of(ROUTE).prefix  # where all of these tests' packs are


async def test_beyond_its_bound_a_partition_keeps_no_more_and_counts_them(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await client.run([("HSET", partition(queue) + "waiting", "parked", 99_999)])
    await queue.settle([parking(lease, [0, 1, 2])], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert (status.final, status.parked) == ({("google", State.UNKNOWN): 3}, 1)
    assert len((await queue.doubts())[1]) == 1
    (unkept,) = await client.run([("HGET", partition(queue) + "count:spring", "=unkept")])
    assert unkept == b"2"


async def test_what_is_dropped_or_sent_again_makes_room(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.settle([parking(lease, [0, 1, 2])], QUEUED_AT)
    await queue.drop_doubts(["spring:0"])
    await queue.resend(["spring:1", "spring:2"], QUEUED_AT)
    parked, doubted = await client.run(
        [("HGET", partition(queue) + "waiting", "parked"), ("SMEMBERS", partition(queue) + "doubted")]
    )
    assert (parked, doubted) == (b"0", [])


async def test_a_week_after_its_end_nothing_is_left_of_a_campaign_whoever_is_parked(queue: RedisQueue, client: Client) -> None:
    before = await keys(client)
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.settle([parking(lease, [0, 1]), settlement(lease, final=[(2, State.DELIVERED)])], QUEUED_AT)
    await queue.finish_rows("spring")
    await queue.reclaim(QUEUED_AT)
    await queue.reclaim(QUEUED_AT + KEPT_S - 1)
    assert await queue.spec("spring") is not None
    await queue.reclaim(QUEUED_AT + KEPT_S + 1)
    left = {name for name in await keys(client) - before if "spring" in name}
    assert (left, await queue.campaigns(), await queue.doubts()) == (set(), [], ("", []))
    ended, finished = await client.run([("EXISTS", "penstock:{inbox}:ended"), ("EXISTS", "penstock:{inbox}:finished")])
    assert (ended, finished) == (0, 0)


async def test_who_is_sent_again_on_the_last_day_is_not_forgotten_with_the_campaign(queue: RedisQueue) -> None:
    await filled(queue, 2)
    (lease,) = await leased(queue, 2)
    await queue.settle([parking(lease, [0, 1])], QUEUED_AT)
    await queue.finish_rows("spring")
    await queue.reclaim(QUEUED_AT)
    now = QUEUED_AT + KEPT_S + 1
    assert await queue.resend(["spring:0"], now) == 1
    await queue.reclaim(now)
    assert await queue.spec("spring") is not None
    assert [status.queued for status in await queue.status(["spring"])] == [1]
    (lease,) = await leased(queue, 1, now=now)
    await queue.settle([all_delivered(lease)], now)
    await queue.reclaim(now + 100)
    assert await queue.spec("spring") is not None, "one is parked still, for another week"
    await queue.reclaim(now + 101 + KEPT_S)
    assert await queue.campaigns() == []


async def test_a_campaign_forgotten_in_the_same_moment_loses_nothing_that_is_queued(queue: RedisQueue, client: Client) -> None:
    """Its week is over and the list of finished ones has it still, though an operator has just sent one again."""
    await filled(queue, 2)
    (lease,) = await leased(queue, 2)
    await queue.settle([parking(lease, [0, 1])], QUEUED_AT)
    await queue.finish_rows("spring")
    await queue.resend(["spring:0"], QUEUED_AT)
    await client.run([("ZADD", "penstock:{inbox}:finished", QUEUED_AT, "spring")])
    await queue.reclaim(QUEUED_AT + KEPT_S + 1)
    assert [status.queued for status in await queue.status(["spring"])] == [1]
    assert len(await leased(queue, 2)) == 1


async def test_what_is_not_finished_is_not_on_its_way_to_be_forgotten(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 2)
    (lease,) = await leased(queue, 1)
    await queue.finish_rows("spring")
    await queue.settle([parking(lease, [0])], QUEUED_AT)
    await client.run([("ZADD", FINISHED, QUEUED_AT, "spring")])  # seen so by a scheduler of a moment ago
    await queue.reclaim(QUEUED_AT)
    assert await client.run([("ZSCORE", FINISHED, "spring")]) == [None]


class Overtaken(Client):
    """A client that another operator is faster than, once: between reading what is parked and sending it again."""

    overtake: Callable[[], Awaitable[object]] | None = None

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        if self.overtake is not None and any(self.scripts["resend"].digest in command for command in commands):
            overtake, self.overtake = self.overtake, None
            await overtake()
        return await super().run(commands)


async def test_who_is_overtaken_sends_again_only_what_is_parked_still(queue: RedisQueue, valkey_url: str) -> None:
    await filled(queue, 5)
    (lease,) = await leased(queue, 5)
    await queue.settle([parking(lease, range(5))], QUEUED_AT)
    client = Overtaken(valkey_url)
    client.overtake = lambda: queue.resend(["spring:1", "spring:3"], QUEUED_AT)
    slow = RedisQueue(client, Layout(16))
    assert await slow.resend([f"spring:{ordinal}" for ordinal in range(5)], QUEUED_AT) == 3
    await slow.aclose()
    (status,) = await queue.status(["spring"])
    assert (status.final, status.parked, status.queued) == ({}, 0, 5)
    assert sorted(one.ordinal for one in flat(await leased(queue, 10))) == [0, 1, 2, 3, 4]


async def test_sent_again_its_fate_is_open(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 2)
    (lease,) = await leased(queue, 2)
    await queue.settle([parking(lease, [0, 1])], QUEUED_AT)
    fates = ("BITFIELD_RO", "penstock:{spring}:fates:0", "GET", "u4", "#0", "GET", "u4", "#1")
    assert await client.run([fates]) == [[7, 7]]
    await queue.resend(["spring:1"], QUEUED_AT)
    assert await client.run([fates]) == [[7, 0]]


async def test_a_parked_entry_that_is_none_hides_no_other(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.settle([parking(lease, [0, 1, 2])], QUEUED_AT)
    await client.run([("HSET", partition(queue) + "doubts:spring", 1, b"\xc1 nothing of ours")])
    assert sorted(doubt.envelope.ordinal for doubt in (await queue.doubts())[1]) == [0, 2]
    assert await queue.resend(["spring:0", "spring:1", "spring:2"], QUEUED_AT) == 2


async def test_recipients_that_another_program_submits_are_in_the_inbox(queue: RedisQueue, client: Client) -> None:
    await client.run([("XADD", "penstock:{spring}:rows", "*", "v", 1, "batch", 7, "rows", b"{}")])
    assert (await queue.find("spring", 7_100)).where is Whereabouts.INBOX


async def test_a_stray_ordinal_takes_little_memory(queue: RedisQueue, client: Client) -> None:
    await opened(queue)
    some = envelopes("spring", 1, start=999_999_999)
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, some)]), QUEUED_AT)
    (lease,) = await leased(queue, 1)
    await queue.settle([replace(all_delivered(lease), ordinals=(999_999_999,))], QUEUED_AT)
    assert (await queue.find("spring", 999_999_999)).state is State.DELIVERED
    (octets,) = await client.run([("MEMORY", "USAGE", "penstock:{spring}:fates:999")])
    assert octets < 1_100_000


async def test_a_full_server_takes_fates_doubts_and_reports(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 4)
    await client.run([("CONFIG", "SET", "maxmemory", 1)])
    try:
        await queue.settle([parking(lease, [0, 1, 2])], QUEUED_AT)
        await queue.resend(["spring:0"], QUEUED_AT)
        await queue.drop_doubts(["spring:1"])
        await queue.report_lanes("host/1", [])
    finally:
        await client.run([("CONFIG", "SET", "maxmemory", 0)])
    assert (await queue.find("spring", 1)).state is State.UNKNOWN
    assert (await queue.find("spring", 0)).where is Whereabouts.READY


async def test_deep_in_a_long_queue_it_may_only_be_said_to_be_ready(queue: RedisQueue) -> None:
    """Retries of other ages lie between the packs, so that the search by header misses: it says less, and nothing wrong."""
    await opened(queue)
    packs = []
    for number in range(120):
        scattered = envelopes("spring", 2, start=3 * (number * 61 % 120), queued_at=QUEUED_AT + number)
        packs.append((ROUTE, scattered))
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    found = [await queue.find("spring", 3 * number) for number in range(120)]
    assert {one.where for one in found} == {Whereabouts.READY}
    assert {(one.envelope is None, one.ahead is None) for one in found} == {(False, False), (True, True)}


async def test_damaged_packs_and_leases_are_passed_over(queue: RedisQueue, client: Client) -> None:
    await filled(queue, 300, pack_size=100)
    await leased(queue, 100)
    prefix = partition(queue)
    (leases,) = await client.run([("HKEYS", prefix + "leases")])
    await client.run(
        [
            ("HSET", f"{prefix}lease:{leases[0].decode()}", "1", b"no pack"),
            ("ZADD", f"{prefix}packs:spring:{ROUTE}", QUEUED_AT, b"\x01 no pack, but long enough for a header"),
            ("ZADD", f"{prefix}packs:spring:{ROUTE}", QUEUED_AT, b""),
            ("ZADD", f"{prefix}later:spring", QUEUED_AT, b"nothing"),
        ]
    )
    assert (await queue.find("spring", 150)).where is Whereabouts.READY
    assert (await queue.find("spring", 50)).where is Whereabouts.UNKNOWN


async def test_reports_that_nobody_can_read_are_passed_over(queue: RedisQueue, client: Client) -> None:
    lane = LaneId(source="s1", receiver="google")
    report = LaneReport(
        lane=lane,
        route=Route(pool="main", receiver="google"),
        owner="host/1",
        at=1.0,
        sessions=0,
        connections=1,
        holding=0,
        messages_per_second=1.0,
        limit="pause",
        until=2.0,
        rule="google/x",
        why="",
    )
    await queue.report_lanes("host/1", [report])
    await client.run([("SADD", "penstock:{fleet}:reporters", "odd"), ("SET", "penstock:{fleet}:lanes:odd", b"odd")])
    assert await queue.lanes() == {lane: report}
    await client.run([("DEL", "penstock:{fleet}:lanes:odd")])
    await queue.report_lanes("host/1", [report])
    assert (await client.run([("SMEMBERS", "penstock:{fleet}:reporters")]))[0] == [b"host/1"]


async def test_a_lane_of_a_large_fleet_does_not_make_the_search_long(queue: RedisQueue) -> None:
    """Twenty thousand envelopes on a hundred routes, leased in part: each is found."""
    await opened(queue)
    routes = [Route(pool="main", receiver=f"~d{number}.example") for number in range(100)]
    some = envelopes("spring", 20_000)
    packs = [(route, some[place::100][start : start + 50]) for place, route in enumerate(routes) for start in range(0, 200, 50)]
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    for place in range(0, 100, 2):
        lane = LaneId(source="s1", receiver=routes[place].receiver)
        await queue.lease([wish(100, lane=lane, route=routes[place])], QUEUED_AT)
    for ordinal in (0, 1, 4_000, 9_999, 10_000, 10_001, 19_998, 19_999):
        found = await queue.find("spring", ordinal)
        leased_ones = ordinal % 2 == 0 and ordinal < 10_000
        assert found.where is (Whereabouts.LEASED if leased_ones else Whereabouts.READY), ordinal
        assert found.envelope == some[ordinal]
