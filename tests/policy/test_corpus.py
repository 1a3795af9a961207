"""How the shipped rules read 199 real replies: a table per receiver, every disagreement with our reason, and floors.

One origin labels a reply hard or soft: is nobody to be reached at this address, for good? The other plays it as a bounce or a
defer, which is the class of its code. For a defer the answer is no. For a bounce it is what the words say: BOUNCES_OF_NOBODY
names those that say that the recipient is not there; of the same kinds of refusal as the others (an authentication, a policy, a
full or a disabled mailbox) the first origin says soft. What a bounce comes to beyond that is held by a test of its own.

Some labels can't be met by reading the reply alone: an operator's filter words itself as an unknown user.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default

import pytest

from sender.model import Category, Outcome, Step, Verdict
from sender.policy.quoted import Quoted, quoted
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
    "rhost-mimecast": "mimecast",
    "rhost-outlook": "microsoft",
    "rhost-tencent": "qq",
    "rhost-yahooinc": "yahoo",
    "rocketmail.com": "yahoo",
    "yahoo.ca": "yahoo",
    "yahoo.com": "yahoo",
}

# What each of our readings of the origin's reasons should be.
_CATEGORIES = {
    "authfailure": {Category.AUTHENTICATION},
    "blocked": {Category.BLOCK, Category.POLICY},
    "exceedlimit": {Category.CONTENT},
    "expired": {Category.NETWORK, Category.SYSTEM},
    "filtered": {Category.POLICY},
    "hasmoved": {Category.UNKNOWN_USER},
    "hostunknown": {Category.ROUTING},
    "mailboxfull": {Category.FULL_MAILBOX},
    "mailererror": {Category.SYSTEM},
    "networkerror": {Category.NETWORK, Category.ROUTING},
    "norelaying": {Category.ROUTING, Category.POLICY},
    "notaccept": {Category.ROUTING, Category.NETWORK},
    "notcompliantrfc": {Category.CONTENT},
    "onhold": {Category.SYSTEM},
    "policyviolation": {Category.POLICY, Category.CONTENT},
    "rejected": {Category.POLICY, Category.BLOCK, Category.AUTHENTICATION, Category.RATE},
    "requireptr": {Category.POLICY},
    "securityerror": {Category.AUTHENTICATION, Category.POLICY},
    "spamdetected": {Category.CONTENT},
    "speeding": {Category.RATE},
    "suspend": {Category.UNKNOWN_USER},
    "syntaxerror": {Category.PROTOCOL},
    "systemerror": {Category.SYSTEM},
    "systemfull": {Category.SYSTEM},
    "toomanyconn": {Category.CONNECTION_LIMIT, Category.RATE},
    "userunknown": {Category.UNKNOWN_USER},
}

BOUNCES_OF_NOBODY = (
    "MAILBOX NOT FOUND",
    "would love to have gotten",
    "tried to reach does not exist",
    "mailbox unavailable",
    "not a valid RFC-5321 address",
    "Domain Lookup Failed",
    "mailbox not found",
    "is no longer valid",
    "dd Requested mail action aborted",
    "dd Sorry your message",
    "doesn't have a",
)

# Where we say something else than the origin, by words of the reply: why.
DISAGREEMENTS = {
    "User not exist": "the words say that the user is not there; that it was a filter stands nowhere in them",
    "@mineo.jp>... User unknown": "the same",
    "User unknown in virtual alias table": "a 450: the server itself says to try again, and may have its table back by then",
    "<kijitora@cr.nyaan.jp>... User Unknown": "5.2.1 says that the mailbox exists; the origin calls two others like it soft",
    "user has moved with no forwarding address": "a 550 that says so twice is no deferral, however the sink plays it",
}
CATEGORY_DISAGREEMENTS = {
    "55=": "cut to two digits: nothing is left to read",
    "77": "cut to an exit status: nothing is left to read",
    "User not exist": "read as an unknown user, as above",
    "@mineo.jp>... User unknown": "read as an unknown user, as above",
    "<kijitora@example.jp>... User Unknown": "5.2.1 is a mailbox that is disabled; no filter is mentioned",
    "server refused to talk to me: 421": "the text of RFC 5321 for a server that is shutting down",
    "sender rejected. Please see https://www.spectrum.net": "only the page behind the link says that AUP#In-1310 is a rate",
}

# Bounces that we try again: what blames us, or passes, costs no recipient.
KEPT = {
    Category.AUTHENTICATION: "our domain's to mend",
    Category.BLOCK: "our address's or our domain's to mend",
    Category.POLICY: "about our domain, which stops at this receiver until it is mended",
    Category.PROTOCOL: "the dialogue went wrong, which is no word about the recipient",
    Category.RATE: "a 550 that means later",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    family: str
    label: str
    reason: str
    text: str

    @property
    def receiver(self) -> str:
        if self.family == "rhost-franceptt":
            return "laposte" if "LPN" in self.text else "orange"
        if ".protection.outlook.com]" in self.text.lower():  # the server names itself: its MX would match
            return "microsoft365"
        return _FAMILIES.get(self.family, "_default")

    @property
    def nobody(self) -> bool:
        """Whether nobody is to be reached there, by the origin's label."""
        if self.label == "bounce":
            return any(words in self.text for words in BOUNCES_OF_NOBODY)
        return self.label == "hard"


Judged = list[tuple[Row, Outcome]]


def rows() -> Iterator[Row]:
    for line in corpus("replies.tsv").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            _, family, label, reason, _, _, text = line.split("\t")
            yield Row(family=family, label=label, reason=reason, text=text)


def read(profiles: Profiles, receiver: str, found: Quoted) -> Outcome:
    return judge(profiles.profile(receiver), found.step or Step.RCPT, found.reply)


