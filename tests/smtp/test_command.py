"""Commands: one line each, and content that ends where we say it does."""

import pytest

from sender.errors import LocalProtocolError
from sender.smtp import command
from tests import corpora

NASTY = ["\r", "\n", "\r\n", "\r\nRSET", "\0", "\t", " ", ">", "<", "\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\ud800"]


def look_alikes() -> list[str]:
    """The end-of-data look-alikes of the smuggling studies, and the true one."""
    table = corpora.load("smtp-smuggling/sequences.json")
    return sorted({*table["outbound_eod_sequences"], *table["inbound_eod_sequences"], *table["hannob"].values()})


def test_lines() -> None:
    assert command.ehlo("out.example") == b"EHLO out.example\r\n"
    assert command.ehlo("[IPv6:2001:db8::1]") == b"EHLO [IPv6:2001:db8::1]\r\n"
    assert command.helo("out.example") == b"HELO out.example\r\n"
    assert command.mail("") == b"MAIL FROM:<>\r\n"
    assert command.mail("a@b.example", size=10, eight_bit=True) == b"MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME\r\n"
    assert command.mail("é@b.example", smtputf8=True) == "MAIL FROM:<é@b.example> SMTPUTF8\r\n".encode()
    assert command.rcpt("a+b@c.example") == b"RCPT TO:<a+b@c.example>\r\n"
    assert command.rcpt("用户@例え.example", smtputf8=True) == "RCPT TO:<用户@例え.example>\r\n".encode()
    assert command.bdat(0, last=False) == b"BDAT 0\r\n"
    assert command.bdat(10, last=True) == b"BDAT 10 LAST\r\n"


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.row("S6")
def test_no_line_can_become_two(nasty: str) -> None:
    for line in (f"a{nasty}@b.example", f"{nasty}a@b.example", f"a@b.example{nasty}"):
        for build in (command.ehlo, command.helo):
            with pytest.raises(LocalProtocolError):
                build(line)
        for smtputf8 in (False, True):
            with pytest.raises(LocalProtocolError):
                command.mail(line, smtputf8=smtputf8)
            with pytest.raises(LocalProtocolError):
                command.rcpt(line, smtputf8=smtputf8)


def test_what_is_missing_or_not_ascii_is_refused() -> None:
    for name in ("", "héllo.example"):
        with pytest.raises(LocalProtocolError):
            command.ehlo(name)
    with pytest.raises(LocalProtocolError, match="no address"):
        command.rcpt("")
    with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
        command.rcpt("é@b.example")
    with pytest.raises(LocalProtocolError):
        command.bdat(-1, last=True)


@pytest.mark.row("S6")
def test_long_lines_are_refused() -> None:
    assert len(command.ehlo("a" * 505)) == command.MAX_LINE
    with pytest.raises(LocalProtocolError, match="over 512 octets"):
        command.ehlo("a" * 506)
    assert command.rcpt("a" * command.MAX_PATH)
    with pytest.raises(LocalProtocolError, match="over 254 octets"):
        command.rcpt("a" * (command.MAX_PATH + 1))
    with pytest.raises(LocalProtocolError, match="over 254 octets"):
        command.mail("é" * (command.MAX_PATH // 2 + 1), smtputf8=True)


@pytest.mark.parametrize("content", [b"a\r\n", b"\r\n", b"a\r\n\r\nb\r\n", b"\r\n" * 9])
def test_content_with_pairs_only_may_go(content: bytes) -> None:
    command.check_content(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a",
        b"a\n",
        b"a\r",
        b"a\n\r\n",
        b"a\r\r\n",
        b"\ra\r\n",
        b"\n\r\r\n",
        b"\n\r\n",
        b"\r\r\n\n\r\n",
        b"a\0b\r\n",
        b"a\n\rb\r\n",
    ],
)
@pytest.mark.row("S1")
def test_content_with_anything_else_may_not(content: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="content"):
        command.check_content(content)


@pytest.mark.row("S1")
def test_no_look_alike_of_an_end_of_data_leaves() -> None:
    sequences = look_alikes()
    assert len(sequences) >= 10
    for sequence in sequences:
        content = f"before{sequence}MAIL FROM:<forged@out.example>\r\n".encode()
        with pytest.raises(LocalProtocolError):
            command.check_content(content)


def test_dots_that_begin_a_line_are_doubled() -> None:
    assert command.dot_stuff(b".\r\na.\r\n.\r\n..b\r\n\r\n.c\r\n") == b"..\r\na.\r\n..\r\n...b\r\n\r\n..c\r\n"


def test_content_without_such_dots_is_not_copied() -> None:
    content = b"a.b\r\nc.\r\n"
    assert command.dot_stuff(content) is content
