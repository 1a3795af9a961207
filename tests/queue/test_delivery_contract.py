"""Leasing and settling, on every backend: an envelope is in one place, and what is told twice counts once."""

from dataclasses import replace

import pytest

from sender.model import LaneId, Route, State
from sender.queue.base import Again, Lease, Queue, Settlement
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
    parking,
    settlement,
    wish,
)

SECOND_LANE = LaneId(source="s2", receiver="google")


async def test_what_was_submitted_is_what_is_leased_and_delivered(queue: Queue) -> None:
    some = await filled(queue, 450)
    leases = await leased(queue, 1000)
    assert flat(leases) == some
    assert {(lease.owner, lease.lane, lease.route) for lease in leases} == {("worker-1", LANE, ROUTE)}
    assert (await queue.depth(QUEUED_AT)).leased == 450
    await queue.settle([all_delivered(lease) for lease in leases], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert (status.final, status.queued) == ({("google", State.DELIVERED): 450}, 0)
    assert (await leased(queue, 1000), await queue.ready(10)) == ([], [])


async def test_a_lease_never_holds_more_than_was_asked_for(queue: Queue) -> None:
    some = await filled(queue, 100, pack_size=100)
    first = await leased(queue, 30)
    assert flat(first) == some[:30]
    depth = await queue.depth(QUEUED_AT)
    assert (depth.ready, depth.leased) == ({ROUTE: 70}, 30)
    assert flat(await leased(queue, 70)) == some[30:]


async def test_a_lease_of_nothing_is_nothing(queue: Queue) -> None:
    await filled(queue, 10)
    assert await leased(queue, 0) == []
    assert await queue.lease([], QUEUED_AT) == []
    assert await queue.lease([wish(10, route=OTHER)], QUEUED_AT) == []


async def test_the_leased_envelopes_are_the_lanes_own(queue: Queue) -> None:
    await filled(queue, 1)
    (lease,) = await leased(queue, 1)
    lease.envelopes[0].attempts = 7  # what it does with them shows only in what it settles
    await queue.resign("worker-1")
    await queue.reclaim(QUEUED_AT)
    assert flat(await leased(queue, 1))[0].attempts == 0


async def test_priority_goes_first(queue: Queue) -> None:
    await filled(queue, 40, campaign="newsletter", priority=5, pack_size=10)
    await filled(queue, 20, campaign="password", priority=0, pack_size=10, queued_at=QUEUED_AT + 50)
    campaigns = [envelope.campaign for envelope in flat(await leased(queue, 30))]
    assert (campaigns.count("password"), campaigns.count("newsletter")) == (20, 10)


async def test_campaigns_of_one_priority_share_fairly(queue: Queue) -> None:
    for name in ("a", "b", "c"):
        await filled(queue, 200, campaign=name, pack_size=10)
    counts = {"a": 0, "b": 0, "c": 0}
    for _ in range(10):
        for envelope in flat(await leased(queue, 30)):
            counts[envelope.campaign] += 1
    assert counts == {"a": 100, "b": 100, "c": 100}


async def test_a_campaign_that_comes_later_neither_waits_nor_overtakes(queue: Queue) -> None:
    await filled(queue, 400, campaign="early", pack_size=10)
    await leased(queue, 200)
    await filled(queue, 200, campaign="late", pack_size=10, queued_at=QUEUED_AT + 50)
    campaigns = [envelope.campaign for envelope in flat(await leased(queue, 100))]
    assert (campaigns.count("early"), campaigns.count("late")) == (50, 50)


async def test_ready_names_routes_oldest_first(queue: Queue) -> None:
    await filled(queue, 3, campaign="young", route=ROUTE, queued_at=2000.0)
    await filled(queue, 4, campaign="old", route=OTHER, queued_at=1500.0)
    assert [(ready.route, ready.envelopes, ready.oldest) for ready in await queue.ready(10)] == [
        (OTHER, 4, 1500.0),
        (ROUTE, 3, 2000.0),
    ]
    assert [ready.route for ready in await queue.ready(1)] == [OTHER]
    assert (await queue.depth(2500.0)).oldest_ready_s == 1000.0


async def test_more_routes_than_fit_are_walked_through_oldest_first(queue: Queue) -> None:
    await opened(queue)
    routes = [Route(pool="main", receiver=f"~d{number}.example") for number in range(30)]
    some = [(route, envelopes("spring", 1, start=n, queued_at=QUEUED_AT + n)) for n, route in enumerate(routes)]
    await queue.expand(await chunk_of(queue, "spring", some), QUEUED_AT)
    for _ in range(2):
        seen: list[Route] = []
        while len(seen) < 30:
            ready = await queue.ready(10)
            assert 0 < len(ready) <= 10
            assert [each.oldest for each in ready] == sorted(each.oldest for each in ready)
            seen += [each.route for each in ready]
        assert sorted(map(str, seen)) == sorted(map(str, routes)), "each once in a walk"
    assert {each.route for each in await queue.ready(30)} == set(routes)
    assert {each.route for each in await queue.ready(30)} == set(routes), "where all fit, each call has all"


async def test_the_depth_counts_receivers_without_a_profile_together(queue: Queue) -> None:
    await opened(queue)
    some = [(Route(pool="main", receiver=f"~d{n}.example"), envelopes("spring", 2, start=2 * n)) for n in range(30)]
    await queue.expand(await chunk_of(queue, "spring", [*some, (ROUTE, envelopes("spring", 3, start=60))]), QUEUED_AT)
    assert (await queue.depth(QUEUED_AT)).ready == {ROUTE: 3, Route(pool="main", receiver="other"): 60}


async def test_old_routes_that_nobody_serves_hide_no_young_one(queue: Queue) -> None:
    await opened(queue)
    paused = [(Route(pool="main", receiver=f"~d{n}.example"), envelopes("spring", 1, start=n)) for n in range(60)]
    await queue.expand(await chunk_of(queue, "spring", paused), QUEUED_AT)
    for round_ in range(5):
        name = f"young{round_}"
        await filled(queue, 1, campaign=name, route=ROUTE, queued_at=QUEUED_AT + 1 + round_)
        for _ in range(9):
            if ROUTE in [each.route for each in await queue.ready(20)]:
                break
        else:
            pytest.fail(f"{name} was never seen")
        (lease,) = await leased(queue, 1)
        await queue.settle([all_delivered(lease)], QUEUED_AT)


async def test_what_was_not_tried_is_no_deferral(queue: Queue) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    tried = (True, False, False)
    again = [Again(position=n, envelope=lease.envelopes[n], due=2000.0, tried=tried[n]) for n in range(3)]
    told = replace(settlement(lease), again=tuple(again))
    for _ in range(2):
        await queue.settle([told], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert status.deferrals == {"google": 1}
    assert (await queue.depth(QUEUED_AT)).later == 3
    assert await queue.promote(2000.0, 10) == 3
    (lease,) = await leased(queue, 1)
    await queue.settle([replace(settlement(lease), again=(replace(again[1], position=0),))], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert status.deferrals == {"google": 1}


async def test_each_position_ends_once_however_often_it_is_told(queue: Queue) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 4)
    told = settlement(lease, final=[(0, State.DELIVERED), (1, State.REJECTED)], events=(b"one", b"two"))
    for _ in range(3):
        await queue.settle([told], QUEUED_AT)
    await queue.settle([settlement(lease, final=[(1, State.DELIVERED), (1, State.EXPIRED)])], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert status.final == {("google", State.DELIVERED): 1, ("google", State.REJECTED): 1}
    assert (await queue.events("", 10))[1] == [b"one", b"two"]
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert (status.finished, status.queued) == (4, 0)


async def test_positions_that_were_never_leased_and_leases_that_never_were_change_nothing(queue: Queue) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 2)
    await queue.settle([settlement(lease, final=[(2, State.DELIVERED), (900, State.DELIVERED)])], QUEUED_AT)
    unknown = Settlement(lease="nothing", route=ROUTE, campaign="spring", final=((0, State.DELIVERED),), events=(b"x",))
    await queue.settle([unknown], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert status.finished == 0
    assert (await queue.events("", 10))[1] == []


@pytest.mark.parametrize("state", list(State))
async def test_every_final_state_is_counted_under_its_receiver(queue: Queue, state: State) -> None:
    await filled(queue, 1)
    (lease,) = await leased(queue, 1)
    await queue.settle([settlement(lease, final=[(0, state)])], QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert status.final == {("google", state): 1}


async def test_a_released_envelope_is_ready_at_once_and_counts_as_no_deferral(queue: Queue) -> None:
    some = await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    await queue.settle([settlement(lease, again=[(0, 0.0), (2, 0.0)])], QUEUED_AT)
    await queue.settle([settlement(lease, again=[(0, 0.0), (2, 0.0)])], QUEUED_AT)
    assert flat(await leased(queue, 10)) == [some[0], some[2]]
    (status,) = await queue.status(["spring"])
    assert status.deferrals == {}


async def test_a_deferred_envelope_is_ready_when_due_with_the_counts_it_carries(queue: Queue) -> None:
    await filled(queue, 2)
    (lease,) = await leased(queue, 2)
    lease.envelopes[1].attempts, lease.envelopes[1].doubts = 3, 1
    told = settlement(lease, final=[(0, State.DELIVERED)], again=[(1, 1600.0)])
    await queue.settle([told], QUEUED_AT)
    await queue.settle([told], QUEUED_AT)
    depth = await queue.depth(1700.0)
    assert (depth.later, depth.leased, depth.oldest_due_s) == (1, 0, 100.0)
    assert await queue.promote(1599.9, 100) == 0
    assert await leased(queue, 10) == []
    assert await queue.promote(1600.0, 100) == 1
    assert await queue.promote(1600.0, 100) == 0
    (envelope,) = flat(await leased(queue, 10))
    assert (envelope.ordinal, envelope.attempts, envelope.doubts, envelope.queued_at) == (1, 3, 1, QUEUED_AT)
    (status,) = await queue.status(["spring"])
    assert status.deferrals == {"google": 1}


async def test_an_older_envelope_goes_before_a_younger_one_of_its_campaign(queue: Queue) -> None:
    await opened(queue)
    young, old = envelopes("spring", 5, queued_at=2000.0), envelopes("spring", 5, start=5, queued_at=1000.0)
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, young), (ROUTE, old)]), 2000.0)
    assert flat(await leased(queue, 10)) == old + young


