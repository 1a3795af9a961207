"""Who is meant by an address, and which refusals say that nobody is there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.content.address import parse_address
from sender.errors import ConfigError
from sender.model import Category, Outcome, Reply, Scope, Step, Verdict
from sender.policy.receivers import Profiles
from sender.policy.suppression import Digests, canonical, nobody_there
from sender.policy.verdict import judge
from sender.settings import load

DIGESTS = Digests(bytes(range(32)))
NOBODY = Outcome(verdict=Verdict.REJECTED, scope=Scope.RECIPIENT, category=Category.UNKNOWN_USER)
REPLY = Reply(code=550, enhanced="5.1.1", lines=("No such user",))


@pytest.mark.row("S8")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        ("ann@example.org.", "ann@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@bücher.example"),
        ('"ann"@example.org', "ann@example.org"),
        ('"Ann Lee"@example.org', '"ann lee"@example.org'),
        ("JU\u0308RGEN@example.org", "j\u00fcrgen@example.org"),
        ("J\u030c@example.org", "\u01f0@example.org"),
    ],
)
def test_every_spelling_of_a_mailbox_has_one_digest(one: str, other: str) -> None:
    assert DIGESTS.of(str(parse_address(one))) == DIGESTS.of(str(parse_address(other)))


def test_others_have_other_digests_and_other_keys_others_again() -> None:
    names = ["ann@example.org", "ann+news@example.org", "an.n@example.org", "ann@example.com"]
    digests = {DIGESTS.of(name) for name in names} | {Digests(bytes(32)).of(name) for name in names}
    assert len(digests) == 8
    assert {len(digest) for digest in digests} == {16}


@given(text=st.text(alphabet=st.characters(exclude_categories=["C"]), max_size=30))
def test_the_spelling_is_its_own_spelling(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


def test_a_key_tells_itself_apart_and_not_itself() -> None:
    key = "5b" * 32
    digests = Digests.parse(f"{key}\n", file="suppression.key")
    assert digests.mark == Digests(bytes.fromhex(key)).mark != DIGESTS.mark
    assert re.fullmatch(r"<Digests [0-9a-f]{8}>", repr(digests))
    assert key not in repr(digests)


@pytest.mark.parametrize("text", ["", "5b" * 31, "5b" * 33, "zz" * 32, "a " + "5b" * 32])
def test_a_key_file_that_is_none_is_refused_without_telling_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"suppression\.key: expected 64 hexadecimal digits and nothing else") as caught:
        Digests.parse(text, file="suppression.key")
    assert "5b5b" not in str(caught.value)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="32 octets, found 16"):
        Digests(bytes(16))


def test_a_receiver_s_word_that_nobody_is_there_counts() -> None:
    assert nobody_there(NOBODY, REPLY)
    assert not nobody_there(NOBODY, None), "what DNS or silence ended says nothing of the mailbox"


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(verdict=verdict, scope=scope, category=category)
        for verdict in Verdict
        for scope in Scope
        for category in Category
        if (verdict, scope, category) != (Verdict.REJECTED, Scope.RECIPIENT, Category.UNKNOWN_USER)
    ],
    ids=lambda outcome: f"{outcome.verdict}-{outcome.scope}-{outcome.category}",
)
def test_nothing_else_does(outcome: Outcome) -> None:
    assert not nobody_there(outcome, REPLY)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("550 5.1.1 <a@example.net>: Recipient address rejected: User unknown in virtual mailbox table", False),
        ("550 5.2.1 The email account that you tried to reach is disabled.", False),
        ("552 5.2.2 Mailbox full", True),
        ("550 5.7.1 Service unavailable; client host blocked using Spamhaus", True),
        ("550 5.7.26 Unauthenticated email is not accepted due to DMARC policy", True),
        ("554 5.7.1 Message rejected as spam by content filtering", True),
        ("450 4.1.1 <a@example.net>: Recipient address rejected: User unknown", True),
    ],
)
def test_real_replies_under_the_shipped_rules(text: str, there: bool) -> None:
    code, enhanced, rest = text.split(" ", 2)
    profile = Profiles.parse(load().receivers).profile("_default")
    reply = Reply(code=int(code), enhanced=enhanced, lines=(rest,))
    assert nobody_there(judge(profile, Step.RCPT, reply), reply) is not there
