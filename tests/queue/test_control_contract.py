"""Holding campaigns back and ending them, on every backend: nothing is lost by it, and nothing goes that must not."""

from sender.model import LaneId, Route, State
from sender.queue.base import Queue
from sender.queue.control import Control, Hold
from tests.queue.feeding import (
    MANY,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    campaigns_leased,
    chunk_of,
    conserved,
    envelopes,
    filled,
    flat,
    leased,
    lifted,
    opened,
    paused,
    settlement,
    wish,
)


async def scheduled(queue: Queue, campaign: str = "spring", spec: bytes = b'{"v":1}') -> None:
    """Accept a campaign of one batch that has a schedule."""
    await queue.announce(campaign, spec)
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, spec, QUEUED_AT, scheduled=True)


# --- an operator's word


async def test_a_word_is_kept_as_it_was_given(queue: Queue) -> None:
    word = Control(campaign="spring", paused=True, by="ann@host", at=1234.5, why="wrong price")
    assert await queue.set_control(word) == word
    assert await queue.controls() == {"spring": word}
    assert await queue.controls(["summer", "spring"]) == {"spring": word}
    assert await queue.controls([]) == {}


async def test_the_last_word_counts_until_a_campaign_is_ended(queue: Queue) -> None:
    await queue.set_control(Control(campaign="spring", paused=True))
    await queue.set_control(Control(campaign="spring", paused=False, by="bob@host"))
    ended = Control(campaign="spring", ended=State.CANCELLED, by="ann@host", at=5.0, why="recalled")
    assert await queue.set_control(ended) == ended
    assert await queue.set_control(Control(campaign="spring", paused=True)) == ended
    assert await queue.set_control(Control(campaign="spring", ended=State.CANCELLED, by="bob@host")) == ended
    assert await queue.controls() == {"spring": ended}


# --- holds


async def test_a_held_campaign_is_not_leased_and_its_neighbours_are(queue: Queue) -> None:
    await filled(queue, 40, campaign="spring", pack_size=10)
    await filled(queue, 20, campaign="summer", pack_size=10)
    await queue.hold([paused()])
    assert await campaigns_leased(queue, 100) == ["summer"] * 20
    await conserved(queue, all_in_line=False)
    assert await queue.ready(10) == [], "what nobody may lease is not shown"
    assert (await queue.depth(QUEUED_AT)).ready == {ROUTE: 40}, "and is counted"
    await queue.hold([lifted()])
    assert await queue.wake(QUEUED_AT, MANY) == 1
    assert [(ready.route, ready.envelopes) for ready in await queue.ready(10)] == [(ROUTE, 40)]
    assert await campaigns_leased(queue, 100) == ["spring"] * 40


async def test_a_held_campaign_of_better_priority_blocks_nobody(queue: Queue) -> None:
    await filled(queue, 10, campaign="urgent", priority=0)
    await filled(queue, 10, campaign="letter", priority=9)
    await queue.hold([paused("urgent")])
    assert await campaigns_leased(queue, 100) == ["letter"] * 10
    await queue.hold([lifted("urgent")])
    await queue.wake(QUEUED_AT, MANY)


async def test_a_hold_lasts_from_its_start_until_before_its_end(queue: Queue) -> None:
    await filled(queue, 50, pack_size=10)
    await queue.hold([Hold(campaign="spring", start=2000.0, end=3000.0)])
    assert len(await campaigns_leased(queue, 10, now=1999.9)) == 10
    assert await campaigns_leased(queue, 10, now=2000.0) == []
    assert await queue.wake(2999.9, MANY) == 0
    assert await campaigns_leased(queue, 10, now=2999.9) == []
    assert await queue.wake(3000.0, MANY) == 1
    assert len(await campaigns_leased(queue, 10, now=3000.0)) == 10


async def test_a_hold_takes_the_place_of_the_one_before(queue: Queue) -> None:
    await filled(queue, 20, pack_size=10)
    await queue.hold([paused()])
    assert await campaigns_leased(queue, 10) == []
    await queue.hold([Hold(campaign="spring", start=0.0, end=1100.0)])
    assert await queue.wake(1099.0, MANY) == 0
    assert await queue.wake(1100.0, MANY) == 1
    assert len(await campaigns_leased(queue, 10, now=1100.0)) == 10


async def test_a_hold_told_again_changes_nothing(queue: Queue) -> None:
    await filled(queue, 10)
    for _ in range(3):
        await queue.hold([paused(), paused("summer")])
        assert await leased(queue, 10) == []
        assert await queue.wake(QUEUED_AT, MANY) == 0
    for _ in range(3):
        await queue.hold([lifted(), lifted("summer")])
    assert [await queue.wake(QUEUED_AT, MANY) for _ in range(2)] == [1, 0]
    assert len(await campaigns_leased(queue, 10)) == 10


async def test_what_becomes_ready_while_a_campaign_is_held_waits_with_the_rest(queue: Queue) -> None:
    some = await filled(queue, 20, pack_size=10)
    (lease,) = await leased(queue, 10)
    await queue.hold([paused()])
    assert await leased(queue, 10) == []
    later = settlement(lease, again=[(0, 0.0), (1, 1500.0)])
    await queue.settle([later], QUEUED_AT)
    assert await queue.promote(1500.0, MANY) == 1
    assert await queue.ready(10) == []
    assert await leased(queue, 100, now=1500.0) == []
    await conserved(queue, all_in_line=False)
    await queue.settle([all_delivered(lease)], QUEUED_AT)  # what is leased stays leased, and ends
    await queue.hold([lifted()])
    await queue.wake(1500.0, MANY)
    ordinals = sorted(envelope.ordinal for envelope in flat(await leased(queue, 100, now=1500.0)))
    assert ordinals == [0, 1, *(envelope.ordinal for envelope in some[10:])]


