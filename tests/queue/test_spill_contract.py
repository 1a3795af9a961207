"""Who takes what while sources of a pool warm up, on every backend: bands of engagement, spill, and what neither may change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from sender.model import Choice, Envelope, LaneId, State
from sender.queue.base import AT_ONCE, Again, LeaseRequest, Queue, Spill
from sender.queue.control import FOR_EVER
from sender.queue.finding import Whereabouts
from sender.queue.pack import runs
from tests.queue.backends import on_one_server
from tests.queue.feeding import (
    MANY,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    chunk_of,
    envelopes,
    filled,
    flat,
    lifted,
    opened,
    paused,
    settlement,
    wish,
)

COLD, WARM = LaneId(source="s1", receiver="google"), LaneId(source="s2", receiver="google")
WAIT, SIX_HOURS = Spill(after_s=FOR_EVER), Spill(after_s=6 * 3600.0)
SCORES = ("90", "60", "30", "10", "", "75", "74.9", "50", "49", "25", "24", "0")  # of ordinals from 0


def cold(count: int, *, least: int = 0) -> LeaseRequest:
    """A lane that warms up asks."""
    return replace(wish(count, lane=COLD), choice=Choice.ENGAGED, engagement_min=least)


def warm(count: int, *, least: int = 0) -> LeaseRequest:
    """A lane asks that is warm beside one that warms up."""
    return replace(wish(count, lane=WARM), choice=Choice.REST, engagement_min=least)


def scored(scores: Sequence[str], campaign: str = "spring", *, queued_at: float = QUEUED_AT) -> list[Envelope]:
    some = envelopes(campaign, len(scores), queued_at=queued_at)
    return [replace(one, fields={**one.fields, "engagement": score}) for one, score in zip(some, scores, strict=True)]


async def ready_of(
    queue: Queue,
    scores: Sequence[str] = SCORES,
    campaign: str = "spring",
    *,
    spill: Spill = AT_ONCE,
    priority: int = 5,
    queued_at: float = QUEUED_AT,
) -> list[Envelope]:
    """A campaign with recipients of these scores, ready on the route."""
    await opened(queue, campaign)
    some = scored(scores, campaign, queued_at=queued_at)
    packs = [(ROUTE, run) for run in runs(some, 10)]
    chunk = await chunk_of(queue, campaign, packs, priority=priority)
    assert await queue.expand(replace(chunk, spill=spill), queued_at)
    return some


async def ordinals(queue: Queue, request: LeaseRequest, now: float = QUEUED_AT) -> list[int]:
    return [envelope.ordinal for envelope in flat(await queue.lease([request], now))]


async def campaigns(queue: Queue, request: LeaseRequest, now: float = QUEUED_AT) -> list[str]:
    return [envelope.campaign for envelope in flat(await queue.lease([request], now))]


async def test_a_lane_that_warms_up_takes_the_most_engaged_first(queue: Queue) -> None:
    await ready_of(queue)
    assert [await ordinals(queue, cold(count)) for count in (1, 1, 5, 99)] == [[0], [5], [1, 4, 6, 7, 2], [8, 9, 3, 10, 11]]


async def test_a_warm_lane_beside_it_takes_the_least_engaged_first(queue: Queue) -> None:
    await ready_of(queue)
    assert [await ordinals(queue, warm(count)) for count in (2, 5, 99)] == [[3, 10], [11, 2, 8, 9, 1], [4, 6, 7, 0, 5]]


async def test_where_nobody_warms_up_the_order_stays_as_it_was(queue: Queue) -> None:
    """The oldest first, and of one age as they were submitted, pack by pack."""
    await ready_of(queue)
    await ready_of(queue, ("0", "99"), "summer", queued_at=QUEUED_AT - 5)
    some = await queue.lease([wish(99)], QUEUED_AT)
    assert {lease.envelopes[0].campaign: len(lease.envelopes) for lease in some}.keys() == {"spring", "summer"}
    assert [envelope.ordinal for envelope in flat(some) if envelope.campaign == "spring"] == list(range(12))
    assert [envelope.ordinal for envelope in flat(some) if envelope.campaign == "summer"] == [0, 1]


async def test_within_a_band_the_oldest_goes_first(queue: Queue) -> None:
    await opened(queue)
    ages = (30, 10, 20, 0)
    packs = [(ROUTE, [replace(scored(["80"] * 4)[n], queued_at=QUEUED_AT + age)]) for n, age in enumerate(ages)]
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    assert await ordinals(queue, cold(99)) == [3, 1, 2, 0]


async def test_whom_a_plan_does_not_take_is_for_warm_lanes(queue: Queue) -> None:
    await ready_of(queue)
    assert await ordinals(queue, cold(99, least=50)) == [0, 5, 1, 4, 6, 7]
    assert await ordinals(queue, cold(99, least=26)) == [], "a minimum between two bands is the upper one's"
    assert await ordinals(queue, cold(99, least=25)) == [2, 8, 9]
    assert await ordinals(queue, warm(99, least=25)) == [3, 10, 11]


async def test_what_a_campaign_lets_wait_no_warm_lane_takes(queue: Queue) -> None:
    await ready_of(queue, spill=WAIT)
    for now in (QUEUED_AT, QUEUED_AT + 1e7):
        assert await ordinals(queue, warm(99), now) == []
    assert await ordinals(queue, cold(2)) == [0, 5]
    assert len(await ordinals(queue, replace(wish(99), lane=WARM))) == 10, "once nobody warms up any more, anybody"


async def test_it_does_not_wait_for_whom_none_of_them_takes(queue: Queue) -> None:
    await ready_of(queue, spill=WAIT)
    assert await ordinals(queue, warm(99, least=50)) == [3, 10, 11, 2, 8, 9]


async def test_it_waits_as_long_as_it_says_from_when_it_was_queued(queue: Queue) -> None:
    await ready_of(queue, spill=SIX_HOURS)
    await ready_of(queue, campaign="summer", spill=SIX_HOURS, queued_at=QUEUED_AT + 3600)
    due = QUEUED_AT + 6 * 3600
    assert await campaigns(queue, warm(99), due - 1) == []
    assert set(await campaigns(queue, warm(99), due)) == {"spring"}
    assert await campaigns(queue, warm(99), due + 3599) == []
    assert set(await campaigns(queue, warm(99), due + 3600)) == {"summer"}


async def test_and_from_its_start_where_that_is_later(queue: Queue) -> None:
    start = QUEUED_AT + 86_400
    await ready_of(queue, spill=replace(SIX_HOURS, start=start))
    assert await ordinals(queue, warm(99), start + 6 * 3600 - 1) == []
    assert len(await ordinals(queue, warm(99), start + 6 * 3600)) == 12


async def test_a_chunk_that_knows_nothing_of_it_does_not_end_the_wait(queue: Queue) -> None:
    await ready_of(queue, spill=WAIT)
    assert await queue.expand(await chunk_of(queue, "spring", [], priority=9), QUEUED_AT)
    assert await ordinals(queue, warm(99)) == []


async def test_who_waits_for_others_holds_up_no_other_and_keeps_its_turn(queue: Queue) -> None:
    await ready_of(queue, ["80"] * 40, "waits", spill=WAIT, priority=0)
    await filled(queue, 40, campaign="a", pack_size=10)
    await filled(queue, 40, campaign="b", pack_size=10)
    taken = await campaigns(queue, warm(40))
    assert (taken.count("a"), taken.count("b")) == (20, 20)
    taken = await campaigns(queue, cold(20))
    assert taken == ["waits"] * 20
    assert await campaigns(queue, warm(99)) == ["a"] * 20 + ["b"] * 20


async def test_fair_shares_hold_whatever_bands_campaigns_have(queue: Queue) -> None:
    """Whose turn it is does not depend on how engaged its recipients are."""
    for name, score in (("a", "90"), ("b", "10"), ("c", "")):
        await ready_of(queue, [score] * 60, name)
    counts = dict.fromkeys("abc", 0)
    for number, request in enumerate((cold(30), warm(30), wish(30, lane=WARM)) * 2):
        for name in await campaigns(queue, request):
            counts[name] += 1
        assert set(counts.values()) == {10 * (number + 1)}


@on_one_server
async def test_behind_hundreds_that_wait_the_next_is_found(queue: Queue) -> None:
    """What a lane looks at in one call is bounded; the next call goes on from there."""
    for number in range(450):
        await ready_of(queue, ["80"], f"wait{number}", spill=WAIT)
    await filled(queue, 10, campaign="last", priority=9)
    assert [name for _ in range(4) for name in await campaigns(queue, warm(99))] == ["last"] * 10
    await filled(queue, 10, campaign="now", priority=0)
    assert [name for _ in range(4) for name in await campaigns(queue, warm(99))] == ["now"] * 10
    assert len(await campaigns(queue, cold(MANY))) == 450


async def test_what_comes_back_keeps_its_band(queue: Queue) -> None:
    """Let go, deferred, orphaned: each recipient is again among its like."""
    await ready_of(queue)
    for lease in await queue.lease([wish(99)], QUEUED_AT):
        again = []
        for place, one in enumerate(lease.envelopes):
            if one.ordinal < 6:
                again.append(Again(position=place, envelope=one, due=QUEUED_AT + 60 + one.ordinal % 2))
            elif one.ordinal < 9:
                again.append(Again(position=place, envelope=one, due=0.0, tried=False))
        await queue.settle([replace(settlement(lease), again=tuple(again))], QUEUED_AT)
    await queue.resign("worker-1")
    assert await queue.reclaim(QUEUED_AT) == 3
    await queue.promote(QUEUED_AT + 100, MANY)
    request = replace(cold(99), owner="worker-2")
    taken = [await ordinals(queue, replace(request, envelopes=count)) for count in (2, 4, 3, 3)]
    assert [sorted(some) for some in taken] == [[0, 5], [1, 4, 6, 7], [2, 8, 9], [3, 10, 11]]


async def test_the_age_of_a_route_is_that_of_its_oldest_whatever_its_band(queue: Queue) -> None:
    await opened(queue)
    ages = {"10": 5.0, "30": 3.0, "": 9.0, "80": 7.0}
    some = [replace(one, queued_at=QUEUED_AT + age) for one, age in zip(scored(list(ages)), ages.values(), strict=True)]
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, [one]) for one in some]), QUEUED_AT)

    async def oldest() -> Mapping[int, float]:
        return {ready.envelopes: ready.oldest - QUEUED_AT for ready in await queue.ready(10)}

    seen = [await oldest()]
    for request in (cold(1), warm(1), wish(1, lane=WARM)):
        await queue.lease([request], QUEUED_AT)
        seen.append(await oldest())
    assert seen == [{4: 3.0}, {3: 3.0}, {2: 3.0}, {1: 9.0}]
    assert (await queue.depth(QUEUED_AT + 10)).oldest_ready_s == 1.0


@pytest.mark.parametrize("ordinal", range(12))
async def test_each_is_found_whatever_its_band(queue: Queue, ordinal: int) -> None:
    some = await ready_of(queue)
    found = await queue.find("spring", ordinal)
    assert (found.where, found.envelope, found.route) == (Whereabouts.READY, some[ordinal], ROUTE)


async def test_all_bands_are_held_woken_and_ended_together(queue: Queue) -> None:
    await ready_of(queue)
    await queue.hold([paused()])
    assert await ordinals(queue, cold(99)) == []
    assert (await queue.ready(10), (await queue.depth(QUEUED_AT)).ready) == ([], {ROUTE: 12})
    await queue.hold([lifted()])
    assert await queue.wake(QUEUED_AT, MANY) == 1
    assert await ordinals(queue, cold(1)) == [0]
    assert await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT) == 11
    assert (await queue.ready(10), (await queue.depth(QUEUED_AT)).ready) == ([], {})


async def test_a_rate_holds_for_all_bands(queue: Queue) -> None:
    await ready_of(queue)
    await queue.limit_rate("spring", True)
    await ordinals(queue, cold(1))
    assert await queue.grant("spring", 1.0, 4, QUEUED_AT) == 4
    assert await ordinals(queue, cold(99)) == [0, 5, 1, 4]
    assert await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT) == 8


async def test_packs_without_scores_stand_in_the_middle(queue: Queue) -> None:
    """So do those of an earlier program, which have the same form."""
    await ready_of(queue, ["80", "10"])
    await filled(queue, 3, campaign="plain")
    assert await campaigns(queue, cold(99, least=50)) == ["plain"] * 3 + ["spring"]
    assert await campaigns(queue, warm(99)) == ["spring"]


async def test_what_stays_with_its_source_does_not_wait_for_others(queue: Queue) -> None:
    """It was that source's once: neither a minimum nor a spill makes it anybody else's, or nobody's."""
    await ready_of(queue, spill=WAIT)
    for lease in await queue.lease([replace(wish(99), lane=WARM)], QUEUED_AT):
        again = [Again(position=n, envelope=one, due=0.0, source="s2") for n, one in enumerate(lease.envelopes)]
        await queue.settle([replace(settlement(lease), again=tuple(again))], QUEUED_AT)
    assert await ordinals(queue, cold(99)) == []
    taken = await queue.lease([warm(99, least=50)], QUEUED_AT)
    assert sorted(envelope.ordinal for envelope in flat(taken)) == list(range(12))
    await queue.settle([all_delivered(lease) for lease in taken], QUEUED_AT)


async def test_one_call_serves_lanes_of_both_kinds(queue: Queue) -> None:
    await ready_of(queue)
    both = await queue.lease([cold(2), warm(2)], QUEUED_AT)
    assert [envelope.ordinal for envelope in flat(both)] == [0, 5, 3, 10]
    assert {lease.lane for lease in both if lease.envelopes[0].ordinal in (0, 5)} == {COLD}
    assert len(flat(await queue.lease([wish(99, lane=WARM)], QUEUED_AT))) == 8