async def test_promotion_keeps_to_its_limit(queue: Queue) -> None:
    await filled(queue, 6)
    (lease,) = await leased(queue, 6)
    await queue.settle([settlement(lease, again=[(place, 2000.0 + 100 * place) for place in range(6)])], QUEUED_AT)
    assert await queue.promote(9999.0, 4) == 4
    assert await queue.promote(9999.0, 4) == 2


async def test_a_return_settled_in_part_before_goes_back_only_once(queue: Queue) -> None:
    await filled(queue, 4)
    (lease,) = await leased(queue, 4)
    await queue.settle([settlement(lease, final=[(1, State.DELIVERED)], again=[(3, 0.0)])], QUEUED_AT)
    await queue.settle([settlement(lease, again=[(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0)])], QUEUED_AT)
    assert sorted(envelope.ordinal for envelope in flat(await leased(queue, 10))) == [0, 2, 3]
    (status,) = await queue.status(["spring"])
    assert (status.finished, status.queued) == (1, 3)


async def test_events_are_read_on_from_a_cursor(queue: Queue) -> None:
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    for place in range(3):
        told = settlement(lease, final=[(place, State.DELIVERED)], events=(f"event {place}".encode(),))
        await queue.settle([told], QUEUED_AT)
    cursor, events = await queue.events("", 2)
    assert events == [b"event 0", b"event 1"]
    cursor, events = await queue.events(cursor, 2)
    assert events == [b"event 2"]
    assert await queue.events(cursor, 2) == (cursor, [])


