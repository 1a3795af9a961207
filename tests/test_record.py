"""From an outcome to the settlement, the event, the counts and the log: told once, told right, and UNSENT not at all."""

import json
from random import Random
from typing import Any

import pytest

from sender.model import Category, LaneId, Outcome, Reply, Scope, State, Step, Verdict
from sender.policy.retry import RetryCurve
from sender.policy.verdict import DELIVERED
from sender.record import Attempt, Recorder
from sender.settling import Settler
from tests.holding import LANE, campaign, held
from tests.rig import EPOCH, Store

REPLY = Reply(code=451, enhanced="4.2.1", lines=("Try later", "please"))
DEFERRED = Outcome(verdict=Verdict.DEFERRED, category=Category.GREYLIST, rule="greylisted")
DOUBT = Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, rule="in-doubt", in_doubt=True)
UNSENT = Outcome(verdict=Verdict.UNSENT, scope=Scope.SESSION, rule="lost-untried", retry_s=30.0)


class Counts:
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def attempt(self, source: str, receiver: str, outcome: Outcome) -> None:
        self.seen.append(("attempt", source, receiver, outcome.verdict))

    def finished(self, source: str, receiver: str, state: State) -> None:
        self.seen.append(("finished", source, receiver, state))

    def in_doubt(self, receiver: str) -> None:
        self.seen.append(("in doubt", receiver))


class Told(Settler):
    """A settler that only remembers."""

    def __init__(self) -> None:
        super().__init__(Store(), lambda: EPOCH)
        self.finals: list[tuple[int, State]] = []
        self.agains: list[Any] = []
        self.events: list[dict[str, Any]] = []

    def final(self, lease: Any, position: int, state: State, event: bytes) -> None:
        self.finals.append((position, state))
        self.events.append(json.loads(event))

    def again(self, lease: Any, again: Any, event: bytes | None = None) -> None:
        self.agains.append(again)
        if event is not None:
            self.events.append(json.loads(event))


class Desk:
    """A recorder with everything it tells."""

    def __init__(self, now: float = EPOCH) -> None:
        self.told, self.counts, self.log = Told(), Counts(), list[Attempt]()
        self.recorder = Recorder(self.told, self.counts, lambda name: f"<{name}>", lambda: now, Random(1), self.log.append)


async def test_a_delivery_is_told_to_everybody() -> None:
    desk = Desk()
    (one,) = held(1)
    reply = Reply(code=250, enhanced="2.0.0", lines=("Ok",))
    desk.recorder.attempt(LANE, one, DELIVERED, step=Step.DOT, reply=reply, mx="mx.big.example", seconds=0.25)
    assert desk.told.finals == [(0, State.DELIVERED)]
    (event,) = desk.told.events
    assert event == {
        "v": 1,
        "id": "spring:0:1:delivered",
        "type": "delivered",
        "at": EPOCH,
        "campaign": "spring",
        "ordinal": 0,
        "to": "r0@big.example",
        "fields": {"row": "0"},  # what the template does not use comes back
        "attempt": 1,
        "receiver": "big",
        "source": "s1",
        "mx": "mx.big.example",
        "step": "DOT",
        "code": 250,
        "enhanced": "2.0.0",
        "reply": "Ok",
        "category": "accepted",
        "scope": "recipient",
        "rule": "accepted",
    }
    assert desk.counts.seen == [("attempt", "s1", "<big>", "delivered"), ("finished", "s1", "<big>", State.DELIVERED)]
    assert [attempt.seconds for attempt in desk.log] == [0.25]


async def test_a_deferral_costs_an_attempt_and_says_when_it_comes_again() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.attempt(LANE, one, DEFERRED, step=Step.RCPT, reply=REPLY)
    (again,) = desk.told.agains
    assert (again.position, again.due, again.envelope.attempts, again.envelope.doubts) == (0, EPOCH + 300, 1, 0)
    assert one.envelope.attempts == 0, "the lease's envelope is not touched"
    (event,) = desk.told.events
    assert (event["type"], event["due"], event["reply"], event["id"]) == (
        "deferred",
        EPOCH + 300,
        "Try later please",
        "spring:0:1:deferred",
    )
    assert desk.told.finals == []


async def test_what_was_not_tried_is_not_told_and_costs_nothing() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.attempt(LANE, one, UNSENT, step=Step.MAIL, why="lost")
    (again,) = desk.told.agains
    assert (again.due, again.envelope.attempts) == (EPOCH + 30, 0)
    assert (desk.told.events, desk.log) == ([], [])


async def test_doubts_are_counted_and_end_as_unknown() -> None:
    desk = Desk()
    (one,) = held(1)
    for doubts in range(3):
        one.envelope.attempts = one.envelope.doubts = doubts
        desk.recorder.attempt(LANE, one, DOUBT, step=Step.DOT, why="lost")
    assert [again.envelope.doubts for again in desk.told.agains] == [1, 2]
    assert desk.told.finals == [(0, State.UNKNOWN)]
    assert desk.counts.seen.count(("in doubt", "<big>")) == 3
    assert len({event["id"] for event in desk.told.events}) == 3


@pytest.mark.parametrize("outcome", [DEFERRED, UNSENT])
async def test_past_the_give_up_age_it_expires_with_an_event(outcome: Outcome) -> None:
    desk = Desk(EPOCH + 101)
    (one,) = held(1, of=campaign(curve=RetryCurve(steps_s=(300.0,), give_up_s=100.0)))
    desk.recorder.attempt(LANE, one, outcome, step=Step.CONNECT, why="nobody there")
    assert desk.told.finals == [(0, State.EXPIRED)]
    assert (desk.told.events[0]["type"], desk.told.events[0]["why"]) == ("expired", "nobody there")


async def test_a_message_that_can_t_be_made_is_invalid_and_not_an_attempt() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.unusable(LANE, one, "first: not text")
    assert desk.told.finals == [(0, State.INVALID)]
    assert desk.told.events[0]["why"] == "first: not text"
    assert desk.counts.seen == [("finished", "s1", "<big>", State.INVALID)]


async def test_what_a_lane_lets_go_is_ready_at_once_and_unchanged() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.release(one)
    (again,) = desk.told.agains
    assert (again.due, again.envelope) == (0.0, one.envelope)
    assert (desk.told.events, desk.counts.seen) == ([], [])


def test_the_lane_of_these_tests_is_the_one_of_the_events() -> None:
    assert LaneId(source="s1", receiver="big") == LANE
