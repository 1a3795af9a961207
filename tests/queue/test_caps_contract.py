"""Caps, on every backend: what is leased is counted, what is not used comes back, and no window is ever overdrawn."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sender.model import LaneId, Mark, Route
from sender.queue.base import Queue
from sender.queue.warmups import DAYS_KEPT, Account, Wait, Window
from tests.queue.feeding import LANE, ROUTE, filled, flat, wish
from tests.queue.warming import (
    DAY,
    HOUR,
    MIDNIGHT,
    MINUTE,
    OURS,
    cap,
    capped,
    counts,
    granted,
    marked,
    released,
    used,
)

NOON = MIDNIGHT + 12 * HOUR


# --- what binds


async def test_no_more_is_leased_than_the_cap_permits(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_day=30)}, NOON)
    assert [len(flat(await granted(queue, 20, NOON))) for _ in range(3)] == [20, 10, 0]
    assert await counts(queue, NOON) == (30, 30, 30, 30)


@pytest.mark.parametrize(
    ("window", "numbers", "opens"),
    [
        (Window.DAY, {"per_day": 5}, MIDNIGHT + 86_400),
        (Window.HOUR, {"per_hour": 5}, NOON + HOUR),
        (Window.MINUTE, {"per_minute": 5}, NOON + 2 * MINUTE),
        (Window.HOUR, {"per_hour": 5, "per_minute": 5}, NOON + HOUR),
    ],
)
async def test_the_answer_says_which_window_is_used_up_and_when_it_opens(
    queue: Queue, window: Window, numbers: dict[str, int], opens: float
) -> None:
    await filled(queue, 50)
    now = NOON + 90
    await queue.set_caps({OURS: cap(**numbers)}, now)
    first = await granted(queue, 10, now)
    assert (len(flat(first)), first.waits) == (5, ())
    await queue.settle([marked(first[0], [0, 1])], now)
    refused = await granted(queue, 10, now + 1)
    assert refused == []
    assert refused.waits == (Wait(lane=LANE, account=str(LANE), window=window, opens=opens, most=5, outstanding=3),)
    assert await granted(queue, 10, opens - 0.001) == []


async def test_hours_and_minutes_open_one_after_the_other(queue: Queue) -> None:
    await filled(queue, 500)
    await queue.set_caps({OURS: cap(per_day=100, per_hour=30, per_minute=10)}, NOON)
    sent = []
    for minute in range(240):
        taken = flat(leases := await granted(queue, 50, NOON + minute * MINUTE))
        await queue.settle([marked(lease) for lease in leases], NOON + minute * MINUTE + 1)
        sent.append(len(taken))
    assert [sum(sent[hour * 60 : hour * 60 + 60]) for hour in range(4)] == [30, 30, 30, 10]
    assert max(sent) == 10


async def test_where_no_cap_is_known_a_lane_that_needs_one_gets_nothing(queue: Queue) -> None:
    await filled(queue, 10)
    refused = await granted(queue, 5, NOON)
    assert refused == []
    assert [(wait.window, wait.opens) for wait in refused.waits] == [(Window.UNPLANNED, 0.0)]
    assert len(flat(await queue.lease([wish(5)], NOON))) == 5, "a warm one needs none"


async def test_a_cap_binds_whoever_asks_and_whatever_he_believes(queue: Queue) -> None:
    await filled(queue, 50)
    await queue.set_caps({OURS: cap(per_day=5)}, NOON)
    answer = await queue.lease([wish(20)], NOON)
    assert (len(flat(answer)), (await queue.lease([wish(20)], NOON)).waits[0].window) == (5, Window.DAY)


async def test_behind_the_days_end_and_before_its_beginning_nothing_goes(queue: Queue) -> None:
    await filled(queue, 10)
    await queue.set_caps({OURS: cap()}, NOON)
    for now, window, opens in ((MIDNIGHT + 86_400, Window.UNPLANNED, 0.0), (MIDNIGHT + 90_000, Window.UNPLANNED, 0.0)):
        refused = await granted(queue, 5, now)
        assert (refused, refused.waits[0].window, refused.waits[0].opens) == ([], window, opens)
    await queue.set_caps({OURS: cap(day=DAY + 2)}, MIDNIGHT + 90_000)
    early = await granted(queue, 5, MIDNIGHT + 90_000)
    assert (early, early.waits[0].window, early.waits[0].opens) == ([], Window.DAY, MIDNIGHT + 2 * 86_400)
    assert len(flat(await granted(queue, 5, MIDNIGHT + 2 * 86_400))) == 5


async def test_who_gets_nothing_because_nothing_is_ready_is_told_of_no_cap(queue: Queue) -> None:
    await queue.set_caps({OURS: cap()}, NOON)
    answer = await granted(queue, 5, NOON)
    assert (answer, answer.waits) == ([], ())


async def test_lanes_of_one_route_have_a_cap_each(queue: Queue) -> None:
    await filled(queue, 100, pack_size=10)
    second = LaneId(source="s2", receiver=LANE.receiver)
    await queue.set_caps({OURS: cap(per_day=5), Account.of(second, ROUTE): cap(per_day=7)}, NOON)
    answer = await queue.lease(
        [capped(50), capped(50, lane=second), capped(50, lane=LaneId(source="s3", receiver="google"))], NOON
    )
    leased = Counter(lease.lane.source for lease in answer for _ in lease.envelopes)
    assert leased == {"s1": 5, "s2": 7}
    assert [(wait.lane.source, wait.window) for wait in answer.waits] == [("s3", Window.UNPLANNED)]


async def test_a_lease_says_when_its_sending_day_ends(queue: Queue) -> None:
    await filled(queue, 10)
    (free,) = await queue.lease([wish(5)], NOON)
    assert free.day_ends == float("inf")
    await queue.set_caps({OURS: cap()}, NOON)
    (bound,) = await granted(queue, 5, NOON)
    assert bound.day_ends == MIDNIGHT + 86_400


# --- what comes back


async def test_what_was_not_used_is_there_again(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_day=30)}, NOON)
    (lease,) = await granted(queue, 30, NOON)
    await queue.settle([marked(lease, range(12))], NOON)
    await queue.settle([released(lease, range(12, 20))], NOON)
    await queue.settle([marked(lease, range(20, 23), Mark.LIMITED)], NOON)
    assert await counts(queue, NOON) == (19, 19, 19, 7)
    assert len(flat(await granted(queue, 50, NOON))) == 11


async def test_only_what_is_settled_for_the_first_time_counts(queue: Queue) -> None:
    await filled(queue, 30)
    await queue.set_caps({OURS: cap(per_day=20)}, NOON)
    (lease,) = await granted(queue, 20, NOON)
    for _ in range(3):
        await queue.settle([marked(lease, range(5)), released(lease, range(5, 8)), released(lease, range(2, 8))], NOON)
    assert await counts(queue, NOON) == (17, 17, 17, 12)
    assert (await used(queue, NOON)).marks == {DAY: {Mark.DELIVERED: 5}}
    await queue.settle([marked(lease)], NOON)
    for _ in range(2):
        await queue.settle([released(lease)], NOON)
    assert await counts(queue, NOON) == (17, 17, 17, 0)


@pytest.mark.parametrize("mark", list(Mark))
async def test_each_mark_uses_its_unit_or_does_not(queue: Queue, mark: Mark) -> None:
    await filled(queue, 10)
    await queue.set_caps({OURS: cap()}, NOON)
    (lease,) = await granted(queue, 10, NOON)
    await queue.settle([marked(lease, mark=mark)], NOON)
    assert await counts(queue, NOON) == ((10 if mark.uses else 0),) * 3 + (0,)
    assert (await used(queue, NOON)).marks == {DAY: {mark: 10}}


async def test_what_a_pack_holds_beyond_the_cap_takes_no_unit(queue: Queue) -> None:
    await filled(queue, 200, pack_size=200)
    await queue.set_caps({OURS: cap(per_day=3)}, NOON)
    (lease,) = await granted(queue, 100, NOON)
    assert len(lease.envelopes) == 3
    await queue.settle([released(lease)], NOON)
    assert await counts(queue, NOON) == (0, 0, 0, 0)
    assert sum((await queue.depth(NOON)).ready.values()) == 200


# --- from one window to the next


async def test_a_window_begins_with_what_is_outstanding(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_minute=20)}, NOON)
    (lease,) = await granted(queue, 20, NOON + 59)
    await queue.settle([marked(lease, range(6))], NOON + 59.5)
    assert await counts(queue, NOON + 60) == (20, 20, 14, 14)
    assert len(flat(await granted(queue, 50, NOON + 60))) == 6


async def test_what_is_sent_behind_a_windows_end_counts_there_whenever_it_is_settled(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_minute=10)}, NOON)
    (lease,) = await granted(queue, 10, NOON + 59)
    await queue.settle([marked(lease)], NOON + 61)
    assert await granted(queue, 10, NOON + 119) == []
    assert len(flat(await granted(queue, 10, NOON + 120))) == 10


async def test_what_comes_back_behind_a_windows_end_is_there_in_the_next(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_minute=10)}, NOON)
    (lease,) = await granted(queue, 10, NOON + 59)
    await queue.settle([released(lease)], NOON + 61)
    assert len(flat(await granted(queue, 50, NOON + 61))) == 10


async def test_the_next_day_begins_with_what_is_outstanding(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_day=10)}, NOON)
    (lease,) = await granted(queue, 10, MIDNIGHT + 86_390)
    await queue.settle([marked(lease, range(4))], MIDNIGHT + 86_395)
    await queue.settle([marked(lease, range(4, 6))], MIDNIGHT + 86_401)  # sent behind midnight, before the day was planned
    await queue.set_caps({OURS: cap(per_day=10, day=DAY + 1)}, MIDNIGHT + 86_403)
    assert await counts(queue, MIDNIGHT + 86_403) == (6, 6, 6, 4)
    assert len(flat(await granted(queue, 50, MIDNIGHT + 86_403))) == 4


# --- caps that change


async def test_the_same_cap_told_again_changes_nothing(queue: Queue) -> None:
    await filled(queue, 100)
    for _ in range(3):
        await queue.set_caps({OURS: cap(per_day=30)}, NOON)
        await granted(queue, 5, NOON)
    assert await counts(queue, NOON) == (15, 15, 15, 15)


async def test_other_numbers_for_the_same_day_keep_what_is_counted(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_day=10)}, NOON)
    await granted(queue, 10, NOON)
    await queue.set_caps({OURS: cap(per_day=25)}, NOON)
    assert len(flat(await granted(queue, 50, NOON))) == 15
    await queue.set_caps({OURS: cap(per_day=5)}, NOON)
    assert (await granted(queue, 50, NOON)).waits[0].most == 5


async def test_an_earlier_day_does_not_come_back(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_day=10, day=DAY)}, NOON)
    await queue.set_caps({OURS: cap(per_day=90, day=DAY - 1, starts=MIDNIGHT)}, NOON)
    assert len(flat(await granted(queue, 50, NOON))) == 10
    assert (await used(queue, NOON)).cap == cap(per_day=10)


async def test_a_lane_that_is_lifted_goes_on_being_counted(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_day=10)}, NOON)
    await granted(queue, 5, NOON)
    for _ in range(2):
        await queue.set_caps({OURS: None}, NOON)
    assert (await used(queue, NOON)).cap is None
    assert (await granted(queue, 5, NOON)).waits[0].window is Window.UNPLANNED
    assert len(flat(await queue.lease([wish(20)], NOON))) == 20
    await queue.set_caps({OURS: cap(per_day=40)}, NOON)
    assert len(flat(await granted(queue, 50, NOON))) == 15


async def test_a_lane_that_gets_its_first_cap_begins_with_what_it_holds(queue: Queue) -> None:
    await filled(queue, 100)
    (lease,) = await queue.lease([wish(20)], NOON)
    await queue.settle([marked(lease, range(8))], NOON)
    await queue.set_caps({OURS: cap(per_day=20)}, NOON)
    assert await counts(queue, NOON) == (12, 12, 12, 12)
    await queue.set_caps({OURS: None}, NOON)
    assert await counts(queue, NOON) == (12, 12, 12, 12)


async def test_where_time_is_divided_anew_what_is_not_known_counts_as_used(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_hour=10)}, NOON)
    (lease,) = await granted(queue, 6, NOON + 10)
    await queue.settle([marked(lease)], NOON + 10)
    await queue.set_caps({OURS: cap(per_hour=10, starts=MIDNIGHT + 1800)}, NOON + 20)  # the hour now began at 11:30
    assert (await granted(queue, 10, NOON + 1799)).waits[0].window is Window.HOUR
    assert len(flat(await granted(queue, 50, NOON + 1800))) == 10


async def test_what_comes_back_after_that_was_not_what_is_not_known(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_hour=10)}, NOON - 60)
    (sent,) = await granted(queue, 9, NOON - 60)
    await queue.settle([marked(sent)], NOON - 60)
    (lease,) = await granted(queue, 6, NOON + 10)
    await queue.set_caps({OURS: cap(per_hour=10, starts=MIDNIGHT + 1800)}, NOON + 20)  # the nine are of its hour, too
    await queue.settle([released(lease)], NOON + 20)
    assert await granted(queue, 10, NOON + 20) == []


# --- clocks


async def test_an_earlier_time_opens_no_window_again(queue: Queue) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_minute=10)}, NOON)
    (lease,) = await granted(queue, 10, NOON + 60)
    await queue.settle([marked(lease)], NOON + 60)
    for now in (NOON, NOON - 600, NOON + 119):
        assert (await granted(queue, 10, now)).waits[0].opens == NOON + 120
    assert len(flat(await granted(queue, 10, NOON + 120))) == 10


# --- who dies


@pytest.mark.parametrize(("told", "count"), [(False, 9), (True, 2)])
async def test_what_the_dead_held_counts_as_used_unless_their_journal_has_told_all(
    queue: Queue, told: bool, count: int
) -> None:
    await filled(queue, 100)
    await queue.set_caps({OURS: cap(per_day=30)}, NOON)
    await queue.join("host/a")
    (lease,) = await granted(queue, 10, NOON, owner="host/a")
    await queue.settle([marked(lease, [0, 1]), marked(lease, [2], Mark.LIMITED)], NOON)
    await queue.fence({"host/a": None}, told=told)
    assert await queue.reclaim(NOON) == 7
    assert await counts(queue, NOON) == (count, count, count, 0)
    assert len(flat(await granted(queue, 50, NOON, owner="host/c"))) == 30 - count


async def test_a_journal_may_tell_after_others_have_noticed(queue: Queue) -> None:
    await filled(queue, 20)
    await queue.set_caps({OURS: cap()}, NOON)
    await queue.join("host/a")
    await granted(queue, 10, NOON, owner="host/a")
    await queue.fence({"host/a": None})
    await queue.fence({"host/a": None}, told=True)
    await queue.fence({"host/a": None})
    await queue.reclaim(NOON)
    assert await counts(queue, NOON) == (0, 0, 0, 0)


async def test_what_a_dead_owner_may_have_sent_counts_in_the_window_in_which_it_is_found(queue: Queue) -> None:
    await filled(queue, 40)
    await queue.set_caps({OURS: cap(per_minute=10)}, NOON)
    await queue.join("host/a")
    await granted(queue, 10, NOON, owner="host/a")
    await queue.fence({"host/a": None})
    await queue.reclaim(NOON + 61)
    assert await granted(queue, 10, NOON + 62, owner="host/b") == []
    assert len(flat(await granted(queue, 10, NOON + 120, owner="host/b"))) == 10


# --- what came of it


async def test_marks_are_counted_by_the_sending_day_of_their_lease(queue: Queue) -> None:
    await filled(queue, 40)
    (lease,) = await queue.lease([wish(4)], NOON - 86_400)
    await queue.settle([marked(lease, [0, 1]), marked(lease, [2, 3], Mark.BOUNCED)], NOON)
    await queue.set_caps({OURS: cap(day=DAY + 7, starts=NOON)}, NOON)
    (lease,) = await granted(queue, 4, NOON)
    await queue.settle([marked(lease, mark=Mark.BLOCKED)], MIDNIGHT + 90_000)
    yesterday = datetime.fromtimestamp(NOON - 86_400, UTC).date().toordinal()
    assert (await used(queue, NOON)).marks == {
        yesterday: {Mark.DELIVERED: 2, Mark.BOUNCED: 2},
        DAY + 7: {Mark.BLOCKED: 4},
    }


async def test_what_is_too_old_is_forgotten_with_the_first_of_a_new_day(queue: Queue) -> None:
    await filled(queue, 40)
    for day in (0, 1, DAYS_KEPT, DAYS_KEPT + 1):
        (lease,) = await queue.lease([wish(4)], NOON + day * 86_400)
        await queue.settle([marked(lease)], NOON + day * 86_400)
    assert len((await used(queue, NOON)).marks) == 3


async def test_complaints_are_counted_by_day(queue: Queue) -> None:
    for account in (OURS, Account("s1/other"), Account("@shop.example")):
        await queue.complain(account, DAY, 2)
        await queue.complain(account, DAY, 1)
        await queue.complain(account, DAY + 1, 4)
        assert (await used(queue, NOON, account)).complaints == {DAY: 3, DAY + 1: 4}


async def test_an_identity_has_statistics_over_all_lanes(queue: Queue) -> None:
    other = Route(pool="main", receiver="orange")
    await filled(queue, 10)
    await filled(queue, 10, campaign="summer", route=other)
    leases = [
        *await queue.lease([wish(10)], NOON),
        *await queue.lease([wish(10, lane=LaneId(source="s1", receiver="orange"), route=other)], NOON),
    ]
    await queue.settle([replace(marked(lease), identity="@shop.example") for lease in leases], NOON)
    (marks,) = (await used(queue, NOON, Account("@shop.example"))).marks.values()
    assert marks == {Mark.DELIVERED: 20}
    assert list((await used(queue, NOON)).marks.values()) == [{Mark.DELIVERED: 10}]


async def test_what_nobody_knows_has_counted_nothing(queue: Queue) -> None:
    assert await counts(queue, NOON, Account("s9/other")) == (0, 0, 0, 0)
    assert await queue.use([], NOON) == {}