@pytest.fixture(scope="module")
def judged(profiles: Profiles) -> Judged:
    return [(row, read(profiles, row.receiver, quoted(row.text))) for row in rows()]


def explained(row: Row, reasons: dict[str, str]) -> str:
    return next((why for words, why in reasons.items() if words in row.text), "")


def table(judged: Judged) -> Iterator[str]:
    yield f"  {'receiver':14} {'replies':>7} {'verdict':>8} {'category':>9}"
    kinds = sorted({row.receiver for row, _ in judged})
    for name in [*kinds, "all"]:
        mine = [(row, outcome) for row, outcome in judged if name in (row.receiver, "all")]
        right = sum(row.nobody is outcome.permanent for row, outcome in mine)
        named = [outcome.category in _CATEGORIES[row.reason] for row, outcome in mine if row.reason]
        category = f"{sum(named)}/{len(named)}" if named else "-"
        yield f"  {name:14} {len(mine):7} {right:4}/{len(mine)} {category:>9}"


def disagreements(judged: Judged) -> Iterator[tuple[Row, str]]:
    """Each with what we say instead and why."""
    for row, outcome in judged:
        if row.nobody is not outcome.permanent:
            ours = "permanent" if outcome.permanent else "not permanent"
            yield row, f"{row.label}, ours {ours}: {explained(row, DISAGREEMENTS)}"
        if row.reason and outcome.category not in _CATEGORIES[row.reason]:
            yield row, f"{row.reason}, ours {outcome.category}: {explained(row, CATEGORY_DISAGREEMENTS)}"
        if row.label == "bounce" and outcome.verdict is Verdict.DEFERRED:
            yield row, f"bounce, ours tried again: {KEPT[outcome.category]}"


def test_the_corpus_is_read_as_its_origins_label_it(judged: Judged, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\nreplies.tsv: is nobody there, and why was it refused", *table(judged), "disagreements:", sep="\n")
        for row, why in disagreements(judged):
            print(f"  {row.family}: {row.text[:90]}\n      {why}")
    verdicts = [row.nobody is outcome.permanent for row, outcome in judged]
    named = [outcome.category in _CATEGORIES[row.reason] for row, outcome in judged if row.reason]
    assert (len(verdicts), len(named)) == (199, 136)
    assert sum(verdicts) / 199 >= 0.97
    assert sum(named) / 136 >= 0.90


def test_every_disagreement_has_its_reason(judged: Judged) -> None:
    wrong = [row for row, outcome in judged if row.nobody is not outcome.permanent]
    other = [row for row, outcome in judged if row.reason and outcome.category not in _CATEGORIES[row.reason]]
    assert [row.text for row in wrong if not explained(row, DISAGREEMENTS)] == []
    assert [row.text for row in other if not explained(row, CATEGORY_DISAGREEMENTS)] == []
    assert (len(wrong), len(other)) == (len(DISAGREEMENTS), len(CATEGORY_DISAGREEMENTS)), "a reason without its disagreement"


def test_hard_and_soft_alone(judged: Judged) -> None:
    right = Counter(row.nobody is outcome.permanent for row, outcome in judged if row.label in ("hard", "soft"))
    assert right[True] >= 0.97 * right.total()


def test_it_reads_the_same_whatever_stands_before_the_words(profiles: Profiles) -> None:
    """Bounces put the code, and the enhanced one, before a reply that has them already."""
    for row in rows():
        found = quoted(row.text)
        code, enhanced = found.reply.code, found.reply.enhanced or f"{found.reply.code // 100}.0.0"
        plain, again = (
            read(profiles, row.receiver, found),
            read(profiles, row.receiver, quoted(f"{code} {enhanced} {row.text}")),
        )
        assert again.permanent is plain.permanent, row.text


def test_bounces_that_we_retry_blame_us_or_the_moment_and_never_the_recipient(judged: Judged) -> None:
    kept = [outcome for row, outcome in judged if row.label == "bounce" and outcome.verdict is Verdict.DEFERRED]
    assert {outcome.category for outcome in kept} == set(KEPT)
    assert len(kept) <= 8


def test_no_block_costs_a_recipient(judged: Judged) -> None:
    lost = [
        (row.text, outcome.rule)
        for row, outcome in judged
        if row.reason in ("blocked", "authfailure", "toomanyconn", "speeding", "requireptr", "mailboxfull")
        and outcome.verdict is Verdict.REJECTED
    ]
    # Two of them say so: a mailbox that is full and abandoned, and a text that was cut to two digits.
    assert {rule for _, rule in lost} <= {"google/mailbox-inactive", "5xx"}


def test_what_delivery_status_notifications_quote(profiles: Profiles) -> None:
    """The codes that notifications carry, in their own words and folded over lines."""
    found = {text: read(profiles, "_default", quoted(text)) for text in diagnostics()}
    assert {text.partition(";")[2].strip()[:40]: outcome.permanent for text, outcome in found.items()} == {
        "550 'arathib@vnet.IBM.COM' is not a  reg": True,
        "550 user unknown": True,
        "552 <recipient@domain.com> rejected: ove": False,
        "host example-com.mail.eo.outlook.com:25 ": True,
        "550 5.1.1 Mailbox does not exist": True,
        "426 connection timed out": False,
    }


def diagnostics() -> Iterator[str]:
    """Every Diagnostic-Code of the notifications."""
    for path in sorted((corpus("kumomta-dsn/crates/kumo-log-types/data") / "rfc3464").glob("*.eml")):
        for part in message_from_bytes(path.read_bytes(), policy=default).walk():
            if found := part.get("Diagnostic-Code"):
                yield str(found)