async def test_many_lanes_lease_in_one_call(queue: Queue) -> None:
    await filled(queue, 50, campaign="a", route=ROUTE, pack_size=10)
    await filled(queue, 50, campaign="b", route=OTHER, pack_size=10)
    other_lane = LaneId(source="s1", receiver="orange")
    leases = await queue.lease([wish(15), wish(25, lane=SECOND_LANE), wish(35, lane=other_lane, route=OTHER)], QUEUED_AT)
    by_lane: dict[LaneId, list[Lease]] = {}
    for lease in leases:
        by_lane.setdefault(lease.lane, []).append(lease)
    assert {lane: len(flat(some)) for lane, some in by_lane.items()} == {LANE: 15, SECOND_LANE: 25, other_lane: 35}
    assert len({envelope.id for envelope in flat(leases)}) == 75
    await conserved(queue)


@pytest.mark.row("S30")
async def test_what_is_too_much_for_one_pack_goes_back_in_several(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease holds more than a pack can where merge fields are long; what can't be packed would stop whoever tries."""
    monkeypatch.setattr("sender.queue.pack.MAX_BODY", 64 * 1024)
    some = [replace(envelope, fields={"story": f"{envelope.ordinal} " * 500}) for envelope in envelopes("spring", 50)]
    await opened(queue)
    packs = [(ROUTE, some[start : start + 5]) for start in range(0, 50, 5)]
    await queue.expand(await chunk_of(queue, "spring", packs), QUEUED_AT)
    leases = await leased(queue, 48)
    later = [settlement(lease, again=[(place, 2000.0) for place in range(len(lease.envelopes))]) for lease in leases]
    await queue.settle(later, QUEUED_AT)
    assert await queue.promote(2000.0, 100) == 48
    await leased(queue, 50, now=2000.0)
    assert await queue.reclaim(2100.0) == 50
    leases = await leased(queue, 50, now=2100.0)
    await queue.settle([parking(lease, range(len(lease.envelopes))) for lease in leases], 2100.0)
    assert await queue.resend([envelope.id for envelope in some], QUEUED_AT) == 50
    assert sorted(flat(await leased(queue, 50)), key=lambda envelope: envelope.ordinal) == some
