"""Holding campaigns back and ending them, on every backend: nothing is lost by it, and nothing goes that must not."""

import random

import pytest

from sender.model import LaneId, Route, State
from sender.queue.base import Lease, Queue
from sender.queue.control import FOR_EVER, Control, Hold
from tests.queue.feeding import (
    LANE,
    OTHER,
    QUEUED_AT,
    ROUTE,
    all_delivered,
    chunk_of,
    conserved,
    envelopes,
    filled,
    flat,
    leased,
    opened,
    settlement,
    wish,
)

MANY = 10_000


def paused(campaign: str = "spring") -> Hold:
    return Hold(campaign=campaign, start=-FOR_EVER, end=FOR_EVER)


def lifted(campaign: str = "spring") -> Hold:
    return Hold(campaign=campaign, start=0.0, end=0.0)


async def campaigns_leased(queue: Queue, count: int, *, now: float = QUEUED_AT) -> list[str]:
    return [envelope.campaign for envelope in flat(await leased(queue, count, now=now))]


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


# --- rates


async def test_a_limited_campaign_is_leased_as_far_as_it_is_granted(queue: Queue) -> None:
    await filled(queue, 100, pack_size=20)
    await queue.limit_rate("spring", True)
    assert await leased(queue, 10) == []
    assert await queue.grant("spring", 1.0, 15, QUEUED_AT) == 15
    await queue.limit_rate("spring", True)  # told again
    assert [len(await campaigns_leased(queue, 10)) for _ in range(3)] == [10, 5, 0]
    await conserved(queue, all_in_line=False)
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)
    assert len(await campaigns_leased(queue, 1000)) == 85


async def test_tokens_come_with_time_and_never_above_the_burst(queue: Queue) -> None:
    await filled(queue, 1000, pack_size=20)
    await queue.limit_rate("spring", True)
    granted = [await queue.grant("spring", 2.0, 10, QUEUED_AT)]
    for now in (QUEUED_AT, QUEUED_AT + 1, QUEUED_AT + 2.5, QUEUED_AT + 1, QUEUED_AT + 3, QUEUED_AT + 1000):
        await leased(queue, 1000, now=now)
        granted.append(await queue.grant("spring", 2.0, 10, now))
    assert granted == [10, 0, 2, 3, 0, 1, 10], "a clock that is behind counts no moment twice"
    assert await queue.grant("spring", 2.0, 10, QUEUED_AT + 2000) == 0, "what was granted and not used counts, too"
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)


async def test_over_a_long_time_the_rate_is_met_and_never_exceeded(queue: Queue) -> None:
    await filled(queue, 700, campaign="spring", pack_size=50)
    await queue.limit_rate("spring", True)
    rate, burst, sent = 2.7, 8.0, 0
    for step in range(1, 400):
        now = QUEUED_AT + step / 2
        await queue.grant("spring", rate, burst, now)
        await queue.wake(now, MANY)
        leases = await leased(queue, 3, now=now)
        sent += len(flat(leases))
        await queue.settle([all_delivered(lease) for lease in leases], now)
        assert sent <= rate * (step / 2) + burst
    assert sent >= rate * 199 - 1
    await queue.limit_rate("spring", False)
    await queue.wake(now, MANY)


async def test_what_no_work_can_use_is_not_handed_out(queue: Queue) -> None:
    await filled(queue, 4)
    await queue.limit_rate("spring", True)
    assert await queue.grant("spring", 1.0, 100, QUEUED_AT) == 4
    assert await queue.grant("spring", 1.0, 100, QUEUED_AT) == 0
    assert len(await campaigns_leased(queue, 10)) == 4


async def test_a_limited_campaign_shares_its_rate_among_its_routes(queue: Queue) -> None:
    await opened(queue)
    some = [(ROUTE, envelopes("spring", 300)), (OTHER, envelopes("spring", 100, start=300))]
    await queue.expand(await chunk_of(queue, "spring", some), QUEUED_AT)
    await queue.limit_rate("spring", True)
    other = wish(100, lane=LaneId(source="s1", receiver="orange"), route=OTHER)
    assert await queue.lease([wish(100), other], QUEUED_AT) == []
    assert await queue.grant("spring", 1.0, 40, QUEUED_AT) == 40
    assert len(flat(await queue.lease([wish(100), other], QUEUED_AT))) <= 40
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)
    await conserved(queue)


async def test_a_route_that_can_not_be_served_does_not_eat_the_rate_of_the_others(queue: Queue) -> None:
    await opened(queue)
    some = [(ROUTE, envelopes("spring", 900)), (OTHER, envelopes("spring", 100, start=900))]
    await queue.expand(await chunk_of(queue, "spring", some), QUEUED_AT)
    await queue.limit_rate("spring", True)
    lane, sent = LaneId(source="s1", receiver="orange"), 0
    for second in range(30):
        now = QUEUED_AT + second
        await queue.grant("spring", 2.0, 20, now)
        await queue.wake(now, MANY)
        sent += len(flat(await queue.lease([wish(10, lane=lane, route=OTHER)], now)))
    assert sent >= 45, "of 60 that the rate permits: nobody asks for the other route"
    await queue.limit_rate("spring", False)
    await queue.wake(now, MANY)


