"""Owners, on every backend: who lives is decided by beats alone, a fence stands, and what the dead held comes back once."""

import pytest

from sender.model import LaneId, State
from sender.queue.base import Queue, Settlement
from tests.queue.feeding import (
    LANE,
    OTHER,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    chunk_of,
    envelopes,
    filled,
    flat,
    leased,
    opened,
    settlement,
    wish,
)

SECOND_LANE = LaneId(source="s2", receiver="google")


async def test_members_are_those_who_joined_and_have_not_resigned(queue: Queue) -> None:
    assert await queue.heartbeat("a") == []
    for owner in ("b", "a", "b"):
        await queue.join(owner)
    assert await queue.heartbeat("a") == ["a", "b"]
    await queue.resign("a")
    await queue.resign("a")
    assert await queue.heartbeat("b") == ["b"]


async def test_a_beat_counts_up_and_only_for_members(queue: Queue) -> None:
    await queue.join("a")
    await queue.heartbeat("a")
    before = await queue.beats()
    await queue.join("a")
    assert await queue.beats() == before, "to join again is no beat, and takes none back"
    await queue.heartbeat("a")
    await queue.heartbeat("stranger")
    after = await queue.beats()
    assert list(after) == ["a"]
    assert after["a"] > before["a"]


async def test_who_beat_since_he_was_seen_is_not_fenced(queue: Queue) -> None:
    for owner in ("alive", "dead"):
        await queue.join(owner)
        await queue.heartbeat(owner)
    seen = await queue.beats()
    await queue.heartbeat("alive")
    assert await queue.fence(seen) == ["dead"]
    assert await queue.fence({}) == []
    assert (await queue.fenced(), list(await queue.beats())) == (["dead"], ["alive"])


@pytest.mark.row("F6")
async def test_a_fence_stands_whatever_the_fenced_one_says(queue: Queue) -> None:
    await queue.join("a")
    assert await queue.fence({"a": None}) == ["a"]
    assert await queue.heartbeat("a") == []
    assert await queue.beats() == {}
    with pytest.raises(ValueError, match="a was fenced"):
        await queue.join("a")
    assert await queue.fence({"a": 7}) == ["a"], "told again it is fenced still"
    await queue.join("a-2")
    assert await queue.heartbeat("a-2") == ["a-2"]


async def test_an_owner_that_nobody_knows_can_be_fenced_but_not_by_a_beat(queue: Queue) -> None:
    """As when its journal is found: nothing may be leased to it between the look and the reclaim."""
    assert await queue.fence({"a": 3, "b": None}) == ["b"]
    with pytest.raises(ValueError, match="b was fenced"):
        await queue.join("b")


async def test_a_fenced_owners_envelopes_come_back_except_those_it_settled(queue: Queue) -> None:
    some = await filled(queue, 5)
    await queue.join("worker-1")
    (lease,) = await leased(queue, 5)
    await queue.settle([settlement(lease, final=[(1, State.DELIVERED)])], QUEUED_AT)
    for later in (1.0, 1e6, -1e6):
        assert await queue.reclaim(QUEUED_AT + later) == 0, "no clock makes a member dead"
    await queue.fence(await queue.beats())
    assert await queue.lease([wish(10, owner="worker-2")], QUEUED_AT) == [], "what it holds is its own until it is reclaimed"
    assert await queue.reclaim(QUEUED_AT) == 4
    assert await queue.reclaim(QUEUED_AT) == 0
    assert await queue.fenced() == []
    (again,) = await queue.lease([wish(10, owner="worker-2")], QUEUED_AT)
    assert list(again.envelopes) == [some[0], *some[2:]]


async def test_settling_says_how_much_came_too_late(queue: Queue) -> None:
    await filled(queue, 5)
    (lease,) = await leased(queue, 5)
    first = settlement(lease, final=[(0, State.DELIVERED)], again=[(1, 2000.0)])
    assert await queue.settle([first], QUEUED_AT) == 0
    assert await queue.settle([first], QUEUED_AT) == 0, "told twice, and the lease is there"
    assert await queue.reclaim(QUEUED_AT) == 3
    late = settlement(lease, final=[(2, State.DELIVERED), (3, State.DELIVERED)], again=[(4, 0.0)])
    unknown = Settlement(lease="nothing", route=OTHER, campaign="spring", final=((0, State.DELIVERED),))
    assert await queue.settle([late, unknown], QUEUED_AT) == 4
    (status,) = await queue.status(["spring"])
    assert status.finished == 1


