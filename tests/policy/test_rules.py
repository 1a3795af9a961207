"""What a rule covers, what its pattern sees, and that neither a receiver's codes nor its texts can fill our memory."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Action, Category, Outcome, Reply, Scope, Step, Verdict
from sender.policy import rules
from sender.policy.rules import Rule, RuleBook, RuleTable, compile_rule, example_reply, in_shadow, printed

OUTCOME = Outcome(verdict=Verdict.DEFERRED)


def compiled(**values: Any) -> Rule:
    table = RuleTable(**{"name": "r", "category": Category.RATE, "examples": ("450 x",), **values})
    rule, wrong = compile_rule(table, "x")
    assert rule is not None, wrong
    return rule


def said(*lines: str, code: int = 450, enhanced: str | None = None) -> Reply:
    return Reply(code=code, enhanced=enhanced, lines=lines)


@pytest.mark.parametrize(
    ("values", "step", "code", "enhanced", "covered"),
    [
        ({"codes": (450, "5xx")}, Step.RCPT, 450, None, True),
        ({"codes": (450, "5xx")}, Step.RCPT, 451, None, False),
        ({"codes": (450, "5xx")}, Step.RCPT, 554, None, True),
        ({"steps": (Step.RCPT,)}, Step.RCPT, 450, None, True),
        ({"steps": (Step.RCPT,)}, Step.DOT, 450, None, False),
        ({"enhanced": ("5.7.1",)}, Step.RCPT, 550, "5.7.1", True),
        ({"enhanced": ("5.7.1",)}, Step.RCPT, 550, "5.7.10", False),
        ({"enhanced": ("5.7.1",)}, Step.RCPT, 550, None, False),
        ({"enhanced": ("x.7.25",)}, Step.RCPT, 450, "4.7.25", True),
        ({"enhanced": ("5.7.x",)}, Step.RCPT, 550, "5.7.515", True),
        ({"enhanced": ("5.7.60x",)}, Step.RCPT, 550, "5.7.606", True),
        ({"enhanced": ("5.7.60x",)}, Step.RCPT, 550, "5.7.60", False),
        ({"enhanced": ("5.7.60x",)}, Step.RCPT, 550, "5.7.616", False),
        ({"enhanced": ("5.7.1",)}, Step.RCPT, 550, "5x7x1", False),
    ],
)
def test_what_a_rule_covers(values: dict[str, Any], step: Step, code: int, enhanced: str | None, covered: bool) -> None:
    assert compiled(**values).covers(step, code, enhanced) is covered


def test_all_that_a_rule_names_must_match() -> None:
    book = RuleBook([compiled(codes=(450,), pattern="slow", steps=(Step.RCPT,))])
    assert book.find(Step.RCPT, said("Too Slow")) is book.rules[0]
    assert book.find(Step.RCPT, said("fast")) is None
    assert book.find(Step.DOT, said("slow")) is None
    assert book.find(Step.RCPT, said("slow", code=451)) is None


def test_a_5xx_that_blames_us_defers_and_one_that_blames_the_recipient_rejects() -> None:
    ours, theirs = compiled(codes=(550,), scope=Scope.LANE), compiled(codes=(550,))
    assert (ours.outcome(550).verdict, theirs.outcome(550).verdict) == (Verdict.DEFERRED, Verdict.REJECTED)
    assert (theirs.outcome(499).verdict, theirs.outcome(500).verdict) == (Verdict.DEFERRED, Verdict.REJECTED)
    assert repr(theirs) == "<Rule x/r: rate rejected recipient>"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("User Unknown",), "user unknown"),
        (("the  user", "is receiving"), "the user is receiving"),
        (("<A.B@example.net>: unknown",), "@ unknown"),
        (("gone a1-20020a170902.si12345 - gsmtp",), "gone # - gsmtp"),
        (("abcdefghij1 abcdefghijk1 (abcdefghij1)",), "abcdefghij1 # #"),
        (("LPN007_416 [TSS04] S3150 (OFR006_102)",), "lpn007_416 [tss04] s3150 (ofr006_102)"),
        (("http://example.net/help?p=12345",), "http://example.net/help?p=12345"),
        (("192.0.2.1.zen.spamhaus.org",), "192.0.2.1.zen.spamhaus.org"),
        ((), ""),
    ],
)
def test_what_a_pattern_sees(lines: tuple[str, ...], text: str) -> None:
    assert printed(said(*lines)) == text


@given(st.lists(st.text(max_size=3000), max_size=5))
def test_a_pattern_never_sees_more_than_its_limit(lines: list[str]) -> None:
    assert len(printed(said(*lines))) <= 3 * rules.TEXT_LIMIT  # lower case may need more characters than upper case


def test_an_example_is_read_as_the_wire_has_it() -> None:
    reply = example_reply("550-5.1.1 No such user here\n550 5.1.1 example")
    assert reply == said("No such user here", "example", code=550, enhanced="5.1.1")
    assert example_reply("421 closing") == said("closing", code=421)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_OUTCOMES_LIMIT", 10)
    monkeypatch.setattr(rules, "_CANDIDATES_LIMIT", 10)
    book = RuleBook([compiled(pattern="slow")])
    for place in range(100):
        reply = said(f"word{place} x", enhanced=f"4.0.{place}")
        assert book.outcome(Step.RCPT, reply, lambda rule, text: OUTCOME) is OUTCOME
    assert len(book._outcomes) <= 10
    assert len(book._candidates) <= 10


def test_a_text_is_read_once() -> None:
    read: list[str] = []

    def reading(rule: Rule | None, text: str) -> Outcome:
        read.append(text)
        return OUTCOME

    book = RuleBook([])
    for user in "abc":
        book.outcome(Step.RCPT, said(f"<{user}@example.net> unknown"), reading)
    assert read == ["@ unknown"]
    assert repr(book) == "<RuleBook of 0 rules>"


@pytest.mark.parametrize(
    ("values", "good"),
    [
        ({}, False),
        ({"pause": 60.0}, False),  # how long actions last, and there is none
        ({"pause": 60.0, "actions": (Action.HALVE,)}, False),
        ({"pause": 0.0, "actions": (Action.PAUSE,)}, False),
        ({"retry": 0.0}, False),
        ({"retry": 60.0}, True),
        ({"pause": 60.0, "actions": (Action.PAUSE,)}, True),
        ({"actions": (Action.STOP_DOMAIN,)}, True),
    ],
)
def test_a_rule_that_costs_no_attempt_must_hold_its_envelopes_back(values: dict[str, Any], good: bool) -> None:
    table = RuleTable(name="r", category=Category.RATE, codes=(450,), examples=("450 x",), verdict=Verdict.UNSENT, **values)
    rule, wrong = compile_rule(table, "x")
    assert (rule is not None) is good
    assert [key for key, _ in wrong] == ([] if good else ["verdict"])


def test_a_rule_in_shadow_tells_what_it_would_do_and_leaves_the_decision_to_the_next() -> None:
    tried = compiled(name="tried", pattern="slow", scope=Scope.LANE, actions=(Action.HALVE,), shadow=True)
    again = compiled(name="again", pattern="slow", shadow=True)
    live, later = compiled(name="live", pattern="slow"), compiled(name="later", codes=(450,))
    book = RuleBook([tried, again, live, later])
    assert (book.find(Step.RCPT, said("slow")), book.shadow(Step.RCPT, said("slow"))) == (live, tried)
    assert (book.find(Step.RCPT, said("fast")), book.shadow(Step.RCPT, said("fast"))) == (later, None)

    def read(rule: Rule | None, text: str) -> Outcome:
        return OUTCOME if rule is None else rule.outcome(450)

    outcome = book.outcome(Step.RCPT, said("slow"), read)
    assert outcome.rule == "x/live"
    assert outcome.shadow == tried.temporary
    assert in_shadow(tried.temporary) == "x/tried in shadow would say deferred, scope lane, category rate, halve"
    assert book.outcome(Step.RCPT, said("fast"), read).shadow is None


def test_a_rule_behind_the_one_that_decides_is_not_being_tried() -> None:
    live, tried = compiled(name="live", pattern="slow"), compiled(name="tried", pattern="slow", shadow=True)
    assert RuleBook([live, tried]).shadow(Step.RCPT, said("slow")) is None


@pytest.mark.parametrize(
    ("values", "permanent", "suppress_s"),
    [
        ({"category": Category.UNKNOWN_USER}, True, None),
        ({"category": Category.UNKNOWN_USER, "permanent": False, "suppress": 60.0}, False, 60.0),
        ({"category": Category.UNKNOWN_USER, "verdict": Verdict.DEFERRED}, False, None),
        ({"category": Category.UNKNOWN_USER, "scope": Scope.MESSAGE}, False, None),
        ({"category": Category.ROUTING}, False, None),
        ({"category": Category.ROUTING, "permanent": True}, True, None),
    ],
)
def test_who_is_gone_for_good(values: dict[str, Any], permanent: bool, suppress_s: float | None) -> None:
    rule = compiled(codes=(450, 550), **values)
    assert (rule.outcome(550).permanent, rule.outcome(550).suppress_s) == (permanent, suppress_s)
    assert (rule.outcome(450).permanent, rule.outcome(450).suppress_s) == (False, None)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (
            {"actions": (Action.PAUSE,), "pause": 3600.0, "pause_max": 60.0},
            r"`pause_max` \(60 s\) is less than `pause` \(3600 s\)",
        ),
        ({"actions": (Action.NONE,)}, "'none' is no action"),
        ({"verdict": Verdict.REJECTED, "retry": 60.0}, "`retry` is for what is tried again"),
    ],
)
def test_what_would_be_read_and_ignored_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RuleTable(**{"name": "r", "category": Category.RATE, "codes": (550,), "examples": ("550 x",), **values})


def test_a_pause_may_be_as_long_as_its_longest() -> None:
    assert compiled(codes=(450,), actions=(Action.PAUSE,), pause=60.0, pause_max=60.0).temporary.pause_max_s == 60.0


@pytest.mark.parametrize(
    "values",
    [
        {"category": Category.ROUTING, "permanent": True, "scope": Scope.MESSAGE},
        {"category": Category.ROUTING, "permanent": True, "verdict": Verdict.DEFERRED},
        {"category": Category.UNKNOWN_USER, "permanent": False},
        {"category": Category.UNKNOWN_USER, "suppress": 60.0},
        {"category": Category.POLICY, "permanent": False, "suppress": 60.0},
    ],
)
def test_what_a_rule_can_t_say_of_a_recipient(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="permanent"):
        RuleTable(**{"name": "r", "codes": (550,), "examples": ("550 x",), **values})
