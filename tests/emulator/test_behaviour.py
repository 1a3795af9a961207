"""The fates of addresses, and the replies as data."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.emulator.answers import ORDINARY, Answer, Answers
from workers.emulator.behaviour import Behaviour, Mailbox, chance, mailbox
from workers.emulator.wording import APPLE, FREE, GOOGLE, LAPOSTE, MICROSOFT, ORANGE, SFR, UNITED_INTERNET, YAHOO

ALL = [ORDINARY, GOOGLE, MICROSOFT, YAHOO, APPLE, ORANGE, LAPOSTE, FREE, SFR, UNITED_INTERNET]


@given(st.integers(0, 2**31), st.text(max_size=40))
def test_chance_is_a_share_and_always_the_same(seed: int, address: str) -> None:
    assert 0.0 <= chance(seed, "unknown", address) < 1.0
    assert chance(seed, "unknown", address) == chance(seed, "unknown", address)


def test_chance_is_even_and_independent_between_fates() -> None:
    addresses = [f"reader-{number:07}@gmail.com" for number in range(20_000)]
    unknown = {address for address in addresses if chance(1, "unknown", address) < 0.1}
    full = {address for address in addresses if chance(1, "full", address) < 0.1}
    assert len(unknown) == pytest.approx(2_000, rel=0.1)
    assert len(unknown & full) == pytest.approx(200, rel=0.3)


def test_an_address_can_say_what_it_is() -> None:
    fine = Behaviour()
    assert mailbox(fine, 1, "Unknown-7@gmail.com").unknown
    assert mailbox(fine, 1, "full-7@gmail.com").full
    assert mailbox(fine, 1, "slow-7@gmail.com").hiccups
    assert mailbox(fine, 1, "angry-7@gmail.com").complains
    assert mailbox(fine, 1, "joe@gmail.com") == Mailbox()


@pytest.mark.parametrize("answers", ALL)
def test_every_reply_is_well_formed_and_its_digit_fits_its_purpose(answers: Answers) -> None:
    digits = {"data_ok": 3} | dict.fromkeys(["greeting", "mail_ok", "rcpt_ok", "accepted"], 2)
    digits |= dict.fromkeys(["connections", "messages", "rate", "deferred", "greylisted", "hiccup", "full"], 4)
    for field in fields(answers):
        answer = getattr(answers, field.name)
        assert answer.code // 100 == digits.get(field.name, 5), field.name
        lines = answer.render(ip="192.0.2.1", rcpt="a@b.example", host="mx.example", queue_id="q1").split(b"\r\n")
        assert lines.pop() == b""
        assert all(line.startswith(b"%d-" % answer.code) for line in lines[:-1])
        assert lines[-1].startswith(b"%d " % answer.code)
        assert not any(b"{" in line for line in lines)
        assert not answer.enhanced or answer.enhanced[0] == str(answer.code)[0], field.name


def test_the_enhanced_code_stands_on_every_line() -> None:
    answer = Answer(code=550, enhanced="5.1.1", text="no\n{rcpt}")
    assert answer.render(rcpt="a@b.example") == b"550-5.1.1 no\r\n550 5.1.1 a@b.example\r\n"
