"""The receiving machine: conversations without a network, and the receiver's decisions inside them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workers.emulator.behaviour import SPAM_MARK, Behaviour, Offers
from workers.emulator.dialogue import Dialogue, Message, StartTls
from workers.emulator.internet import Internet
from workers.emulator.ledger import Ledger
from workers.emulator.visit import Office, Visit
from workers.emulator.world import WorldOptions, build

HEAD = b"MAIL FROM:<news@shop.example>\r\nRCPT TO:<%s@here.example>\r\nDATA\r\n"


def office(**changes: Any) -> Office:
    behaviour = replace(Behaviour(), **changes)
    return Office("here", behaviour, frozenset({"here.example"}), seed=1, ledger=Ledger(lambda entry: None))


def start(at: Office, *, now: float = 0.0, source: str = "127.0.0.9") -> Dialogue:
    dialogue = Dialogue(Visit(at, source=source, host="mx.here.example"))
    dialogue.open(now)
    dialogue.receive(b"EHLO out.example\r\n", now)
    return dialogue


def ask(dialogue: Dialogue, data: bytes, now: float = 0.0) -> list[str]:
    """Send octets and give back the codes of the replies."""
    dialogue.take_output()
    dialogue.receive(data, now)
    return codes(dialogue.take_output())


def codes(out: bytes) -> list[str]:
    return [line[:3].decode() for line in out.split(b"\r\n") if line[3:4] == b" "]


def test_a_message_is_taken_with_its_dots_undone() -> None:
    dialogue = start(office())
    assert ask(dialogue, HEAD % b"joe") == ["250", "250", "354"]
    events = dialogue.receive(b"Message-ID: <1@x>\r\n\r\n..two\r\n.one\r\n.\r\n", 7.0)
    [message] = events
    assert isinstance(message, Message)
    assert message.content == b"Message-ID: <1@x>\r\n\r\n.two\r\none\r\n"
    assert (message.taken.message_id, message.taken.at) == ("<1@x>", 7.0)
    assert message.taken.recipients == ("joe@here.example",)


def test_an_empty_message_ends_at_once() -> None:
    dialogue = start(office())
    assert ask(dialogue, HEAD % b"joe" + b".\r\n") == ["250", "250", "354", "250"]
    assert ask(dialogue, b"NOOP\r\n") == ["250"]


@given(st.lists(st.integers(1, 200), max_size=30))
def test_how_the_octets_are_cut_makes_no_difference(cuts: list[int]) -> None:
    stream = b"".join(HEAD % name + b"Subject: x\r\n\r\n.." + name + b"\r\n.\r\n" for name in (b"joe", b"unknown", b"ann"))
    whole = start(office())
    expected = ask(whole, stream)
    pieces = start(office())
    pieces.take_output()
    contents, at = [], 0
    for length in [*cuts, len(stream)]:
        events = pieces.receive(stream[at : at + length], 0.0)
        contents += [event.content for event in events if isinstance(event, Message)]
        at += length
    assert codes(pieces.take_output()) == expected
    assert contents == [b"Subject: x\r\n\r\n.joe\r\n", b"Subject: x\r\n\r\n.ann\r\n"]


@given(st.binary(max_size=400))
def test_any_octets_get_replies_and_no_exception(data: bytes) -> None:
    dialogue = start(office(offers=Offers(chunking=True)))
    dialogue.take_output()
    dialogue.receive(data + b"\r\nNOOP\r\n", 0.0)
    dialogue.take_output()


def test_only_crlf_dot_crlf_ends_content() -> None:
    dialogue = start(office())
    ask(dialogue, HEAD % b"joe")
    assert ask(dialogue, b"a\n.\nMAIL FROM:<evil@x.example>\r\nb\r.\rc\r\n") == []
    assert ask(dialogue, b".\r\n") == ["550"]  # and bare line feeds are not taken


def test_chunks_make_a_message_and_stray_ones_are_swallowed() -> None:
    dialogue = start(office(offers=Offers(chunking=True)))
    envelope = b"MAIL FROM:<>\r\nRCPT TO:<joe@here.example>\r\n"
    dialogue.take_output()
    events = dialogue.receive(envelope + b"BDAT 6\r\nA: b\r\nBDAT 6 LAST\r\n\r\n.x\r\n" + envelope, 0.0)
    assert [event.content for event in events if isinstance(event, Message)] == [b"A: b\r\n\r\n.x\r\n"]
    assert codes(dialogue.take_output()) == ["250", "250", "250", "250", "250", "250"]
    refused = start(office(offers=Offers(chunking=True)))
    got = ask(refused, b"MAIL FROM:<>\r\nRCPT TO:<unknown@here.example>\r\nBDAT 8 LAST\r\nQUIT\r\n\r\nNOOP\r\n")
    assert got == ["250", "550", "503", "250"]


def test_bdat_where_it_is_not_offered() -> None:
    assert ask(start(office()), b"BDAT 4 LAST\r\n") == ["502"]


def test_starttls_forgets_what_came_in_clear() -> None:
    dialogue = start(office())
    dialogue.take_output()
    [event] = dialogue.receive(b"STARTTLS\r\nMAIL FROM:<injected@x.example>\r\n", 0.0)
    assert isinstance(event, StartTls)
    assert codes(dialogue.take_output()) == ["220"]
    dialogue.tls_started()
    assert ask(dialogue, b"MAIL FROM:<a@x.example>\r\n") == ["503"]
    dialogue.receive(b"EHLO out.example\r\n", 0.0)
    assert b"STARTTLS" not in dialogue.take_output()


def test_tls_can_be_demanded() -> None:
    dialogue = start(office(requires_tls=True))
    assert ask(dialogue, HEAD % b"joe") == ["530", "503", "503"]


def test_the_envelope_is_checked() -> None:
    dialogue = start(office(offers=Offers(size=1_000)))
    assert ask(dialogue, b"MAIL FROM:<a@x.example> SIZE=1001\r\n") == ["552"]
    assert ask(dialogue, b"MAIL FROM:<a@x.example> SMTPUTF8\r\n") == ["555"]
    assert ask(dialogue, "MAIL FROM:<é@x.example>\r\n".encode()) == ["553"]
    assert ask(dialogue, b"MAIL TO:<a@x.example>\r\n") == ["501"]
    assert ask(dialogue, b"MAIL FROM:<a@x.example> SIZE=900 BODY=8BITMIME\r\n") == ["250"]
    assert ask(dialogue, b"MAIL FROM:<a@x.example>\r\n") == ["503"]
    assert ask(dialogue, b"RCPT TO:<joe@elsewhere.example>\r\nDATA\r\n") == ["554", "503"]


def test_utf8_where_it_is_offered() -> None:
    dialogue = start(office(offers=Offers(smtputf8=True)))
    got = ask(dialogue, "MAIL FROM:<é@x.example> SMTPUTF8\r\nRCPT TO:<zoë@here.example>\r\n".encode())
    assert got == ["250", "250"]


def test_a_message_that_is_too_big_is_read_and_refused() -> None:
    dialogue = start(office(offers=Offers(size=1_000)))
    ask(dialogue, HEAD % b"joe")
    for _ in range(300):
        assert ask(dialogue, b"0123456789\r\n" * 100) == []
    assert ask(dialogue, b".\r\nNOOP\r\n") == ["552", "250"]


def test_content_is_judged() -> None:
    cases: Mapping[bytes, str] = {SPAM_MARK: "554", b"x" * 999: "500", b"x" * 998: "250", b"a\rb": "550"}
    for body, code in cases.items():
        assert ask(start(office()), HEAD % b"joe" + b"\r\n" + body + b"\r\n.\r\n")[-1] == code, body[:20]


def test_a_signature_can_be_demanded() -> None:
    at = office(requires_dkim=True)
    dialogue = start(at)
    assert ask(dialogue, HEAD % b"joe" + b"Subject: x\r\n\r\nDKIM-Signature: in the body\r\n.\r\n")[-1] == "550"
    assert ask(dialogue, HEAD % b"joe" + b"Subject: x\r\ndkim-signature: v=1\r\n\r\nhello\r\n.\r\n")[-1] == "250"
    assert (at.counts.accepted, at.counts.refused) == (1, 1)


def test_garbage_ends_the_connection_in_the_end() -> None:
    dialogue = start(office())
    got = ask(dialogue, b"HELLO?\r\n" * 50)
    assert got == ["500"] * 20 + ["421"]
    assert dialogue.closing
    assert ask(dialogue, b"NOOP\r\n") == []


def test_a_line_without_end_is_cut_off() -> None:
    dialogue = start(office())
    assert ask(dialogue, b"x" * 5_000) == ["421"]


def test_connections_are_limited_per_source_over_all_hosts() -> None:
    at = office(connections=2)
    visits = [Visit(at, source="127.0.0.9", host=f"mx{number}.here.example") for number in range(3)]
    assert [visit.arrive(0.0).code for visit in visits] == [220, 220, 421]
    assert Visit(at, source="127.0.0.10", host="mx").arrive(0.0).code == 220
    visits[0].leave()
    visits[2].leave()  # never arrived: takes nothing back
    assert Visit(at, source="127.0.0.9", host="mx").arrive(0.0).code == 220
    assert at.counts.turned_away == 1


def test_messages_per_connection_are_limited() -> None:
    dialogue = start(office(messages_per_connection=2))
    message = HEAD % b"joe" + b"Subject: x\r\n\r\n.\r\n"
    assert ask(dialogue, message * 3) == ["250", "250", "354", "250"] * 2 + ["421"]
    assert dialogue.closing


def test_greylisting_puts_off_each_recipient_once() -> None:
    at = office(greylist_s=300.0)
    dialogue = start(at)
    rcpt = b"MAIL FROM:<>\r\nRCPT TO:<%s@here.example>\r\nRSET\r\n"
    assert ask(dialogue, rcpt % b"joe", now=0.0)[1] == "450"
    assert ask(dialogue, rcpt % b"joe", now=299.0)[1] == "450"
    assert ask(dialogue, rcpt % b"joe", now=300.0)[1] == "250"
    assert ask(dialogue, rcpt % b"ann", now=300.0)[1] == "450"
    assert at.counts.deferred == 3


def test_a_passing_fault_passes_and_a_full_mailbox_stays_full() -> None:
    dialogue = start(office())
    rcpt = b"MAIL FROM:<>\r\nRCPT TO:<%s@here.example>\r\nRSET\r\n"
    assert [ask(dialogue, rcpt % b"slow", now=now)[1] for now in (0.0, 1.0)] == ["451", "250"]
    assert [ask(dialogue, rcpt % b"full", now=now)[1] for now in (0.0, 1.0)] == ["452", "452"]


def test_complaints_are_counted() -> None:
    at = office()
    dialogue = start(at)
    ask(dialogue, b"".join(HEAD % name + b"\r\n.\r\n" for name in (b"joe", b"angry", b"ann")))
    assert (at.counts.accepted, at.counts.complaints) == (3, 1)


def test_a_warming_source_is_met_as_strict_receivers_meet_it() -> None:
    """Four virtual days at Google, by the hour: two that it takes, a jump, and the day after the jump."""
    world = build(WorldOptions(strict=True, troubles=0.0, requires_dkim=False))
    internet = Internet(world, world.zone())
    taken = []
    for day, count in enumerate([1_000, 1_800, 9_000, 3_600]):
        before = len(internet.accepted)
        for hour in range(10):
            now = (20_000 + day) * 86_400.0 + hour * 3_600.0
            dialogue = internet.dialogue("gmail-smtp-in.l.google.com", "127.0.0.9")
            dialogue.open(now)
            dialogue.receive(b"EHLO out.example\r\nSTARTTLS\r\n", now)
            dialogue.tls_started()
            dialogue.receive(b"EHLO out.example\r\n", now)
            for _ in range(count // 10):
                dialogue.receive(b"MAIL FROM:<>\r\nRCPT TO:<joe@gmail.com>\r\nDATA\r\n\r\n.\r\n", now)
        taken.append(len(internet.accepted) - before)
    assert taken[:2] == [1_000, 1_800]
    assert 2_800 <= taken[2] < 3_600  # twice the mean of these, and a trickle
    assert taken[3] < 3_600
    assert internet.counts()["google"].deferred > 0
