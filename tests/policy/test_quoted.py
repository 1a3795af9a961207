"""Replies as they are pasted: from the wire, from logs of other servers, from bounces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Step
from sender.policy.quoted import quoted


@pytest.mark.parametrize(
    ("text", "code", "enhanced", "words", "step"),
    [
        ("550 5.1.1 No such user", 550, "5.1.1", "No such user", None),
        ("550-5.1.1 No such\n550 5.1.1 user", 550, "5.1.1", "No such user", None),
        ("550-5.1.1 No such 550 5.1.1 user", 550, "5.1.1", "No such user", None),
        (
            "550 550-5.1.1 No such 550-5.1.1 user. See 550,5.1.1 http://x.example",
            550,
            "5.1.1",
            "No such user. See http://x.example",
            None,
        ),
        ("550 5.1.1 550 5.1.1 No such user", 550, "5.1.1", "No such user", None),
        ("550 5.0.0 542 a@example.net Rejected", 542, "5.0.0", "a@example.net Rejected", None),
        ("550 #5.1.0 Address rejected.", 550, "5.1.0", "Address rejected.", None),
        ("smtp; 550 5.1.1= <a@example.net>... User Unknown", 550, "5.1.1", "<a@example.net>... User Unknown", None),
        ("421", 421, None, "", None),
        ("554 4.4.7 Message expired", 554, None, "4.4.7 Message expired", None),
        ("220-mx 421 4.2.1 Service refuse", 421, "4.2.1", "Service refuse", None),
        ("452 limit of 500 messages", 452, None, "limit of 500 messages", None),
        (
            "host mx.example.net[192.0.2.1] said: 550 5.1.1 Nobody (in reply to RCPT TO command)",
            550,
            "5.1.1",
            "Nobody",
            Step.RCPT,
        ),
        (
            "host mx.example.net[192.0.2.1] said: 554 5.6.0 Spam (in reply to end of DATA command)",
            554,
            "5.6.0",
            "Spam",
            Step.DOT,
        ),
        (
            "connect to mx.example.net[192.0.2.1]: server refused to talk to me: 421 Not now",
            421,
            None,
            "Not now",
            Step.GREETING,
        ),
        (
            "553 host mx.example.net SMTP error from remote mail server after MAIL FROM:<a@b.example> SIZE=2: 553 5.7.1 Listed",
            553,
            "5.7.1",
            "Listed",
            Step.MAIL,
        ),
        (
            "5.3.0 - Other mail system problem 550-'Unknown user a@example.net' (delivery attempts: 0)",
            550,
            "5.3.0",
            "Unknown user a@example.net",
            None,
        ),
        ("5.1.1 nobody", 550, "5.1.1", "nobody", None),
        ("4.2.2 full", 450, "4.2.2", "full", None),
        ("unknown user: ann", 550, None, "unknown user: ann", None),
        (
            "connect to example.org[192.0.2.1]:25: Connection timed out",
            450,
            None,
            "connect to example.org[192.0.2.1]:25: Connection timed out",
            None,
        ),
        ("", 550, None, "", None),
    ],
)
def test_what_is_taken_off_and_what_stays(text: str, code: int, enhanced: str | None, words: str, step: Step | None) -> None:
    found = quoted(text)
    assert (found.reply.code, found.reply.enhanced, found.reply.text, found.step) == (code, enhanced, words, step)


@given(st.text(max_size=400))
def test_any_text_is_a_reply(text: str) -> None:
    reply = quoted(text).reply
    assert 200 <= reply.code < 600
    assert reply.enhanced is None or int(reply.enhanced[0]) == reply.code // 100


def test_a_long_text_is_cut() -> None:
    assert len(quoted("550 " + "x " * 50_000).reply.text) <= 4_000