async def test_what_an_owner_holds_is_told_with_what_is_open(queue: Queue) -> None:
    await opened(queue)
    some, others = envelopes("spring", 6), envelopes("spring", 3, start=6)
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, some), (OTHER, others)]), QUEUED_AT)
    orange = LaneId(source="s1", receiver="orange")
    wishes = [wish(4), wish(9, lane=orange, route=OTHER), wish(2, lane=SECOND_LANE, owner="worker-2")]
    leases = await queue.lease(wishes, QUEUED_AT)
    told = settlement(leases[0], final=[(1, State.DELIVERED)], again=[(2, 2000.0)])
    await queue.settle([told], QUEUED_AT)
    leases[0].envelopes[0].attempts = 3  # what its owner makes of it is not what was leased
    held = {one.lease.route: one for one in await queue.held("worker-1")}
    assert set(held) == {ROUTE, OTHER}
    assert held[ROUTE].lease.id == leases[0].id
    assert (held[ROUTE].lease.lane, held[ROUTE].lease.owner) == (LANE, "worker-1")
    assert list(held[ROUTE].lease.envelopes) == some[:4]
    assert held[ROUTE].open == {0, 3}
    assert list(held[OTHER].lease.envelopes) == others
    assert held[OTHER].open == {0, 1, 2}
    assert await queue.held("nobody") == []
    await queue.settle([all_delivered(lease) for lease in leases], QUEUED_AT)
    assert await queue.held("worker-1") == []


async def test_what_is_held_can_be_settled_between_the_fence_and_the_reclaim(queue: Queue) -> None:
    """How a journal is played back."""
    await filled(queue, 4)
    await queue.join("worker-1")
    await leased(queue, 4)
    await queue.fence({"worker-1": None})
    (held,) = await queue.held("worker-1")
    assert await queue.settle([settlement(held.lease, final=[(0, State.DELIVERED)])], QUEUED_AT) == 0
    assert await queue.reclaim(QUEUED_AT) == 3


async def test_a_lane_has_one_owner_until_that_one_is_fenced(queue: Queue) -> None:
    await filled(queue, 100, pack_size=10)
    for owner in ("one", "two"):
        await queue.join(owner)
    assert len(flat(await queue.lease([wish(10, owner="one")], 1000.0))) == 10
    assert await queue.lease([wish(10, owner="two")], 1e6) == []
    assert len(flat(await queue.lease([wish(10, owner="two", lane=SECOND_LANE)], 1e6))) == 10
    await queue.reclaim(1e6)
    assert await queue.lease([wish(10, owner="two")], 1e6) == []
    await queue.fence({"one": None})
    await queue.reclaim(1e6)
    assert len(flat(await queue.lease([wish(10, owner="two")], 1e6))) == 10
    assert await queue.lease([wish(10, owner="one")], 1e6) == []


async def test_an_owner_that_resigns_or_lets_go_frees_its_lanes_at_once(queue: Queue) -> None:
    await filled(queue, 100, pack_size=10)
    for owner in ("one", "two"):
        await queue.join(owner)
    await queue.lease([wish(10, owner="one"), wish(10, owner="one", lane=SECOND_LANE)], 1000.0)
    await queue.unclaim("two", [LANE], [ROUTE])
    assert await queue.lease([wish(10, owner="two")], 1000.0) == []
    await queue.unclaim("one", [LANE], [ROUTE])
    assert len(flat(await queue.lease([wish(10, owner="two")], 1000.0))) == 10
    assert await queue.lease([wish(10, owner="two", lane=SECOND_LANE)], 1000.0) == []
    await queue.resign("one")
    assert len(flat(await queue.lease([wish(10, owner="two", lane=SECOND_LANE)], 1000.0))) == 10


async def test_thousands_of_lanes_can_be_let_go_in_one_call(queue: Queue) -> None:
    lanes = [LaneId(source="s1", receiver=f"~d{number}.example") for number in range(9_000)]
    await queue.lease([wish(1, lane=lane) for lane in lanes[:100]], QUEUED_AT)
    await queue.unclaim("worker-1", lanes, [ROUTE] * len(lanes))
    await filled(queue, 10)
    assert len(flat(await queue.lease([wish(10, lane=lanes[0], owner="worker-2")], QUEUED_AT))) == 10


async def test_the_time_goes_on(queue: Queue) -> None:
    first = await queue.time()
    assert 1.7e9 < first <= await queue.time()