async def test_no_more_routes_line_up_than_a_limited_rate_has_envelopes_for(queue: Queue) -> None:
    routes = [Route(pool="main", receiver=f"~d{number}.example") for number in range(20)]
    await opened(queue)
    packs = [(route, envelopes("spring", 2, start=2 * number)) for number, route in enumerate(routes)]
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    await queue.limit_rate("spring", True)
    wishes = [wish(5, route=route, lane=LaneId(source="s1", receiver=route.receiver)) for route in routes]
    assert await queue.lease(wishes, QUEUED_AT) == []
    assert await queue.grant("spring", 1.0, 3, QUEUED_AT) == 3
    assert len(await queue.ready(100)) == 3
    await conserved(queue, all_in_line=False)
    await queue.limit_rate("spring", False)
    assert await queue.wake(QUEUED_AT, MANY) == 17


async def test_envelopes_that_come_back_untried_have_used_up_nothing(queue: Queue) -> None:
    await filled(queue, 30, pack_size=10)
    await queue.limit_rate("spring", True)
    await queue.grant("spring", 1.0, 10, QUEUED_AT)
    (lease,) = await leased(queue, 10)
    assert await leased(queue, 10) == []
    back = settlement(lease, final=[(0, State.DELIVERED)], again=[(place, 0.0) for place in range(1, 10)])
    for _ in range(2):
        await queue.settle([back], QUEUED_AT)
    await queue.wake(QUEUED_AT, MANY)
    assert len(await campaigns_leased(queue, 100)) == 9
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)


async def test_a_rate_that_is_lifted_begins_anew(queue: Queue) -> None:
    await filled(queue, 100, pack_size=10)
    await queue.limit_rate("spring", True)
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 10
    assert await leased(queue, 0) == []
    await queue.limit_rate("spring", False)
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 0, "nothing to grant"
    await queue.limit_rate("spring", True)
    await queue.limit_rate("spring", True)
    assert await leased(queue, 10) == []
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 10
    assert len(await campaigns_leased(queue, 100)) == 10
    await queue.limit_rate("spring", False)
    await queue.wake(QUEUED_AT, MANY)


async def test_a_held_campaign_with_budget_stays_held(queue: Queue) -> None:
    await filled(queue, 30, pack_size=10)
    await queue.limit_rate("spring", True)
    await queue.hold([Hold(campaign="spring", start=0.0, end=2000.0)])
    assert await leased(queue, 10) == []
    assert await queue.grant("spring", 1.0, 10, QUEUED_AT) == 10
    assert await leased(queue, 10) == []
    assert await queue.wake(2000.0, MANY) == 1
    assert len(await campaigns_leased(queue, 30, now=2000.0)) == 10
    await queue.limit_rate("spring", False)
    await queue.wake(2000.0, MANY)


# --- ending a campaign


@pytest.mark.parametrize("state", [State.CANCELLED, State.EXPIRED])
async def test_discarding_ends_what_waits_and_leaves_what_is_leased(queue: Queue, state: State) -> None:
    await opened(queue)
    some = [(ROUTE, envelopes("spring", 50)), (OTHER, envelopes("spring", 30, start=50))]
    await queue.expand(await chunk_of(queue, "spring", some, states={State.INVALID: 1}), QUEUED_AT)
    await filled(queue, 7, campaign="summer")
    await queue.hold([paused("summer")])
    (lease,) = await leased(queue, 20)
    await queue.settle([settlement(lease, again=[(0, 5000.0), (1, 6000.0)])], QUEUED_AT)
    assert await queue.discard("spring", state, MANY, QUEUED_AT) == 62
    assert await queue.discard("spring", state, MANY, QUEUED_AT) == 0
    (status,) = await queue.status(["spring"])
    assert status.final == {("google", state): 32, ("orange", state): 30, ("-", State.INVALID): 1}
    assert status.queued == 18
    depth = await queue.depth(QUEUED_AT)
    assert (depth.ready, depth.leased, depth.later) == ({ROUTE: 7}, 18, 0)
    await conserved(queue, all_in_line=False)
    assert await queue.promote(9999.0, MANY) == 0
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert (status.queued, status.final["google", State.DELIVERED]) == (0, 18)
    await queue.hold([lifted("summer")])
    await queue.wake(QUEUED_AT, MANY)


async def test_discarding_is_bounded_and_comes_to_an_end(queue: Queue) -> None:
    await filled(queue, 100, pack_size=10)
    leases = await leased(queue, 50)
    await queue.settle([settlement(leases[0], again=[(place, 5000.0 + 60 * place) for place in range(10)])], QUEUED_AT)
    rounds = []
    while count := await queue.discard("spring", State.CANCELLED, 25, QUEUED_AT):
        rounds.append(count)
        await conserved(queue)
    assert sum(rounds) == 60
    assert all(25 <= count < 35 for count in rounds[:-1]), rounds
    for lease in leases:
        await queue.settle([all_delivered(lease)], QUEUED_AT)