async def test_who_dies_holding_a_paused_campaign_loses_nothing(queue: Queue) -> None:
    await filled(queue, 20, pack_size=10)
    await queue.join("worker-1")
    await leased(queue, 10)
    await queue.hold([paused()])
    assert await leased(queue, 10) == []
    await queue.fence({"worker-1": None})
    assert await queue.reclaim(QUEUED_AT) == 10
    await conserved(queue, all_in_line=False)
    assert await queue.lease([wish(100, owner="worker-2")], QUEUED_AT) == []
    await queue.hold([lifted()])
    await queue.wake(QUEUED_AT, MANY)
    assert len(flat(await queue.lease([wish(100, owner="worker-2")], QUEUED_AT))) == 20


async def test_a_campaign_that_returns_to_the_line_starts_level(queue: Queue) -> None:
    for name in ("a", "b"):
        await filled(queue, 400, campaign=name, pack_size=10)
    await queue.hold([paused("a")])
    assert await campaigns_leased(queue, 200) == ["b"] * 200
    await queue.hold([lifted("a")])
    await queue.wake(QUEUED_AT, MANY)
    names = await campaigns_leased(queue, 100)
    assert (names.count("a"), names.count("b")) == (50, 50)


async def test_waking_keeps_to_its_limit_and_goes_on_with_the_next_call(queue: Queue) -> None:
    routes = [Route(pool="main", receiver=f"~d{number}.example") for number in range(20)]
    await opened(queue)
    packs = [(route, envelopes("spring", 1, start=number)) for number, route in enumerate(routes)]
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    await queue.hold([paused()])
    wishes = [wish(5, route=route, lane=LaneId(source="s1", receiver=route.receiver)) for route in routes]
    assert await queue.lease(wishes, QUEUED_AT) == []
    await queue.hold([lifted()])
    woken = [await queue.wake(QUEUED_AT, 8) for _ in range(4)]
    assert woken == [8, 8, 4, 0]
    assert len(flat(await queue.lease(wishes, QUEUED_AT))) == 20


async def test_the_age_of_what_waits_leaves_out_what_is_held(queue: Queue) -> None:
    await filled(queue, 5, campaign="old", queued_at=500.0)
    await filled(queue, 5, campaign="young", queued_at=900.0)
    await queue.hold([paused("old")])
    assert await campaigns_leased(queue, 1) == ["young"]
    assert (await queue.depth(1000.0)).oldest_ready_s == 100.0
    assert [ready.oldest for ready in await queue.ready(10)] == [900.0]
    await queue.hold([lifted("old")])
    await queue.wake(QUEUED_AT, MANY)


async def test_a_campaigns_retries_are_due_each_at_its_time_whatever_the_order_they_came_in(queue: Queue) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 4)
    for place, due in ((0, 5000.0), (1, 2000.0), (2, 3000.0), (3, 9000.0)):
        await queue.settle([settlement(lease, again=[(place, due)])], QUEUED_AT)
    for now in (2000.0, 3000.0, 5000.0, 9000.0):
        assert await queue.promote(now - 1, MANY) == 0
        assert (await queue.depth(now + 7)).oldest_due_s == 7.0
        assert await queue.promote(now, MANY) == 1


# --- scheduled campaigns


async def test_a_scheduled_campaign_is_listed_and_held_from_before_its_first_envelope(queue: Queue) -> None:
    await scheduled(queue)
    assert await queue.schedules() == {"spring": b'{"v":1}'}
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))]), QUEUED_AT)
    assert await leased(queue, 10) == []
    await queue.hold([lifted()])
    await queue.wake(QUEUED_AT, MANY)
    assert len(await campaigns_leased(queue, 10)) == 5


async def test_an_announcement_told_again_does_not_hold_what_a_scheduler_has_let_go(queue: Queue) -> None:
    await scheduled(queue)
    await queue.hold([lifted()])
    await scheduled(queue)
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))]), QUEUED_AT)
    assert len(await campaigns_leased(queue, 10)) == 5


async def test_the_first_campaign_of_an_id_says_whether_it_is_scheduled(queue: Queue) -> None:
    await filled(queue, 5)
    await scheduled(queue, spec=b'{"start":"later"}')
    assert await queue.schedules() == {}
    assert len(await campaigns_leased(queue, 10)) == 5


async def test_a_hold_set_before_a_campaign_is_accepted_stands(queue: Queue) -> None:
    await queue.hold([Hold(campaign="spring", start=0.0, end=2000.0)])
    await scheduled(queue)
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))]), QUEUED_AT)
    assert await leased(queue, 10) == []
    assert await queue.wake(2000.0, MANY) == 1
    assert len(await campaigns_leased(queue, 10, now=2000.0)) == 5


async def test_a_finished_campaign_is_on_no_schedule(queue: Queue) -> None:
    await scheduled(queue)
    await queue.close_rows("spring", 0)
    await queue.hold([lifted()])
    assert list(await queue.schedules()) == ["spring"]
    await queue.finish_rows("spring")
    await queue.reclaim(QUEUED_AT)
    assert await queue.schedules() == {}
