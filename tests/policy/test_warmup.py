"""Progress, day by day: what promotes a lane, what repeats, holds, steps back or stops it, and the words for each."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sender.model import UNLIMITED
from sender.policy import by_hand
from sender.policy.gates import Tally
from sender.policy.plan import Plan, Shares, Stage
from sender.policy.progress import UNTIL_RESUMED, Progress, What, Word
from sender.policy.warmup import Decision, begin, cap_of, close, decide, unpromoted

VOLUMES = (100, 200, 400, 800)
PLAN = Plan(name="p", stages=tuple(Stage.of(day, shares=Shares()) for day in VOLUMES))
START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
FULL = Tally(delivered=96, deferred=1, used=100)


def on(day: float) -> float:
    """Unix seconds, so many days after the start."""
    return START + day * DAY_S


def at_stage(stage: int, plan: Plan = PLAN) -> Progress:
    return begin(plan, on(0), stage).progress


def after(progress: Progress, tally: Tally, plan: Plan = PLAN, days: float = 1.0) -> Decision:
    """The decision once the day it counts is over, or so many days after its beginning."""
    start = on(progress.day - at_stage(0).day)
    return decide(plan, progress, tally, start + days * DAY_S)


def test_a_new_lane_begins_at_the_first_stage() -> None:
    decision = begin(PLAN, on(0.5))
    assert (decision.what, decision.why) == (What.BEGIN, "begins at stage 1 of 4 (100 a day)")
    assert decision.progress.day == decision.progress.since == datetime(2026, 3, 2, tzinfo=UTC).toordinal()


def test_a_day_used_up_and_delivered_promotes() -> None:
    decision = after(at_stage(0), FULL)
    assert (decision.what, decision.progress.stage, decision.progress.days) == (What.PROMOTE, 1, 1)
    assert decision.why == "on to stage 2 of 4 (200 a day): 96 of 100 were delivered, and the gates held"
    assert decision.progress.last == Word(what=What.PROMOTE, why=decision.why, at=on(1))


def test_during_the_day_nothing_promotes() -> None:
    assert decide(PLAN, at_stage(0), FULL, on(0.99)).what is What.KEEP


@pytest.mark.parametrize(
    ("tally", "what", "why"),
    [
        (Tally(), What.IDLE, "nothing was sent on 2026-03-02"),
        (Tally(delivered=89, used=95), What.REPEAT, "stage 2 of 4 (200 a day) again: 89 of 200 were delivered, less than 90%"),
        (
            Tally(delivered=179, used=200),
            What.REPEAT,
            "stage 2 of 4 (200 a day) again: 179 of 200 were delivered, less than 90%",
        ),
        (Tally(delivered=182, deferred=2, used=190), What.PROMOTE, "on to stage 3 of 4 (400 a day): 182 of 200 were delivered"),
        (Tally(delivered=182, deferred=8, used=190), What.HOLD, "stage 2 of 4 (200 a day) is held: deferral 4.21% (8 of 190)"),
        (Tally(delivered=190, bounced=4, used=194), What.HOLD, "stage 2 of 4 (200 a day) is held: bounce 2.06% (4 of 194)"),
        (Tally(delivered=190, bounced=9, used=199), What.HOLD, "stage 2 of 4 (200 a day) is held: bounce 4.52%"),
        (
            Tally(delivered=190, bounced=11, used=200),
            What.STEP_BACK,
            "back to stage 1 of 4 (100 a day): bounce 5.47% (11 of 201)",
        ),
        (Tally(delivered=190, blocked=1, used=200), What.STEP_BACK, "back to stage 1 of 4 (100 a day): block 0.52% (1 of 191)"),
        (Tally(delivered=190, complaints=2, used=200), What.PROMOTE, "on to stage 3 of 4"),  # two are chance
        (Tally(delivered=2_900, complaints=3, used=200), What.HOLD, "stage 2 of 4 (200 a day) is held: complaint 0.10%"),
        (Tally(delivered=190, deferred=60, used=200), What.STEP_BACK, "back to stage 1 of 4 (100 a day): deferral 24.00%"),
        (
            Tally(delivered=100, blocked=50, used=150),
            What.STOP,
            "stopped until 2026-03-04, then stage 1 of 4 (100 a day): block 33.33% (50 of 150), the limit is 20%",
        ),
    ],
)
def test_what_a_day_comes_to(tally: Tally, what: What, why: str) -> None:
    decision = after(at_stage(1), tally)
    assert decision.what is what
    assert decision.why.startswith(why)
    assert decision.told == (what is not What.IDLE)


def test_a_day_without_volume_is_no_sending_day() -> None:
    friday = at_stage(1)
    monday = after(friday, Tally(), days=3).progress
    assert monday == replace(friday, day=friday.day + 3)


def test_complaints_of_a_day_without_volume_count_on_the_next() -> None:
    quiet = after(at_stage(1), Tally(complaints=3)).progress
    assert "complaint 1.58% (3 of 190)" in after(quiet, Tally(delivered=190, used=190)).why


def test_complaints_of_the_morning_are_a_share_of_the_day_before() -> None:
    progress = after(at_stage(3), Tally(delivered=700, used=720)).progress
    assert decide(PLAN, replace(progress, before=4_000), Tally(delivered=60, complaints=3, used=60), on(1.1)).what is What.KEEP
    decision = decide(PLAN, progress, Tally(delivered=60, complaints=3, used=60), on(1.1))
    assert (decision.what, "complaint 0.43% (3 of 700)" in decision.why) == (What.STEP_BACK, True)
    rested = after(progress, Tally(), days=40).progress
    assert decide(PLAN, rested, Tally(delivered=60, complaints=3, used=60), on(41.1)).what is What.STOP


def test_days_that_nobody_judged_change_nothing() -> None:
    """The scheduler was away from Friday to Monday: Friday is judged by what it had, and Monday begins."""
    decision = after(at_stage(1), Tally(delivered=200, used=200), days=3.5)
    assert (decision.what, decision.progress.stage) == (What.PROMOTE, 2)
    assert decision.progress.day == at_stage(0).day + 3


def test_the_last_stage_makes_warm() -> None:
    decision = after(at_stage(3), Tally(delivered=800, used=800))
    assert (decision.what, decision.progress.warm, decision.progress.volume) == (What.WARM, True, 800)
    assert cap_of(PLAN, decision.progress, PLAN.day(on(1))).per_day == UNLIMITED
    assert after(decision.progress, Tally(delivered=5, used=5)).what is What.KEEP


def test_a_warm_lane_that_is_blocked_goes_back_to_the_last_stage() -> None:
    warm = after(at_stage(3), Tally(delivered=800, used=800)).progress
    decision = after(warm, Tally(delivered=900, blocked=9, used=909))
    assert (decision.what, decision.progress.stage, decision.progress.warm) == (What.STEP_BACK, 3, False)


def test_small_days_are_judged_together() -> None:
    plan = Plan(name="p", stages=tuple(Stage.of(day, shares=Shares()) for day in (10, 20, 30)))
    first = after(at_stage(0, plan), Tally(delivered=9, deferred=1, used=10), plan)
    assert (first.what, first.progress.carried.judged) == (What.PROMOTE, 10)
    second = after(first.progress, Tally(delivered=19, used=20), plan)
    assert (second.what, second.progress.carried.judged) == (What.PROMOTE, 29)
    third = after(second.progress, Tally(delivered=27, deferred=3, used=30), plan)
    assert third.why == "stage 3 of 3 (30 a day) is held: deferral 6.78% (4 of 59), the limit is 2%"
    assert third.progress.carried == Tally()


def test_each_stage_may_ask_for_several_days() -> None:
    plan = Plan(name="p", stages=PLAN.stages, stay=3)
    progress, seen = at_stage(0, plan), []
    for _ in range(4):
        decision = after(progress, Tally(delivered=200, used=200), plan)
        progress = decision.progress
        seen.append((decision.what, progress.stage, progress.passed))
    assert seen == [(What.REPEAT, 0, 1), (What.REPEAT, 0, 2), (What.PROMOTE, 1, 0), (What.REPEAT, 1, 1)]


def test_during_the_day_a_block_steps_back_once_and_the_day_is_held() -> None:
    blocked = Tally(delivered=150, blocked=2, used=152)
    first = decide(PLAN, at_stage(2), blocked, on(0.3))
    assert (first.what, first.progress.stage) == (What.STEP_BACK, 1)
    assert cap_of(PLAN, first.progress, PLAN.day(on(0.3))).per_day == 200
    again = decide(PLAN, first.progress, blocked + Tally(blocked=3, used=3), on(0.4))
    assert (again.what, again.progress) == (What.KEEP, first.progress)
    over = after(first.progress, Tally(delivered=250, blocked=5, used=255))
    assert (over.what, over.progress.stage) == (What.HOLD, 1)


def test_during_the_day_a_stop_ends_sending_until_it_is_over() -> None:
    stop = decide(PLAN, at_stage(2), Tally(delivered=60, blocked=40, used=100), on(0.3))
    assert (stop.what, stop.progress.stage) == (What.STOP, 1)
    assert cap_of(PLAN, stop.progress, PLAN.day(on(0.3))).per_day == 0
    quiet = after(stop.progress, Tally(delivered=60, blocked=40, used=100))
    assert (quiet.what, cap_of(PLAN, quiet.progress, PLAN.day(on(1))).per_day) == (What.HOLD, 0)
    over = after(quiet.progress, Tally())
    assert (over.what, over.why) == (What.RESUME, "the stop is over: goes on at stage 2 of 4 (200 a day)")
    assert cap_of(PLAN, over.progress, PLAN.day(on(2))).per_day == 200


def test_what_a_lane_was_stepped_back_for_is_not_held_against_it_again() -> None:
    small = replace(at_stage(2), carried=Tally(delivered=40, used=40))
    back = decide(PLAN, small, Tally(delivered=18, bounced=4, used=22), on(0.3))
    assert back.what is What.STEP_BACK
    over = after(back.progress, Tally(delivered=18, bounced=4, used=22)).progress
    assert over.carried == Tally()
    assert decide(PLAN, over, Tally(delivered=38, used=38), on(1.5)).what is What.KEEP


def test_what_an_operator_has_seen_is_not_held_against_a_lane_on_the_next_day() -> None:
    moved = by_hand.put(PLAN, at_stage(0), 2, by="a", why="", now=on(0.5)).progress
    over = after(moved, Tally(delivered=40, bounced=5, used=45)).progress
    assert decide(PLAN, over, Tally(delivered=20, used=20), on(1.5)).what is What.KEEP


def test_a_step_back_may_become_a_stop_on_the_same_day() -> None:
    back = decide(PLAN, at_stage(2), Tally(delivered=99, blocked=1, used=100), on(0.2)).progress
    stop = decide(PLAN, back, Tally(delivered=99, blocked=60, used=159), on(0.4))
    assert (stop.what, stop.progress.stage) == (What.STOP, 1)


def test_a_stop_may_last_until_somebody_resumes_it() -> None:
    plan = Plan(name="p", stages=PLAN.stages, stop_days=0)
    stop = decide(plan, at_stage(1, plan), Tally(delivered=60, blocked=40, used=100), on(0.3))
    assert stop.progress.stopped == UNTIL_RESUMED
    assert "until somebody resumes it" in stop.why
    later = after(stop.progress, Tally(), plan, days=400).progress
    assert cap_of(plan, later, plan.day(on(400))).per_day == 0
    freed = by_hand.resume(plan, later, by="ann@mta1", why="delisted", now=on(400)).progress
    assert cap_of(plan, freed, plan.day(on(400))).per_day == 100


def test_a_stop_that_was_a_mistake_leaves_nothing_behind() -> None:
    stop = decide(PLAN, at_stage(1), Tally(delivered=60, complaints=5, used=60), on(0.3)).progress
    freed = by_hand.resume(PLAN, stop, by="ann@mta1", why="another sender's", now=on(0.4)).progress
    decision = after(freed, Tally(delivered=100, complaints=5, used=100))
    assert (decision.what, decision.progress.stage) == (What.PROMOTE, 1)


def test_at_the_first_stage_there_is_no_way_back() -> None:
    decision = after(at_stage(0), Tally(delivered=99, blocked=1, used=100))
    assert decision.why.startswith("stays at stage 1 of 4 (100 a day): block 1.00%")


def test_a_reply_may_ask_for_no_promotion_on_its_day() -> None:
    today = at_stage(0).day
    held = unpromoted(PLAN, at_stage(0), "google/unusual-rate: 421 4.7.28 unusual rate", on(0.5)).progress
    assert held.unpromoted == today
    decision = after(held, FULL)
    assert decision.why == "stage 1 of 4 (100 a day) is held: google/unusual-rate: 421 4.7.28 unusual rate"
    assert after(decision.progress, FULL).what is What.PROMOTE
    assert unpromoted(PLAN, held, "another", on(0.6)).what is What.KEEP


@pytest.mark.parametrize(("stage", "lower"), [(3, 1), (2, 0), (0, 0)])
def test_after_idle_days_it_begins_lower(stage: int, lower: int) -> None:
    assert after(at_stage(stage), Tally(), days=30).what is What.IDLE
    decision = after(at_stage(stage), Tally(), days=31)
    assert (decision.what, decision.progress.stage) == (What.REWARM, lower)
    assert decision.why.endswith("nothing was sent for 30 days, 25% of the volume remains")
    assert after(decision.progress, Tally(), days=30).what is What.IDLE  # and not again at once
    assert after(decision.progress, Tally(), days=31).what is What.REWARM


def test_a_warm_lane_that_rests_warms_up_again() -> None:
    warm = after(at_stage(3), Tally(delivered=800, used=800)).progress
    decision = after(warm, Tally(), days=40)
    assert (decision.progress.stage, decision.progress.warm) == (1, False)


def test_a_plan_that_was_edited_puts_it_where_its_volume_is() -> None:
    longer = Plan(name="p", stages=tuple(Stage.of(day, shares=Shares()) for day in (50, 150, 300, 450, 900)))
    decision = decide(longer, at_stage(2), Tally(), on(0.5))
    assert (decision.what, decision.progress.stage, decision.progress.volume) == (What.REPLAN, 2, 300)
    assert decide(longer, decision.progress, Tally(), on(0.6)).what is What.KEEP


def test_a_warm_lane_stays_warm_where_the_new_plan_asks_for_no_more() -> None:
    warm = after(at_stage(3), Tally(delivered=800, used=800)).progress
    shorter, longer = (
        Plan(name="q", stages=PLAN.stages[:2]),
        Plan(name="q", stages=(*PLAN.stages, Stage.of(9_000, shares=Shares()))),
    )
    assert decide(shorter, warm, Tally(), on(1.5)).progress.warm
    assert decide(longer, warm, Tally(), on(1.5)).progress.stage == 3


def test_a_lane_at_the_last_stage_is_not_warm_by_another_plan() -> None:
    other = Plan(name="q", stages=PLAN.stages[1:])
    assert decide(other, at_stage(3), Tally(), on(0.5)).progress.stage == 2


def test_time_that_goes_back_changes_nothing() -> None:
    progress = after(at_stage(0), FULL).progress
    assert decide(PLAN, progress, FULL, on(-3)).progress == progress


def test_days_are_those_of_the_plan_s_zone() -> None:
    plan = Plan(name="p", stages=PLAN.stages, zone=ZoneInfo("Pacific/Auckland"))
    progress = begin(plan, on(0)).progress
    assert decide(plan, progress, FULL, on(0.45)).what is What.KEEP
    assert decide(plan, progress, FULL, on(0.46)).what is What.PROMOTE  # 11:02 UTC: midnight in Auckland


def test_an_operator_s_hold_lasts_until_it_is_resumed() -> None:
    held = by_hand.hold(at_stage(0), by="ann@mta1", why="new list", now=on(0.1)).progress
    decision = after(held, FULL)
    assert decision.why == "stage 1 of 4 (100 a day) is held: by ann@mta1: new list"
    again = after(decision.progress, FULL)
    assert again.what is What.HOLD
    freed = by_hand.resume(PLAN, again.progress, by="bob@mta1", why="", now=on(2.1))
    assert (freed.what, freed.progress.last) == (
        What.RELEASED,
        Word(what=What.RELEASED, why="stage 1 of 4 (100 a day)", at=on(2.1), by="bob@mta1"),
    )
    assert after(freed.progress, FULL).what is What.PROMOTE


def test_an_operator_moves_a_lane_and_that_day_moves_it_no_more() -> None:
    bad = Tally(delivered=60, blocked=40, used=100)
    assert (
        by_hand.advance(PLAN, at_stage(0), by="a", why="it is fine", now=on(0.5)).why == "stage 2 of 4 (200 a day): it is fine"
    )
    assert by_hand.reset(PLAN, at_stage(3), by="a", why="", now=on(0.5)).progress.stage == 0
    moved = by_hand.put(PLAN, at_stage(0), 2, by="a", why="", now=on(0.5)).progress
    assert decide(PLAN, moved, bad, on(0.6)).what is What.KEEP
    assert after(moved, bad).what is What.REPEAT
    assert decide(PLAN, after(moved, bad).progress, bad, on(1.2)).what is What.STOP
    assert by_hand.put(PLAN, at_stage(0), 99, by="a", why="", now=on(0.5)).progress.warm


def test_progress_is_written_and_read() -> None:
    progress = by_hand.hold(at_stage(2), by="a", why="b", now=on(0)).progress
    assert Progress.decode(progress.encode()) == progress
    assert b'"plan":"p"' in progress.encode()
    assert Progress.decode(progress.encode()[:-1] + b',"since_then":1}') == progress  # of a newer version
    for body in (b"", b"{}", b'{"plan":1}', b"\xff"):
        with pytest.raises(ValueError):
            Progress.decode(body)


TALLIES = st.builds(
    lambda delivered, deferred, blocked, bounced, complaints: Tally(
        delivered=delivered,
        deferred=deferred,
        blocked=blocked,
        bounced=bounced,
        complaints=complaints,
        used=delivered + deferred + blocked + bounced,
    ),
    *(st.integers(0, most) for most in (900, 30, 30, 30, 5)),
)


@given(st.lists(st.tuples(TALLIES, st.sampled_from([0.2, 0.7, 1.0, 3.0, 40.0])), max_size=40))
def test_whatever_comes_it_never_skips_a_stage_and_always_has_a_word(days: list[tuple[Tally, float]]) -> None:
    progress, now = at_stage(0), on(0)
    for tally, passed in days:
        now += passed * DAY_S
        decision = decide(PLAN, progress, tally, now)
        assert decision.progress.stage <= progress.stage + 1
        assert 0 <= decision.progress.stage <= len(VOLUMES)
        assert decision.progress.warm == (decision.progress.stage == len(VOLUMES))
        assert decision.why or decision.what is What.KEEP
        assert decision.progress.day >= progress.day
        assert Progress.decode(decision.progress.encode()) == decision.progress
        if decision.what is What.PROMOTE:
            assert tally.delivered >= 0.9 * VOLUMES[progress.stage]
            assert decision.progress.day > progress.day
        still = decide(PLAN, decision.progress, Tally(), now)
        assert still.what is What.KEEP
        progress = decision.progress


@given(TALLIES)
def test_more_blocks_and_complaints_never_help(tally: Tally) -> None:
    def rank(judged: Tally) -> int:
        progress = close(PLAN, at_stage(1), judged, on(1)).progress
        return progress.stage - 10 * progress.stopped_on(progress.day + 1)

    for worse in (Tally(blocked=5, used=5), Tally(complaints=3)):
        assert rank(tally + worse) <= rank(tally)