async def test_a_held_campaign_is_discarded_like_any_other(queue: Queue) -> None:
    await filled(queue, 40, campaign="spring", pack_size=10)
    await filled(queue, 10, campaign="summer")
    await queue.hold([paused()])
    assert await campaigns_leased(queue, 1) == ["summer"]
    assert await queue.discard("spring", State.CANCELLED, 15, QUEUED_AT) == 20
    await conserved(queue, all_in_line=False)
    assert (await queue.depth(QUEUED_AT)).ready == {ROUTE: 29}
    assert [ready.envelopes for ready in await queue.ready(10)] == [9]
    await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT)
    await conserved(queue)
    assert await queue.wake(QUEUED_AT, MANY) == 0


async def test_a_discarded_campaign_is_finished_and_may_be_forgotten(queue: Queue) -> None:
    await filled(queue, 40)
    await queue.finish_rows("spring")
    await queue.hold([paused()])
    await leased(queue, 10)
    await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT)
    await queue.reclaim(QUEUED_AT)
    assert await queue.spec("spring") is None


async def test_recipients_that_come_after_an_end_are_discarded_with_the_next_call(queue: Queue) -> None:
    await opened(queue, batches=2)
    await queue.hold([paused()])
    for number in range(3):
        pack = [(ROUTE, envelopes("spring", 5, start=5 * number))]
        await queue.expand(await chunk_of(queue, "spring", pack), QUEUED_AT)
        assert await leased(queue, 10) == []
        assert await queue.discard("spring", State.CANCELLED, MANY, QUEUED_AT) == 5
    await conserved(queue)


async def test_an_unknown_campaign_can_be_told_anything(queue: Queue) -> None:
    await queue.hold([lifted("nobody"), paused("nobody")])
    await queue.limit_rate("nobody", False)
    assert await queue.grant("nobody", 1.0, 10, QUEUED_AT) == 0
    assert await queue.discard("nobody", State.CANCELLED, 10, QUEUED_AT) == 0
    assert await queue.wake(QUEUED_AT, 10) == 0
    assert await queue.lease([wish(5, lane=LANE)], QUEUED_AT) == []


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_each_envelope_ends_once(queue: Queue, seed: int) -> None:
    """Holds, rates, leases, returns and discards at random; then all is let go and drained."""
    rng, now, leases = random.Random(seed), QUEUED_AT, list[Lease]()
    names = ("spring", "summer", "autumn")
    for name in names:
        await opened(queue, name)
        some = envelopes(name, 120)
        packs = [((ROUTE, OTHER)[rng.randrange(2)], some[at : at + 12]) for at in range(0, 120, 12)]
        assert await queue.expand(await chunk_of(queue, name, packs, priority=rng.randrange(3)), now)

    async def lease() -> None:
        route = rng.choice((ROUTE, OTHER))
        lane = LaneId(source="s1", receiver=route.receiver)
        leases.extend(await queue.lease([wish(rng.randint(1, 30), lane=lane, route=route)], now))

    async def settle() -> None:
        if leases:
            lease = leases.pop(rng.randrange(len(leases)))
            cut = rng.randint(0, len(lease.envelopes))
            again = [(place, rng.choice((0.0, now + rng.uniform(1, 60)))) for place in range(cut, len(lease.envelopes))]
            final = [(place, State.DELIVERED) for place in range(cut)]
            await queue.settle([settlement(lease, final=final, again=again)], now)

    async def control() -> None:
        name = rng.choice(names)
        match rng.randrange(6):
            case 0:
                await queue.hold([Hold(campaign=name, start=now - 1, end=rng.choice((now + 20, FOR_EVER)))])
            case 1:
                await queue.hold([lifted(name)])
            case 2:
                await queue.limit_rate(name, rng.random() < 0.5)
            case 3:
                await queue.grant(name, 3.0, 20, now)
            case 4:
                await queue.wake(now, rng.choice((1, MANY)))
            case 5:
                await queue.discard(rng.choice(names[:2]), State.CANCELLED, rng.choice((1, 30)), now)

    for _ in range(120):
        now += rng.uniform(0, 5)
        await rng.choice((lease, lease, settle, control))()
        await queue.promote(now, MANY)
        await conserved(queue, all_in_line=False)
    await queue.settle([all_delivered(one) for one in leases], now)
    await queue.hold([lifted(name) for name in names])
    for name in names:
        await queue.limit_rate(name, False)
    await queue.promote(now + 1000, MANY)
    await queue.wake(now, MANY)
    await conserved(queue)
    for route in (ROUTE, OTHER):
        rest = await queue.lease([wish(MANY, lane=LaneId(source="s1", receiver=route.receiver), route=route)], now)
        await queue.settle([all_delivered(one) for one in rest], now)
    assert [(status.finished, status.queued) for status in await queue.status(names)] == [(120, 0)] * 3
