"""What an attempt counts as: by its outcome, where in the dialogue it ended, and whether the receiver said anything."""

import pytest

from sender.errors import TransportKind
from sender.model import Category, Mark, Outcome, Reply, Result, Scope, Step, Transaction, Verdict
from sender.policy.marks import mark
from sender.policy.receivers import Profile, Profiles
from sender.policy.stops import Stop, Stops
from sender.policy.verdict import DELIVERED, IN_DOUBT, NULL_MX, judge_failure, judge_result

TRANSACTION = Transaction(mail_from="a@shop.example", rcpt="b@example.net", head=b"")


@pytest.fixture
def profile(profiles: Profiles) -> Profile:
    return profiles.profile("~shop.example")


def outcome(verdict: Verdict, category: Category = Category.OTHER, scope: Scope = Scope.RECIPIENT) -> Outcome:
    return Outcome(verdict=verdict, category=category, scope=scope)


@pytest.mark.parametrize(
    ("verdict", "category", "scope", "expected"),
    [
        (Verdict.DEFERRED, Category.RATE, Scope.LANE, Mark.DEFERRED),
        (Verdict.DEFERRED, Category.OTHER, Scope.RECIPIENT, Mark.DEFERRED),
        (Verdict.DEFERRED, Category.UNKNOWN_USER, Scope.RECIPIENT, Mark.DEFERRED),
        (Verdict.DEFERRED, Category.BLOCK, Scope.LANE, Mark.BLOCKED),
        (Verdict.REJECTED, Category.BLOCK, Scope.RECIPIENT, Mark.BLOCKED),
        (Verdict.REJECTED, Category.UNKNOWN_USER, Scope.RECIPIENT, Mark.UNKNOWN_USER),
        (Verdict.REJECTED, Category.CONTENT, Scope.MESSAGE, Mark.BOUNCED),
        (Verdict.DEFERRED, Category.GREYLIST, Scope.RECIPIENT, Mark.NEUTRAL),
        (Verdict.REJECTED, Category.FULL_MAILBOX, Scope.RECIPIENT, Mark.NEUTRAL),
        (Verdict.DEFERRED, Category.SYSTEM, Scope.SESSION, Mark.NEUTRAL),
        (Verdict.DEFERRED, Category.BLOCK, Scope.DOMAIN, Mark.DOMAIN),
        (Verdict.DEFERRED, Category.CONNECTION_LIMIT, Scope.LANE, Mark.LIMITED),
        (Verdict.UNSENT, Category.CONNECTION_LIMIT, Scope.LANE, Mark.LIMITED),
    ],
)
def test_a_refusal_counts_as_what_it_says(verdict: Verdict, category: Category, scope: Scope, expected: Mark) -> None:
    for step in (Step.MAIL, Step.RCPT, Step.DATA, Step.DOT):
        assert mark(outcome(verdict, category, scope), step, replied=True) is expected


def test_delivered_and_in_doubt_have_used_their_unit() -> None:
    assert mark(DELIVERED, Step.DOT, replied=True) is Mark.DELIVERED
    assert mark(IN_DOUBT, Step.DOT, replied=False) is Mark.DOUBTED
    assert Mark.DELIVERED.uses
    assert Mark.DOUBTED.uses


@pytest.mark.parametrize("step", [Step.CONNECT, Step.GREETING, Step.EHLO])
def test_a_door_that_is_shut_on_the_source_is_judged_and_uses_nothing(profile: Profile, step: Step) -> None:
    found = mark(judge_failure(profile, step, reply=Reply(code=554, lines=("go away",))), step, replied=True)
    assert found is Mark.TURNED_AWAY
    assert not found.uses


def test_a_receiver_that_is_closing_judges_nobody(profile: Profile) -> None:
    failure = judge_failure(profile, Step.GREETING, reply=Reply(code=421, lines=("shutting down",)))
    assert mark(failure, Step.GREETING, replied=True) is Mark.LIMITED


@pytest.mark.parametrize("kind", [TransportKind.REFUSED, TransportKind.TIMEOUT])
def test_a_host_that_is_not_reached_uses_nothing(profile: Profile, kind: TransportKind) -> None:
    found = mark(judge_failure(profile, Step.CONNECT, kind=kind), Step.CONNECT, replied=False)
    assert found is Mark.LIMITED
    assert not found.uses


@pytest.mark.parametrize("step", [Step.MAIL, Step.RCPT, Step.DATA])
def test_a_session_that_is_lost_without_an_answer_uses_nothing(profile: Profile, step: Step) -> None:
    lost = judge_result(profile, Result(transaction=TRANSACTION, step=step, error="reset"))
    assert mark(lost, step, replied=False) is Mark.LIMITED


def test_what_is_ours_counts_as_nothing(profile: Profile) -> None:
    stops = Stops()
    stop = Stop(until=60.0, rule="domain", category=Category.CONNECTION_LIMIT, reason="421 too many")
    ours = [
        (NULL_MX, Step.CONNECT),
        (judge_failure(profile, Step.CONNECT, kind=TransportKind.RESOURCES), Step.CONNECT),
        (judge_failure(profile, Step.STARTTLS, kind=TransportKind.TLS), Step.STARTTLS),
        (judge_result(profile, Result(transaction=TRANSACTION, step=Step.DOT, withheld=True)), Step.DOT),
        (stops.outcome(stop, 0.0), Step.CONNECT),
        (outcome(Verdict.REJECTED, Category.POLICY, Scope.MESSAGE), Step.MAIL),  # larger than the receiver takes
    ]
    assert [mark(each, step, replied=False) for each, step in ours] == [None] * len(ours)


def test_a_refusal_before_any_envelope_was_named_uses_nothing(profile: Profile) -> None:
    no_tls = judge_failure(profile, Step.STARTTLS, reply=Reply(code=454, lines=("TLS not available",)))
    assert mark(no_tls, Step.STARTTLS, replied=True) is None
