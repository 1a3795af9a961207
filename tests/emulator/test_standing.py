"""How a receiver gains and loses trust in a source, on a clock of our own."""

from dataclasses import replace

from workers.emulator.behaviour import Behaviour, Trust
from workers.emulator.standing import Mood, Standing

DAY_S, HOUR_S = 86_400.0, 3_600.0
START = 20_000 * DAY_S

PATIENT = Trust(first_day=240, insistence=1_000.0)


def send(standing: Standing, count: int, now: float) -> list[Mood]:
    moods = []
    for _ in range(count):
        mood = standing.admit(now)
        moods.append(mood)
        if mood is Mood.WELCOME:
            standing.recipient(unknown=False, now=now)
            standing.accepted(complains=False, now=now)
    return moods


def test_rate_lets_a_burst_through_and_then_as_many_as_it_says() -> None:
    standing = Standing(Behaviour(messages_per_s=2.0, burst=5))
    assert send(standing, 8, START).count(Mood.WELCOME) == 5
    assert send(standing, 8, START + 1.0).count(Mood.WELCOME) == 2
    assert send(standing, 100, START + 1_000.0).count(Mood.WELCOME) == 5  # idle time is not saved up beyond the burst


def days(standing: Standing, *volumes: int) -> list[int]:
    """Send so many on each day, by the hour; how many of each day were taken."""
    taken = []
    for day, volume in enumerate(volumes):
        spread = [send(standing, volume // 8, START + day * DAY_S + hour * HOUR_S) for hour in range(8)]
        taken.append(sum(moods.count(Mood.WELCOME) for moods in spread))
    return taken


def test_volume_may_grow_from_day_to_day_but_not_jump() -> None:
    standing = Standing(Behaviour(trust=PATIENT))
    assert days(standing, 240, 400, 640) == [240, 400, 640]  # each below twice the mean of the days before
    assert standing.usual(START + 3 * DAY_S) == (240 + 400 + 640) / 3
    jump = send(standing, 2_000, START + 3 * DAY_S)
    assert jump.count(Mood.WELCOME) == 854 // 3 + 1  # an hour takes a third of the day's measure
    assert jump[-1] is Mood.SLOWED
    assert standing.offences == 0


def test_what_is_over_the_day_goes_as_a_trickle() -> None:
    standing = Standing(Behaviour(trust=PATIENT))
    assert days(standing, 240) == [240]
    later = START + DAY_S
    by_hour = [send(standing, 300, later + hour * HOUR_S).count(Mood.WELCOME) for hour in range(6)]
    assert by_hour == [160, 160, 160, 20, 20, 20]  # twice 240, then a 24th of that an hour


def test_a_day_on_which_it_was_slowed_earns_little() -> None:
    good, slowed = Standing(Behaviour(trust=PATIENT)), Standing(Behaviour(trust=PATIENT))
    assert days(good, 240, 480)[1] == 480
    assert days(slowed, 240, 960)[1] > 480
    assert slowed.usual(START + 2 * DAY_S) < good.usual(START + 2 * DAY_S)


def test_who_goes_on_when_told_to_slow_down_is_deferred_and_loses_half() -> None:
    trust = replace(PATIENT, insistence=0.25, defer_s=3_600.0)
    standing = Standing(Behaviour(trust=trust))
    days(standing, 240)
    moods = send(standing, 400, START + DAY_S)
    assert moods.count(Mood.SLOWED) == 120  # a quarter of the 480 that this day may have
    assert moods[-1] is Mood.DEFERRED
    assert standing.offences == 1
    assert standing.usual(START + DAY_S) == 120


def test_of_few_messages_nobody_says_that_they_insist() -> None:
    standing = Standing(Behaviour(trust=replace(PATIENT, first_day=24, insistence=0.25)))
    assert send(standing, 8 + 19, START).count(Mood.SLOWED) == 19  # of 24 a day, 8 an hour
    assert standing.offences == 0
    send(standing, 1, START)
    assert standing.offences == 1


def test_what_was_answered_for_is_not_held_against_it_again() -> None:
    standing = Standing(Behaviour(trust=replace(PATIENT, insistence=0.25, defer_s=1_800.0)))
    assert send(standing, 240, START)[-1] is Mood.DEFERRED
    assert send(standing, 1, START + 1_800.0) == [Mood.SLOWED]
    assert standing.offences == 1


def test_growth_is_slower_where_there_is_more() -> None:
    trust = replace(PATIENT, growth=((1_000, 2.0), (10**12, 1.2)), hour_share=1.0)
    standing = Standing(Behaviour(trust=trust))
    assert days(standing, 240, 480, 720, 960) == [240, 480, 720, 960]
    taken = send(standing, 2_000, START + 4 * DAY_S).count(Mood.WELCOME)
    assert taken == 1_440  # twice the mean of 720, which is below 1,000
    assert send(standing, 2_000, START + 5 * DAY_S).count(Mood.WELCOME) < 1.2 * 1_440 + 1


def test_after_a_long_rest_a_quarter_is_left() -> None:
    for rest, left in ((30, 240), (31, 60)):
        standing = Standing(Behaviour(trust=PATIENT))
        days(standing, 240)
        assert standing.usual(START + rest * DAY_S) == left


def test_a_handful_on_a_sunday_takes_nothing_away() -> None:
    standing = Standing(Behaviour(trust=PATIENT))
    days(standing, 240, 16)
    assert standing.usual(START + 2 * DAY_S) == 240


def test_offences_defer_then_block_then_are_forgiven() -> None:
    trust = Trust(judged_from=10, unknown_share=0.5, defer_s=3_600.0, block_s=14_400.0, forgive_s=DAY_S)
    standing = Standing(Behaviour(trust=trust, connections=20))
    assert standing.connections(START) == 20
    offend(standing, START)
    assert standing.mood(START + 3_599.0) is Mood.DEFERRED
    assert standing.mood(START + 3_600.0) is Mood.WELCOME
    assert standing.connections(START) == 10
    offend(standing, START + 3_600.0)
    assert standing.mood(START + 3_600.0 + 7_199.0) is Mood.DEFERRED  # twice as long
    offend(standing, START + 11_000.0)
    assert standing.offences == 3
    assert standing.connections(START + 11_000.0) == 2
    assert standing.mood(START + 11_001.0) is Mood.BLOCKED
    assert standing.mood(START + 11_000.0 + 14_400.0) is Mood.WELCOME
    later = START + 11_000.0 + 3 * DAY_S
    assert standing.connections(later) == 20
    offend(standing, later)
    assert standing.offences == 1


def test_where_deferrals_do_not_grow_each_is_as_long_as_the_first() -> None:
    trust = Trust(judged_from=10, unknown_share=0.5, defer_s=3_600.0, defer_grows=1.0)
    standing = Standing(Behaviour(trust=trust))
    for now in (START, START + 3_600.0):
        offend(standing, now)
        assert standing.mood(now + 3_599.0) is Mood.DEFERRED
        assert standing.mood(now + 3_600.0) is Mood.WELCOME


def offend(standing: Standing, now: float) -> None:
    """Write to people who don't exist until that is held against the source."""
    before = standing.mood(now)
    assert before is Mood.WELCOME
    while standing.mood(now) is Mood.WELCOME:
        standing.recipient(unknown=True, now=now)


def test_who_is_barred_is_blocked_until_then() -> None:
    standing = Standing(Behaviour())
    standing.bar(START + 2 * DAY_S)
    standing.bar(START + HOUR_S)  # by another list, and not for as long
    assert send(standing, 1, START + DAY_S) == [Mood.BLOCKED]
    assert send(standing, 1, START + 2 * DAY_S) == [Mood.WELCOME]


def test_an_offence_of_who_is_barred_makes_nothing_easier() -> None:
    """A message that was under way when the bar came down is judged like any other."""
    standing = Standing(Behaviour(trust=Trust(judged_from=10, unknown_share=0.5, defer_s=3_600.0)))
    standing.bar(START + 2 * DAY_S)
    while not standing.offences:
        standing.recipient(unknown=True, now=START)
    assert standing.mood(START) is standing.mood(START + DAY_S) is Mood.BLOCKED


def test_unknown_users_are_judged_by_their_share_once_enough_were_tried() -> None:
    standing = Standing(Behaviour(trust=Trust(judged_from=100, unknown_share=0.10)))
    for place in range(99):
        standing.recipient(unknown=place % 5 == 0, now=START)
    assert standing.mood(START) is Mood.WELCOME
    for place in range(10):
        standing.recipient(unknown=place % 5 == 0, now=START)
    assert standing.mood(START) is Mood.DEFERRED


def test_a_few_unknown_users_are_nothing() -> None:
    standing = Standing(Behaviour(trust=Trust(judged_from=100, unknown_share=0.10)))
    for place in range(5_000):
        standing.recipient(unknown=place % 20 == 0, now=START)
    assert standing.mood(START) is Mood.WELCOME


def test_complaints_past_the_line_defer_and_old_ones_fade() -> None:
    standing = Standing(Behaviour(trust=Trust(complaints_from=1_000, complaint_share=0.003, memory_s=DAY_S)))
    for place in range(990):
        standing.accepted(complains=place in (0, 1), now=START)  # before anything is judged
    assert standing.mood(START) is Mood.WELCOME
    for place in range(20):
        standing.accepted(complains=place > 17, now=START)
    assert standing.mood(START) is Mood.DEFERRED
    assert standing.mood(START + 100 * DAY_S) is Mood.WELCOME


def test_some_complaints_keep_volume_from_growing() -> None:
    trust = replace(PATIENT, first_day=2_400, complaints_from=1_000, complaint_unease=0.001)
    calm, uneasy = Standing(Behaviour(trust=trust)), Standing(Behaviour(trust=trust))
    for standing in (calm, uneasy):
        days(standing, 2_400)
    for _ in range(4):
        uneasy.accepted(complains=True, now=START + 8 * HOUR_S)
    later = START + DAY_S
    assert send(calm, 2_400, later).count(Mood.WELCOME) == 1_600  # a third of twice as much
    assert send(uneasy, 2_400, later).count(Mood.WELCOME) == 882  # a third of little more than it is used to
