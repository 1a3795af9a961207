"""What outcomes change about a lane: window, pace and pauses together."""

from sender.model import Action, Category, Outcome, Scope, Verdict
from sender.policy.receivers import Limits
from sender.policy.throttle import Throttle
from sender.policy.verdict import DELIVERED

LIMITS = Limits(connections=8, messages_per_connection=50)


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
    assert lane.connections(1600) == 8
    assert lane.why(1600).startswith("open: 8 connections")


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
    assert lane.pace.share(1000) == 0.5
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


def test_messages_per_connection_are_capped_for_a_while() -> None:
    lane = throttle()
    assert lane.messages_per_connection(0) == 50
    lane.after(outcome(Action.MESSAGES_PER_CONNECTION, pause_s=3600, limit=2), 0)
    assert (lane.messages_per_connection(3599), lane.messages_per_connection(3600)) == (2, 50)
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
    assert lane.pace.share(2000) == 1.0


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
