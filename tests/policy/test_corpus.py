"""How well the shipped rules read 199 real replies: a table, and floors that can't fall in silence.

The corpus labels some replies hard or soft: is this recipient bad for good? We say so where a RECIPIENT-scoped rejection
says that the user or its domain is not there. Others are labelled bounce or defer: does it end this message? Some labels
can't be met by reading the reply alone ("user unknown" is called soft where a Japanese operator filters under that text),
and some we contradict on purpose: what blames our address or domain is deferred although it comes as 5xx.
"""

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from sender.model import Category, Outcome, Reply, Scope, Step, Verdict
from sender.policy.receivers import Profiles
from sender.policy.verdict import judge
from tests.corpora import corpus

_FAMILIES = {
    "aol.com": "yahoo",
    "gmail.com": "google",
    "hotmail.com": "microsoft",
    "rhost-aol": "yahoo",
    "rhost-apple": "apple",
    "rhost-google": "google",
    "rhost-gsuite": "google",
    "rhost-microsoft": "microsoft365",
    "rhost-outlook": "microsoft",
    "rhost-yahooinc": "yahoo",
    "rocketmail.com": "yahoo",
    "yahoo.ca": "yahoo",
    "yahoo.com": "yahoo",
}
_CODES = re.compile(r"(?:^|(?<=\s))[2-5]\d\d(?:[ =-]|(?=,))(?=\s*#?[245]\.\d|\D)")
_ENHANCED = re.compile(r"(?:^|(?<=[\s,]))#?([245]\.\d{1,3}\.\d{1,3})(?=[\s=]|$)")

# What each of our readings of sisimai's reasons should be; reasons that name no category of ours are left out.
_CATEGORIES = {
    "userunknown": {Category.UNKNOWN_USER},
    "hasmoved": {Category.UNKNOWN_USER},
    "suspend": {Category.UNKNOWN_USER},
    "hostunknown": {Category.ROUTING},
    "mailboxfull": {Category.FULL_MAILBOX},
    "exceedlimit": {Category.CONTENT},
    "spamdetected": {Category.CONTENT},
    "authfailure": {Category.AUTHENTICATION},
    "requireptr": {Category.POLICY},
    "blocked": {Category.BLOCK, Category.POLICY},
    "toomanyconn": {Category.CONNECTION_LIMIT, Category.RATE},
    "speeding": {Category.RATE},
    "norelaying": {Category.ROUTING},
    "policyviolation": {Category.POLICY, Category.CONTENT},
    "notcompliantrfc": {Category.CONTENT},
    "systemfull": {Category.SYSTEM},
    "syntaxerror": {Category.PROTOCOL},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    family: str
    label: str
    reason: str
    reply: Reply


def rows() -> list[Row]:
    lines = corpus("replies.tsv").read_text(encoding="utf-8").splitlines()
    return [row(line.split("\t")) for line in lines if line and not line.startswith("#")]


def row(columns: list[str]) -> Row:
    """The reply as a server sent it: codes repeated by continuation lines are the wire's, not the text's."""
    _, family, label, reason, code, given, text = columns
    bare = _CODES.sub(" ", text)
    enhanced = _ENHANCED.search(bare[:20])
    words = " ".join(_ENHANCED.sub("", bare).split())
    number = int(code) if code else {"4": 450, "5": 550}[given[0]]
    return Row(
        family=family, label=label, reason=reason, reply=Reply(code=number, enhanced=enhanced and enhanced[1], lines=(words,))
    )


def receiver(found: Row) -> str:
    text = found.reply.text
    if found.family == "rhost-franceptt":
        return "laposte" if "LPN" in text else "orange"
    if ".protection.outlook.com]" in text.lower():  # the server names itself: its MX would match
        return "microsoft365"
    return _FAMILIES.get(found.family, "_default")


def read(outcome: Outcome, label: str) -> str:
    if label in ("bounce", "defer"):
        return "bounce" if outcome.verdict is Verdict.REJECTED else "defer"
    gone = outcome.category is Category.UNKNOWN_USER or outcome.rule.endswith("/domain-gone")
    return "hard" if outcome.verdict is Verdict.REJECTED and outcome.scope is Scope.RECIPIENT and gone else "soft"


@pytest.fixture(scope="module")
def judged(profiles: Profiles) -> list[tuple[Row, Outcome]]:
    return [(found, judge(profiles.profile(receiver(found)), Step.RCPT, found.reply)) for found in rows()]


def test_labels_are_met_as_often_as_ever(judged: list[tuple[Row, Outcome]], capsys: pytest.CaptureFixture[str]) -> None:
    table = Counter((found.label, read(outcome, found.label)) for found, outcome in judged)
    with capsys.disabled():
        print("\nreplies.tsv: label -> ours")
        for (label, ours), count in sorted(table.items()):
            print(f"  {label:6} -> {ours:6} {count:4}")
        for reason, (right, count) in sorted(by_reason(judged).items()):
            print(f"  {reason:16} {right}/{count}")
    assert len(judged) == 199
    assert table["hard", "hard"] >= 35  # of 37: one is a 450, one ("Rejected") says nothing
    assert table["soft", "soft"] >= 79  # of 99: 15 say "user unknown", 5 a disabled or abandoned mailbox
    assert table["defer", "defer"] >= 30  # of 31: one says 550 "user has moved"
    assert table["bounce", "bounce"] >= 25  # of 32: seven blame us, as the next test shows


def by_reason(judged: list[tuple[Row, Outcome]]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for row_, outcome in judged:
        if row_.reason in _CATEGORIES:
            right, count = found.get(row_.reason, (0, 0))
            found[row_.reason] = (right + (outcome.category in _CATEGORIES[row_.reason]), count + 1)
    return found


def test_reasons_are_met_as_often_as_ever(judged: list[tuple[Row, Outcome]]) -> None:
    right, count = (sum(column) for column in zip(*by_reason(judged).values(), strict=True))
    assert count == 98
    assert right >= 92


def test_bounces_that_we_retry_blame_us_or_the_moment_and_never_the_recipient(judged: list[tuple[Row, Outcome]]) -> None:
    kept = [outcome for found, outcome in judged if found.label == "bounce" and outcome.verdict is Verdict.DEFERRED]
    assert {outcome.category for outcome in kept} <= {Category.BLOCK, Category.AUTHENTICATION, Category.POLICY, Category.RATE}


def test_no_block_costs_a_recipient(judged: list[tuple[Row, Outcome]]) -> None:
    lost = [
        (found.reply.text, outcome.rule)
        for found, outcome in judged
        if found.reason in ("blocked", "authfailure", "toomanyconn", "speeding", "requireptr", "mailboxfull")
        and outcome.verdict is Verdict.REJECTED
    ]
    # Two of them say so: a mailbox that is full and abandoned, and a text that was cut to two digits.
    assert {rule for _, rule in lost} <= {"google/mailbox-inactive", "5xx"}
