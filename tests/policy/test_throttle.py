"""What outcomes change about a lane: window, pace and pauses together."""

from sender.model import Action, Category, Outcome, Scope, Verdict
from sender.policy.receivers import Limits
from sender.policy.throttle import Throttle
from sender.policy.verdict import DELIVERED

LIMITS = Limits(connections=8, messages_per_connection=50)
LOST = Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, category=Category.NETWORK, rule="lost")


def throttle() -> Throttle:
    lane = Throttle.of(LIMITS, lambda: 0.0)
    for _ in range(100):
        lane.after(DELIVERED, 0)
    return lane


def outcome(*actions: Action, pause_s: float | None = None, max_s: float | None = None, limit: int | None = None) -> Outcome:
    return Outcome(
        verdict=Verdict.DEFERRED,
        scope=Scope.LANE,
        category=Category.RATE,
        rule="x/rule",
        actions=actions,
        pause_s=pause_s,
        pause_max_s=max_s,
        limit=limit,
    )


def test_deliveries_open_the_window() -> None:
    lane = Throttle.of(LIMITS, lambda: 0.0)
    assert lane.connections(0) == 2
    assert throttle().connections(0) == 8


def test_a_pause_closes_the_lane_and_says_why() -> None:
    lane = throttle()
    lane.after(outcome(Action.PAUSE, pause_s=600), 1000, "421 slow down")
    assert (lane.connections(1000), lane.next_message_at(1000), lane.next_connection_at(1000)) == (0, 1600, 1600)
    assert lane.why(1100) == "paused for 500 s more: <Pause until 1600: rate by x/rule: 421 slow down>"
    assert lane.connections(1600) == 1
    assert lane.why(1600).startswith("open: 1 connections, all that it may in 240 s")


def test_pauses_are_stretched_by_chance_so_that_lanes_do_not_return_together() -> None:
    lane = Throttle.of(LIMITS, lambda: 0.5)
    lane.after(outcome(Action.PAUSE, pause_s=600), 0)
    assert lane.next_message_at(0) == 630


def test_pauses_in_a_row_grow_up_to_their_limit_and_a_delivery_ends_the_row() -> None:
    lane, now, waits = throttle(), 1000.0, []
    for _ in range(4):
        lane.after(outcome(Action.PAUSE, pause_s=600, max_s=2000), now)
        waits.append(lane.next_message_at(now) - now)
        now = lane.next_message_at(now)
    assert waits == [600, 1200, 2000, 2000]
    lane.after(DELIVERED, now)
    lane.after(outcome(Action.PAUSE, pause_s=600, max_s=2000), now)
    assert lane.next_message_at(now) - now == 600


def test_replies_under_way_when_the_pause_began_are_the_same_trouble() -> None:
    lane = throttle()
    for _ in range(5):
        lane.after(outcome(Action.PAUSE, pause_s=600, max_s=9999), 1000)
    assert lane.next_message_at(1000) == 1600
    lane.after(outcome(Action.PAUSE, pause_s=60), 1001)
    assert lane.next_message_at(1001) == 1600  # a shorter pause does not end a longer one


def test_halving_slows_messages_and_connections() -> None:
    lane = throttle()
    lane.after(outcome(Action.HALVE, pause_s=600), 1000)
    assert lane.connections(1000) == 4
    assert lane.share(1000) == 0.5
    assert lane.why(1000).startswith("open: 4 connections")


def test_one_connection_holds_new_ones_for_a_while() -> None:
    lane = throttle()
    lane.after(outcome(Action.ONE_CONNECTION, pause_s=3600), 1000)
    assert lane.connections(1000) == 1
    assert lane.next_connection_at(1000) == 1030
    assert lane.next_message_at(1000) == 1000  # open sessions go on
    for _ in range(500):
        lane.after(DELIVERED, 1000)
    assert (lane.connections(2800), lane.connections(4600)) == (4, 8)


def test_how_long_none_is_opened_is_spread_by_chance() -> None:
    """Lanes that were told together do not return together: half a minute to a minute."""
    lane = Throttle.of(LIMITS, lambda: 0.5)
    lane.after(outcome(Action.ONE_CONNECTION), 1000)
    assert lane.next_connection_at(1000) == 1045


def test_halved_it_stays_so_for_the_pause_and_then_it_is_an_hour_for_the_whole_range() -> None:
    lane = throttle()
    lane.after(outcome(Action.HALVE, pause_s=600), 1000, "slow down")
    for _ in range(1000):
        lane.after(DELIVERED, 1000)
    assert [lane.connections(1000 + at) for at in (0, 600, 1500, 2399, 2400)] == [4, 4, 6, 7, 8]
    assert [lane.share(1000 + at) for at in (0, 600, 2400, 4200)] == [0.5, 0.5, 0.75, 1.0]
    assert lane.slowed is not None
    assert lane.slowed.until == 5200, "which is what an operator is told"


