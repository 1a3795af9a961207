"""From an outcome to the settlement, the event, the counts and the log: told once, told right, and UNSENT not at all."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import trio
from msgspec import structs
from trio.testing import MockClock

from sender.model import Category, Envelope, LaneId, Mark, Outcome, Reply, Scope, State, Step, Verdict
from sender.policy.retry import RetryCurve
from sender.policy.suppression import Digests
from sender.policy.verdict import DELIVERED, IN_DOUBT
from sender.queue.base import Again
from sender.queue.doubts import Parked
from sender.queue.journal_record import Key
from sender.queue.journaling import NoJournal
from sender.queue.suppressions import Suppression
from sender.record import Attempt, Recorder
from sender.settling import Settler
from sender.withdrawal import Withdrawn
from tests.holding import LANE, campaign, held
from tests.rig import DIGESTS, EPOCH, Store

REPLY = Reply(code=451, enhanced="4.2.1", lines=("Try later", "please"))
DEFERRED = Outcome(verdict=Verdict.DEFERRED, category=Category.GREYLIST, rule="greylisted")
DOUBT = Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, rule="in-doubt", in_doubt=True)
UNSENT = Outcome(verdict=Verdict.UNSENT, scope=Scope.SESSION, rule="lost-untried", retry_s=30.0)


class Counts:
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.replies: list[tuple[Verdict, float]] = []

    def attempt(self, source: str, receiver: str, outcome: Outcome) -> None:
        self.seen.append(("attempt", source, receiver, outcome.verdict))

    def finished(self, source: str, receiver: str, state: State) -> None:
        self.seen.append(("finished", source, receiver, state))

    def in_doubt(self, receiver: str) -> None:
        self.seen.append(("in doubt", receiver))

    def replied(self, verdict: Verdict, seconds: float, envelope: Envelope) -> None:
        self.replies.append((verdict, seconds))


class Told(Settler):
    """A settler that only remembers."""

    def __init__(self) -> None:
        super().__init__(Store(), lambda: EPOCH)
        self.finals: list[tuple[int, State]] = []
        self.agains: list[Any] = []
        self.refused: list[Suppression] = []
        self.events: list[dict[str, Any]] = []
        self.parked: list[Parked] = []
        self.marks: list[tuple[int, Mark | None, str]] = []

    def mark(self, lease: Any, position: int, mark: Mark | None, identity: str) -> None:
        self.marks.append((position, mark, identity))

    def park(self, lease: Any, parked: Parked) -> None:
        self.parked.append(parked)

    def final(self, lease: Any, position: int, state: State, event: bytes) -> None:
        self.finals.append((position, state))
        self.events.append(json.loads(event))

    def suppress(self, lease: Any, entry: Suppression) -> None:
        self.refused.append(entry)

    def again(self, lease: Any, again: Any, event: bytes | None = None) -> None:
        self.agains.append(again)
        if event is not None:
            self.events.append(json.loads(event))


class Chronicle(NoJournal):
    """A journal that remembers what it was told, and whether the settler had been told before."""

    def __init__(self, told: Told) -> None:
        self.told, self.lines = told, list[tuple[Any, ...]]()
        self.marks: list[Mark | None] = []

    def ended(
        self,
        key: Key,
        state: State,
        event: bytes,
        *,
        at: float,
        why: str = "",
        refused: Suppression | None = None,
        mark: Mark | None = None,
    ) -> None:
        assert not self.told.finals, "the journal goes first"
        self.marks.append(mark)
        self.lines.append(("ended", key, state, json.loads(event)["type"], at, why, refused))

    def back(self, key: Key, again: Again, event: bytes, *, mark: Mark | None = None) -> None:
        self.marks.append(mark)
        assert not self.told.agains, "the journal goes first"
        self.lines.append(("back", key, again.due, again.envelope.attempts, json.loads(event)["type"]))

    def untried(self, key: Key) -> None:
        self.lines.append(("untried", key))


class Desk:
    """A recorder with everything it tells."""

    def __init__(self, now: float = EPOCH, digests: Digests | None = DIGESTS) -> None:
        self.told, self.counts, self.log = Told(), Counts(), list[Attempt]()
        self.journal = Chronicle(self.told)
        self.recorder = Recorder(
            self.told, self.counts, lambda name: f"<{name}>", lambda: now, Random(1), self.log.append, digests, self.journal
        )


async def test_a_delivery_is_told_to_everybody() -> None:
    desk = Desk()
    (one,) = held(1)
    reply = Reply(code=250, enhanced="2.0.0", lines=("Ok",))
    desk.recorder.attempt(LANE, one, DELIVERED, step=Step.DOT, reply=reply, mx="mx.big.example", seconds=0.25)
    assert desk.told.finals == [(0, State.DELIVERED)]
    (event,) = desk.told.events
    assert event == {
        "v": 1,
        "id": "spring:0:1750000000000:1:delivered",
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


async def test_how_long_after_its_lease_the_receiver_answered_an_attempt(autojump_clock: MockClock) -> None:
    one = structs.replace(held(1)[0], leased_at=trio.current_time())
    replies = []
    for outcome, reply in ((DELIVERED, Reply(code=250)), (DEFERRED, REPLY), (UNSENT, REPLY), (DOUBT, None)):
        await trio.sleep(3600)
        desk = Desk()
        desk.recorder.attempt(LANE, one, outcome, step=Step.DOT, reply=reply, seconds=0.25)
        replies.append(desk.counts.replies)
    assert replies == [[(Verdict.DELIVERED, 3600.0)], [(Verdict.DEFERRED, 7200.0)], [], []], "not tried, not answered: not told"


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
        "spring:0:1750000000000:1:deferred",
    )
    assert desk.told.finals == []


@pytest.mark.parametrize(("category", "source"), [(Category.RATE, "s1"), (Category.CONNECTION_LIMIT, "")])
async def test_what_was_deferred_for_the_source_s_reputation_is_for_that_source_again(category: Category, source: str) -> None:
    desk = Desk()
    (one,) = held(1)
    outcome = Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, category=category, rule="rate")
    desk.recorder.attempt(LANE, one, outcome, step=Step.RCPT, reply=REPLY)
    assert [again.source for again in desk.told.agains] == [source]


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
    for doubts in range(2):
        one.envelope.attempts = one.envelope.doubts = doubts
        desk.recorder.attempt(LANE, one, DOUBT, step=Step.DOT, why="lost", mx="mx.big.example")
    assert [(again.envelope.doubts, again.envelope.tried_at) for again in desk.told.agains] == [(1, EPOCH)]
    assert desk.told.finals == [(0, State.UNKNOWN)]
    assert [(parked.position, parked.at, parked.why) for parked in desk.told.parked] == [(0, EPOCH, "mx.big.example: lost")]
    assert [(parked.envelope.attempts, parked.envelope.doubts) for parked in desk.told.parked] == [(2, 2)]
    assert desk.counts.seen.count(("in doubt", "<big>")) == 2
    assert len({event["id"] for event in desk.told.events}) == 2


NOBODY = Outcome(verdict=Verdict.REJECTED, category=Category.UNKNOWN_USER, rule="unknown-user")
NOBODY_REPLY = Reply(code=550, enhanced="5.1.1", lines=("No such user",))


async def test_what_came_of_an_attempt_is_in_the_journal_before_anybody_settles_it() -> None:
    desk = Desk()
    (one,) = held(1)
    key = (one.ticket.id, one.position)
    desk.recorder.attempt(LANE, one, DELIVERED, step=Step.DOT)
    assert desk.journal.lines == [("ended", key, State.DELIVERED, "delivered", EPOCH, "", None)]
    desk = Desk()
    desk.recorder.attempt(LANE, one, DEFERRED, step=Step.RCPT, reply=REPLY)
    assert desk.journal.lines == [("back", key, EPOCH + 300, 1, "deferred")]
    desk = Desk()
    desk.recorder.attempt(LANE, one, NOBODY, step=Step.RCPT, reply=NOBODY_REPLY)
    refused = Suppression(digest=DIGESTS.of(one.envelope.address), reason="unknown_user", source="spring:0", at=EPOCH)
    assert desk.journal.lines == [("ended", key, State.REJECTED, "rejected", EPOCH, "", refused)]
    desk = Desk()
    one.envelope.doubts = 1
    desk.recorder.attempt(LANE, one, DOUBT, step=Step.DOT, why="no reply in 600 s", mx="mx.big.example")
    why = "mx.big.example: no reply in 600 s"
    assert desk.journal.lines == [("ended", key, State.UNKNOWN, "unknown", EPOCH, why, None)]


async def test_what_was_not_tried_takes_its_intent_back() -> None:
    desk = Desk()
    one, two, three = held(3)
    desk.recorder.attempt(LANE, one, UNSENT, step=Step.MAIL, why="lost")
    desk.recorder.release(two)
    desk.recorder.withdraw(LANE, three, Withdrawn(state=State.CANCELLED, why="cancelled"))
    assert desk.journal.lines == [("untried", (held.ticket.id, held.position)) for held in (one, two, three)]


@pytest.mark.parametrize("outcome", [DEFERRED, UNSENT])
async def test_past_the_give_up_age_it_expires_with_an_event(outcome: Outcome) -> None:
    desk = Desk(EPOCH + 101)
    (one,) = held(1, of=campaign(curve=RetryCurve(steps_s=(300.0,), give_up_s=100.0)))
    one.envelope.tried_at = EPOCH
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


NOBODY = Outcome(verdict=Verdict.REJECTED, category=Category.UNKNOWN_USER, rule="nobody")
GONE = Reply(code=550, enhanced="5.1.1", lines=("No such user",))


async def test_who_does_not_exist_is_suppressed_for_all_lists() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.attempt(LANE, one, NOBODY, step=Step.RCPT, reply=GONE)
    assert desk.told.finals == [(0, State.REJECTED)]
    digest = DIGESTS.of("r0@big.example")
    assert desk.told.refused == [Suppression(digest=digest, reason="unknown_user", source="spring:0", at=EPOCH)]


async def test_who_may_come_back_is_suppressed_for_a_time() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.attempt(LANE, one, replace(NOBODY, suppress_s=7_776_000.0), step=Step.RCPT, reply=GONE)
    assert [refused.expires for refused in desk.told.refused] == [EPOCH + 7_776_000]


async def test_what_a_rule_in_shadow_would_do_is_told_even_of_what_was_not_tried() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.attempt(LANE, one, replace(UNSENT, shadow=NOBODY), step=Step.GREETING, reply=GONE)
    assert [attempt.outcome.shadow for attempt in desk.log] == [NOBODY]


@pytest.mark.parametrize(
    ("outcome", "reply"),
    [
        (NOBODY, None),
        (replace(NOBODY, scope=Scope.LANE), GONE),
        (replace(NOBODY, category=Category.BLOCK), GONE),
        (replace(NOBODY, category=Category.FULL_MAILBOX), GONE),
        (replace(NOBODY, verdict=Verdict.DEFERRED), GONE),
        (DELIVERED, GONE),
    ],
)
async def test_nobody_else_is_suppressed(outcome: Outcome, reply: Reply | None) -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.attempt(LANE, one, outcome, step=Step.RCPT, reply=reply)
    assert desk.told.refused == []


async def test_one_that_expires_though_nobody_is_there_is_not_suppressed() -> None:
    desk = Desk(EPOCH + 101)
    (one,) = held(1, of=campaign(curve=RetryCurve(steps_s=(300.0,), give_up_s=100.0)))
    one.envelope.tried_at = EPOCH
    desk.recorder.attempt(LANE, one, replace(NOBODY, verdict=Verdict.DEFERRED), step=Step.RCPT, reply=GONE)
    assert (desk.told.finals, desk.told.refused) == ([(0, State.EXPIRED)], [])


async def test_where_it_is_switched_off_nobody_is_suppressed() -> None:
    desk = Desk(digests=None)
    (one,) = held(1)
    desk.recorder.attempt(LANE, one, NOBODY, step=Step.RCPT, reply=GONE)
    assert (desk.told.finals, desk.told.refused) == ([(0, State.REJECTED)], [])


async def test_what_is_withdrawn_ends_with_the_reason_and_is_no_attempt() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.withdraw(LANE, one, Withdrawn(state=State.SUPPRESSED, why="suppressed: complaint, all lists"))
    assert desk.told.finals == [(0, State.SUPPRESSED)]
    (event,) = desk.told.events
    assert (event["type"], event["why"], "attempt" in event) == ("suppressed", "suppressed: complaint, all lists", False)
    assert (desk.counts.seen, desk.log) == ([("finished", "s1", "<big>", State.SUPPRESSED)], [])


async def test_what_is_withdrawn_in_doubt_is_parked_for_an_operator() -> None:
    desk = Desk()
    (one,) = held(1)
    one.envelope.doubts = 1
    desk.recorder.withdraw(LANE, one, Withdrawn(state=State.UNKNOWN, why="its campaign's deadline has passed"))
    assert desk.told.finals == [(0, State.UNKNOWN)]
    assert desk.told.parked == [Parked(position=0, envelope=one.envelope, at=EPOCH, why="its campaign's deadline has passed")]


async def test_what_is_parked_after_a_reply_says_which() -> None:
    desk = Desk(EPOCH + 101)
    (one,) = held(1, of=campaign(curve=RetryCurve(steps_s=(300.0,), give_up_s=100.0)))
    one.envelope.tried_at, one.envelope.doubts = EPOCH, 1
    desk.recorder.attempt(LANE, one, DEFERRED, step=Step.RCPT, reply=REPLY, mx="mx.big.example")
    assert [parked.why for parked in desk.told.parked] == [f"mx.big.example: {REPLY}"]
    assert [(parked.envelope.attempts, parked.envelope.doubts) for parked in desk.told.parked] == [(1, 1)]


async def test_what_is_parked_after_a_lost_connection_names_the_host_once() -> None:
    desk = Desk()
    (one,) = held(1)
    one.envelope.attempts = one.envelope.doubts = 1
    lost = "mx.big.example[192.0.2.1] DOT: connection closed"
    desk.recorder.attempt(LANE, one, DOUBT, step=Step.DOT, why=lost, mx="mx.big.example")
    assert [parked.why for parked in desk.told.parked] == [lost]


async def test_what_is_withdrawn_for_now_goes_back_unchanged_for_a_moment() -> None:
    desk = Desk()
    (one,) = held(1)
    desk.recorder.withdraw(LANE, one, Withdrawn(state=None, why="paused"))
    (again,) = desk.told.agains
    assert (again.due, again.tried, again.envelope) == (EPOCH + 5.0, False, one.envelope)
    assert (desk.told.events, desk.counts.seen) == ([], [])


async def test_what_an_attempt_counts_as_is_told_to_the_journal_and_with_the_settlement() -> None:
    for outcome, step, reply, expected in (
        (DELIVERED, Step.DOT, Reply(code=250), Mark.DELIVERED),
        (DEFERRED, Step.RCPT, REPLY, Mark.NEUTRAL),
        (IN_DOUBT, Step.DOT, None, Mark.DOUBTED),
    ):
        desk = Desk()
        (one,) = held(1)
        desk.recorder.attempt(LANE, one, outcome, step=step, reply=reply)
        assert desk.told.marks == [(0, expected, f"@{one.campaign.identity.domain}")]
        assert desk.journal.marks == [expected]


async def test_what_was_not_sent_has_no_mark() -> None:
    desk = Desk()
    first, second, third = held(3)
    desk.recorder.release(first)
    desk.recorder.withdraw(LANE, second, Withdrawn(state=State.CANCELLED, why="stopped"))
    desk.recorder.unusable(LANE, third, "no address")
    assert desk.told.marks == []
