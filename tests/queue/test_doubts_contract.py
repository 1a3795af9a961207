"""Parked envelopes, on every backend: they are UNKNOWN until an operator sends them again, and then each goes once."""

from dataclasses import replace

import pytest

from sender.events import change_id
from sender.model import Route, State
from sender.queue.base import Queue
from sender.queue.doubts import Doubt
from tests.queue.feeding import OTHER, QUEUED_AT, ROUTE, WHY, filled, flat, leased, parking, settlement, wish


async def parked(queue: Queue, count: int, *, campaign: str = "spring", route: Route = ROUTE) -> None:
    """A campaign all of whose recipients are parked."""
    await filled(queue, count, campaign=campaign, route=route)
    lane = replace(wish(count).lane, receiver=route.receiver)
    for lease in await queue.lease([wish(count, lane=lane, route=route)], QUEUED_AT):
        await queue.settle([parking(lease, range(len(lease.envelopes)))], QUEUED_AT)


async def listed(queue: Queue, campaign: str = "", limit: int = 1000) -> list[Doubt]:
    cursor, found = await queue.doubts(campaign, "", limit)
    doubts = list(found)
    while cursor:
        cursor, found = await queue.doubts(campaign, cursor, limit)
        doubts += found
    return sorted(doubts, key=lambda doubt: (doubt.envelope.campaign, doubt.envelope.ordinal))


async def test_a_parked_envelope_is_unknown_and_shown_with_all_that_is_known(queue: Queue) -> None:
    some = await filled(queue, 4)
    (lease,) = await leased(queue, 4)
    await queue.settle([parking(lease, [1, 2])], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert (status.final, status.parked, status.queued) == ({("google", State.UNKNOWN): 2}, 2, 2)
    first, second = await listed(queue)
    assert first == Doubt(
        envelope=replace(some[1], attempts=2, doubts=2), pool="main", receiver="google", at=QUEUED_AT + 5, why=WHY
    )
    assert second.envelope.id == "spring:2"


async def test_what_is_told_twice_is_parked_once(queue: Queue) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    for _ in range(2):
        await queue.settle([parking(lease, [0])], QUEUED_AT)
    await queue.settle([parking(lease, [0, 1, 2])], QUEUED_AT)
    assert (await queue.status(["spring"]))[0].parked == 3
    assert len(await listed(queue)) == 3
    await queue.settle([parking(lease, [0])], QUEUED_AT)  # the lease is gone
    assert (await queue.status(["spring"]))[0].parked == 3


async def test_a_position_settled_otherwise_before_is_not_parked(queue: Queue) -> None:
    await filled(queue, 2)
    (lease,) = await leased(queue, 2)
    await queue.settle([settlement(lease, final=[(0, State.DELIVERED)])], QUEUED_AT)
    await queue.settle([parking(lease, [0, 1])], QUEUED_AT)
    assert [doubt.envelope.ordinal for doubt in await listed(queue)] == [1]
    assert (await queue.status(["spring"]))[0].parked == 1


async def test_only_what_ends_as_unknown_is_parked(queue: Queue) -> None:
    await filled(queue, 1)
    (lease,) = await leased(queue, 1)
    await queue.settle([replace(parking(lease, [0]), final=((0, State.EXPIRED),))], QUEUED_AT)
    assert await listed(queue) == []


async def test_sent_again_it_is_queued_as_if_it_were_new(queue: Queue) -> None:
    some = await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.settle([parking(lease, [0, 1, 2])], QUEUED_AT)
    assert await queue.resend(["spring:2", "spring:0", "spring:0"], 5000.0) == 2
    (status,) = await queue.status(["spring"])
    assert (status.final, status.parked, status.queued) == ({("google", State.UNKNOWN): 1}, 1, 2)
    again = flat(await leased(queue, 10, now=5000.0))
    assert again == [replace(one, queued_at=5000.0) for one in (some[0], some[2])]
    ids = {change_id(one, 1, "unknown") for one in (*some, *again)}
    assert len(ids) == 5, "what becomes of it now is no repetition of what became of it then"


async def test_sent_again_twice_it_goes_once(queue: Queue) -> None:
    await parked(queue, 5)
    every = [f"spring:{ordinal}" for ordinal in range(5)]
    assert await queue.resend(every, 5000.0) == 5
    assert await queue.resend(every, 5000.0) == 0
    assert await queue.resend(["spring:99", "summer:0"], 5000.0) == 0
    (status,) = await queue.status(["spring"])
    assert (status.final, status.parked, status.queued) == ({}, 0, 5)
    assert len(flat(await leased(queue, 10))) == 5
    assert await listed(queue) == []


async def test_dropped_they_stay_unknown(queue: Queue) -> None:
    await parked(queue, 3)
    assert await queue.drop_doubts(["spring:0", "spring:2", "spring:7"]) == 2
    assert await queue.drop_doubts(["spring:0"]) == 0
    (status,) = await queue.status(["spring"])
    assert (status.final, status.parked, status.queued) == ({("google", State.UNKNOWN): 3}, 1, 0)
    assert await queue.resend(["spring:0", "spring:1", "spring:2"], 5000.0) == 1


async def test_many_are_shown_page_by_page_and_by_campaign(queue: Queue) -> None:
    await parked(queue, 150)
    await parked(queue, 40, campaign="summer", route=OTHER)
    everything = await listed(queue, limit=30)
    assert [doubt.envelope.id for doubt in everything] == sorted(
        [f"spring:{ordinal}" for ordinal in range(150)] + [f"summer:{ordinal}" for ordinal in range(40)],
        key=lambda name: (name.partition(":")[0], int(name.partition(":")[2])),
    )
    assert {doubt.receiver for doubt in await listed(queue, "summer", limit=7)} == {"orange"}
    assert len(await listed(queue, "summer", limit=7)) == 40
    assert await listed(queue, "winter") == []


async def test_many_of_several_campaigns_and_routes_are_sent_again_together(queue: Queue) -> None:
    await parked(queue, 150)
    await parked(queue, 40, campaign="summer", route=OTHER)
    names = [doubt.envelope.id for doubt in await listed(queue)]
    assert await queue.resend(names, 5000.0) == 190
    depth = await queue.depth(5000.0)
    assert depth.ready == {ROUTE: 150, OTHER: 40}


@pytest.mark.parametrize("name", ["spring", "spring:", ":7", "spring:x", "spring:-1", "a b:1", "spring:1:2", "spring:1\n"])
async def test_what_is_no_envelope_is_named(queue: Queue, name: str) -> None:
    with pytest.raises(ValueError, match="no envelope's id"):
        await queue.resend(["spring:1", name], 5000.0)
    with pytest.raises(ValueError, match="no envelope's id"):
        await queue.drop_doubts([name])


async def test_content_is_kept_as_long_as_it_may_be_needed_again(queue: Queue) -> None:
    await parked(queue, 2)
    await queue.finish_rows("spring")
    await queue.reclaim(QUEUED_AT)
    assert await queue.spec("spring") is not None
    await queue.drop_doubts(["spring:0"])
    await queue.resend(["spring:1"], 5000.0)
    await queue.reclaim(5001.0)
    assert await queue.spec("spring") is not None
    (lease,) = await leased(queue, 2, now=5000.0)
    await queue.settle([settlement(lease, final=[(0, State.DELIVERED)])], 5002.0)
    await queue.reclaim(9000.0)
    assert await queue.spec("spring") is None
    (status,) = await queue.status(["spring"])
    assert (status.parked, status.queued) == (0, 0)