def test_without_a_pause_one_connection_and_few_messages_last_an_hour() -> None:
    lane = throttle()
    lane.after(outcome(Action.ONE_CONNECTION), 0)
    lane.after(outcome(Action.MESSAGES_PER_CONNECTION, limit=2), 0)
    for _ in range(1000):
        lane.after(DELIVERED, 0)
    assert [lane.connections(at) for at in (0, 1800, 3599, 3600)] == [1, 4, 7, 8]
    assert [lane.messages_per_connection(at) for at in (3600, 5400, 7200)] == [2, 26, 50]


def test_a_lane_of_many_connections_is_back_once_they_have_doubled_often_enough() -> None:
    lane = Throttle.of(Limits(connections=64), lambda: 0.0)
    lane.after(outcome(Action.PAUSE, pause_s=600), 0)
    assert lane.returned_at == 600 + 6 * 60
    for _ in range(10_000):
        lane.after(DELIVERED, 600)
    assert [lane.connections(at) for at in (600 + 300, 600 + 359, 600 + 360)] == [32, 63, 64]


def test_messages_per_connection_are_few_for_a_while_and_rise_again() -> None:
    lane = throttle()
    assert lane.messages_per_connection(0) == 50
    lane.after(outcome(Action.MESSAGES_PER_CONNECTION, pause_s=3600, limit=2), 0)
    assert [lane.messages_per_connection(at) for at in (3599, 3600, 5400, 7199, 7200)] == [2, 2, 26, 49, 50]
    lane.after(outcome(Action.MESSAGES_PER_CONNECTION, pause_s=3600, limit=900), 0)
    assert lane.messages_per_connection(0) == 50  # never above the profile's own


def test_a_stopped_source_pauses_and_the_far_reaching_actions_leave_the_lane_alone() -> None:
    lane = throttle()
    lane.after(outcome(Action.STOP_DOMAIN, Action.PAUSE_CAMPAIGN, Action.HOLD_PROMOTION, pause_s=600), 0)
    assert lane.connections(0) == 8
    lane.after(outcome(Action.STOP_SOURCE), 0)
    assert lane.next_message_at(0) == 3600


def test_a_lost_session_halves_the_window_and_a_rejected_recipient_does_nothing() -> None:
    lane = throttle()
    lane.after(Outcome(verdict=Verdict.REJECTED), 0)
    assert lane.connections(0) == 8
    lane.after(Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION), 0)
    assert lane.connections(0) == 4


def test_the_next_message_waits_its_turn() -> None:
    lane = Throttle.of(Limits(messages_per_second=2), lambda: 0.0)
    lane.pace.take_message(10)
    assert lane.why(10) == "next message in 0.50 s: <Pace 2 messages/s, 100 connections/min>"
    assert repr(lane) == "<Throttle <Window 2.0 of 5> <Pace 2 messages/s, 100 connections/min> None>"


def test_a_scale_shortens_pauses_and_the_way_back() -> None:
    lane = Throttle.of(LIMITS, lambda: 0.0, 0.01)
    lane.after(outcome(Action.PAUSE, Action.HALVE, pause_s=600), 1000)
    assert lane.next_message_at(1000) == 1006
    lane.after(outcome(Action.ONE_CONNECTION, pause_s=3600), 2000)
    assert lane.next_connection_at(2000) == 2000.3
    assert lane.share(2000) == 1.0
    lane.after(outcome(Action.PAUSE, pause_s=600), 3000)
    assert lane.share(3006) == 1 / 16
    assert lane.share(3008.5) == 1.0
    lane.after(outcome(Action.MESSAGES_PER_CONNECTION, limit=2), 4000)
    assert [lane.messages_per_connection(at) for at in (4035, 4073)] == [2, 50]
    for _ in range(1000):
        lane.after(DELIVERED, 5000)
    lane.after(LOST, 5000)
    for _ in range(1000):
        lane.after(DELIVERED, 5000)
    assert (lane.connections(5000), lane.connections(5019)) == (4, 8)


def test_of_a_lane_that_sent_a_little_there_is_nothing_to_keep() -> None:
    lane = Throttle.of(LIMITS, lambda: 0.0)
    lane.pace.take_connection(0)
    lane.pace.take_message(0)
    lane.after(DELIVERED, 0)
    assert lane.would_be_missed(0), "its next connection is due later"
    assert not lane.would_be_missed(1)
    assert throttle().would_be_missed(1), "its window has grown"
    for action in (Action.PAUSE, Action.HALVE, Action.ONE_CONNECTION, Action.MESSAGES_PER_CONNECTION, Action.STOP_SOURCE):
        learned = Throttle.of(LIMITS, lambda: 0.0)
        learned.after(outcome(action, pause_s=60, limit=5), 1)
        assert learned.would_be_missed(30), action
    lost = Throttle.of(LIMITS, lambda: 0.0)
    lost.after(Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION), 0)
    assert lost.would_be_missed(100_000)


