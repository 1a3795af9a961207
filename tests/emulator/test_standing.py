"""How a receiver gains and loses trust in a source, on a clock of our own."""

from workers.emulator.behaviour import Behaviour, Trust
from workers.emulator.standing import Mood, Standing

DAY_S = 86_400.0
START = 20_000 * DAY_S


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


def test_volume_may_grow_from_day_to_day_but_not_jump() -> None:
    trust = Trust(first_day=100, growth=2.0, defer_s=3_600.0)
    standing = Standing(Behaviour(trust=trust))
    assert send(standing, 100, START) == [Mood.WELCOME] * 100
    assert send(standing, 2, START) == [Mood.SLOWED, Mood.DEFERRED]
    assert send(standing, 201, START + DAY_S).count(Mood.WELCOME) == 200
    assert standing.today == 200


def test_offences_defer_then_block_then_are_forgiven() -> None:
    trust = Trust(first_day=10, growth=1.0, defer_s=3_600.0, block_s=14_400.0, forgive_s=DAY_S)
    standing = Standing(Behaviour(trust=trust))
    send(standing, 10, START)
    assert send(standing, 1, START) == [Mood.SLOWED]
    assert standing.mood(START + 3_599.0) is Mood.DEFERRED
    assert standing.mood(START + 3_600.0) is Mood.WELCOME
    send(standing, 1, START + 3_600.0)
    assert standing.mood(START + 3_600.0 + 7_199.0) is Mood.DEFERRED  # twice as long
    send(standing, 1, START + 11_000.0)
    assert standing.offences == 3
    assert standing.mood(START + 11_001.0) is Mood.BLOCKED
    assert standing.mood(START + 11_000.0 + 14_400.0) is Mood.WELCOME
    later = START + 11_000.0 + 3 * DAY_S
    send(standing, 11, later)
    assert standing.offences == 1


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
    trust = Trust(judged_from=100, complaint_share=0.003, memory_s=DAY_S)
    standing = Standing(Behaviour(trust=trust))
    for place in range(1_000):
        standing.recipient(unknown=False, now=START)
        standing.accepted(complains=place in (0, 1), now=START)  # before anything is judged
    assert standing.mood(START) is Mood.WELCOME
    for _ in range(2):
        standing.accepted(complains=True, now=START)
    assert standing.mood(START) is Mood.DEFERRED
    assert standing.mood(START + 100 * DAY_S) is Mood.WELCOME