def test_after_a_pause_it_returns_from_one_connection_and_doubles_each_minute_at_most() -> None:
    lane = throttle()
    lane.after(outcome(Action.PAUSE, pause_s=600), 0)
    for _ in range(1000):
        lane.after(DELIVERED, 600)
    assert [lane.connections(600 + at) for at in (0, 59, 60, 119, 120, 179, 180)] == [1, 1, 2, 3, 4, 7, 8]
    assert [lane.share(600 + at) for at in (0, 60, 120, 180, 240)] == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert lane.ramp is None


def test_on_its_way_back_a_lane_is_slow_with_messages_and_with_connections() -> None:
    lane = throttle()
    lane.after(outcome(Action.PAUSE, pause_s=600), 0)
    lane.take_message(600)
    lane.take_connection(600)
    assert lane.pace.messages.due == 600 + 16 / 100
    assert lane.next_connection_at(600) == 600 + 16 * 0.6


def test_a_hold_that_ends_is_a_pause_that_ends() -> None:
    lane = throttle()
    lane.hold()
    assert lane.would_be_missed(1_000_000)
    lane.resume(5000)
    assert (lane.connections(5000), lane.share(5000), lane.returned_at) == (1, 1 / 16, 5240)
    lane.resume(5120)
    assert lane.returned_at == 5240, "it was not held a second time"


def test_a_hold_that_ends_within_a_pause_leaves_it_alone() -> None:
    lane = throttle()
    lane.after(outcome(Action.PAUSE, pause_s=600), 0)
    lane.hold()
    lane.resume(100)
    assert (lane.connections(599), lane.connections(600), lane.returned_at) == (0, 1, 840)


def test_sessions_that_come_to_nothing_in_a_row_pause_the_lane_longer_each_time() -> None:
    lane, now, waits = throttle(), 0.0, []
    for _ in range(8 + 3):  # all that were open, and a few more
        lane.after(LOST, now, "reset")
    assert not lane.paused(now)
    for _ in range(6):
        lane.after(LOST, now, "reset")
        waits.append(lane.next_message_at(now) - now)
        now = lane.next_message_at(now)
    assert waits == [30, 60, 120, 240, 300, 300]
    assert lane.pause is not None
    assert lane.pause.reason == "17 sessions in a row came to nothing, the last one: reset"
    for _ in range(1000):
        lane.after(DELIVERED, now)
    assert lane.connections(now + 180) == 8, "the receiver was not there: that it asked for less, nobody has said"
    for _ in range(8 + 3):
        lane.after(LOST, now + 600)
    assert not lane.paused(now + 600), "a new row"


def test_what_a_receiver_asked_for_amid_lost_sessions_still_counts_after_their_pause() -> None:
    lane = throttle()
    lane.after(LOST, 0, "reset")
    lane.after(outcome(Action.ONE_CONNECTION, pause_s=3600), 1)
    for _ in range(8 + 3):
        lane.after(LOST, 2, "reset")
    assert lane.paused(2)
    for _ in range(1000):
        lane.after(DELIVERED, 100)
    assert lane.connections(300) == 1


def test_for_want_of_something_of_ours_no_lane_pauses() -> None:
    ours = Outcome(verdict=Verdict.UNSENT, scope=Scope.SESSION, category=Category.SYSTEM, rule="our-resources")
    lane = throttle()
    for _ in range(100):
        lane.after(ours, 0)
    assert lane.connections(0) == 8


def test_the_least_that_is_left() -> None:
    lane = throttle()
    for now in range(0, 2000, 100):
        lane.after(outcome(Action.HALVE, Action.ONE_CONNECTION, Action.MESSAGES_PER_CONNECTION, limit=1), now)
    assert (lane.connections(1900), lane.messages_per_connection(1900), lane.share(1900)) == (1, 1, 1 / 16)


def test_sessions_that_end_with_a_word_about_a_recipient_shrink_nothing_and_pause_in_a_row() -> None:
    lane, about = throttle(), Outcome(verdict=Verdict.DEFERRED, category=Category.SYSTEM, rule="x/busy")
    for _ in range(8 + 3):
        lane.closed(about, 0, "421 busy")
    assert lane.connections(0) == 8
    lane.closed(about, 0, "421 busy")
    assert lane.next_message_at(0) == 30


def test_what_was_taken_and_refused_is_counted_from_when_the_lane_began() -> None:
    lane = throttle()
    lane.after(outcome(Action.HALVE), 5, "450 fewer please")
    assert (lane.taken, lane.refused, lane.refusal) == (100, 1, (5, "450 fewer please"))
    lane.resume(60)
    assert (lane.taken, lane.refused, lane.refusal) == (0, 0, (5, "450 fewer please"))
