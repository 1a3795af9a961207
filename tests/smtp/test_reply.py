"""Replies: what is read, what is shown of it, and what is refused."""

import pytest

from sender.model import Reply
from sender.smtp.reply import KEPT_CHARS, ReplyError, ReplyParser, _known
from tests.corpora import corpus


def read(*chunks: bytes) -> list[Reply]:
    parser = ReplyParser()
    replies = []
    for chunk in chunks:
        parser.feed(chunk)
        while (reply := parser.take()) is not None:
            replies.append(reply)
    return replies


def test_a_reply_of_one_line() -> None:
    assert read(b"250 2.0.0 Ok: queued as 1\r\n") == [Reply(code=250, enhanced="2.0.0", lines=("Ok: queued as 1",))]


def test_a_reply_of_several_lines_loses_its_enhanced_code_on_each() -> None:
    reply = Reply(code=550, enhanced="5.1.1", lines=("No such", "user", "", "5.1.10 is another code"))
    assert read(b"550-5.1.1 No such\r\n550-5.1.1\tuser\r\n550-5.1.1\r\n550 5.1.10 is another code\r\n") == [reply]


def test_ironport_s_number_sign_is_no_part_of_an_enhanced_code() -> None:
    assert read(b"550 #5.1.0 Address rejected.\r\n") == [Reply(code=550, enhanced="5.1.0", lines=("Address rejected.",))]


@pytest.mark.parametrize(
    "text", ["4.1.1 user", "5.1.1.1 user", "5.1 user", "5.1.1234 user", "55.1.1 user", "see 5.1.1", "5.1.1:"]
)
def test_what_is_no_enhanced_code_of_this_reply_stays_in_the_text(text: str) -> None:
    assert read(f"550 {text}\r\n".encode()) == [Reply(code=550, lines=(text,))]


def test_bare_codes_and_line_feeds_alone_are_read() -> None:
    assert read(b"250\r\n354\n250-a\n250 b\n") == [
        Reply(code=250, lines=("",)),
        Reply(code=354, lines=("",)),
        Reply(code=250, lines=("a", "b")),
    ]


def test_the_same_line_again_is_the_same_reply_but_never_across_a_multi_line_one() -> None:
    first, second, third = read(b"250 Ok\r\n250 Ok\r\n250-Well\r\n250 Ok\r\n")
    assert first is second
    assert third.lines == ("Well", "Ok")
    assert read(b"250-Well\r\n250 Ok\r\n") == [third]


def test_what_one_session_has_heard_the_next_one_knows() -> None:
    (first,), (second,) = read(b"250 Ok\r\n"), read(b"250 Ok\r\n")
    assert first is second


@pytest.mark.row("S19")
def test_remembered_lines_are_bounded_in_number_and_length() -> None:
    for number in range(2_000):
        assert read(b"250 queued as %d\r\n" % number) == [Reply(code=250, lines=(f"queued as {number}",))]
    before = _known.cache_info()
    assert before.currsize == before.maxsize == 1_024
    read(b"250 " + b"a" * 508 + b"\r\n")  # 513 octets with the CR
    assert _known.cache_info() == before
    read(b"250 " + b"a" * 507 + b"\r\n")
    assert _known.cache_info().misses == before.misses + 1


@pytest.mark.row("S19")
def test_hostile_octets_are_shown_and_do_nothing() -> None:
    (reply,) = read(b"550 \x1b[31m\x00 bare\rreturn \xff caf\xc3\xa9 \xe2\x80\xae\r\n")
    assert reply.lines == ("\\x1b[31m\\x00 bare\\rreturn \\xff café \\u202e",)


@pytest.mark.parametrize(
    "line",
    [b"", b"25", b"25x Ok", b"2200 Ok", b"150 Ok", b"650 Ok", b"250_Ok", b" 250 Ok", b"\xb2\xb2\xb2 Ok", b"queued", b"250\tOk"],
)
@pytest.mark.row("F32")
def test_what_is_not_a_reply_is_none_the_second_time_either(line: bytes) -> None:
    for _ in range(2):
        with pytest.raises(ReplyError, match="not a reply"):
            read(line + b"\r\n")


def test_an_error_quotes_no_more_than_a_log_line_takes() -> None:
    with pytest.raises(ReplyError) as raised:
        read(b"\x1b" * 1_000 + b"\r\n")
    assert len(str(raised.value)) < 200
    assert str(raised.value).isprintable()


@pytest.mark.row("F32")
def test_a_code_may_not_change_within_a_reply() -> None:
    with pytest.raises(ReplyError, match="the code changes"):
        read(b"250-a\r\n550 b\r\n")


@pytest.mark.row("F34")
def test_a_hundred_lines_and_no_more() -> None:
    (reply,) = read(b"250-a\r\n" * 99 + b"250 b\r\n")
    assert len(reply.lines) == 100
    with pytest.raises(ReplyError, match="more than 100 lines"):
        read(b"250-a\r\n" * 101)


@pytest.mark.row("F34")
def test_a_line_without_end_is_given_up_at_the_limit() -> None:
    parser = ReplyParser(max_bytes=100)
    parser.feed(b"250 " + b"a" * 96)
    assert parser.take() is None
    parser.feed(b"a")
    with pytest.raises(ReplyError, match="more than 100 octets"):
        parser.take()


@pytest.mark.row("F34")
def test_the_limit_on_octets_is_for_a_whole_reply() -> None:
    with pytest.raises(ReplyError, match="more than 65536 octets"):
        read(*[b"250-" + b"a" * 700 + b"\r\n"] * 94)


@pytest.mark.row("S19")
def test_a_megabyte_at_once_is_given_up() -> None:
    with pytest.raises(ReplyError):
        read(b"250 " + b"a" * 1_000_000 + b"\r\n")


def test_long_lines_are_cut_visibly() -> None:
    (reply,) = read(b"250 " + b"a" * 5_000 + b"\r\n")
    assert reply.lines == ("a" * (KEPT_CHARS - 1) + "…",)


@pytest.mark.row("S19")
def test_escapes_do_not_outgrow_the_limit() -> None:
    (reply,) = read((b"250-" + b"\x00" * 600 + b"\r\n") * 99 + b"250 end\r\n")
    assert sum(map(len, reply.lines)) <= 65_536


def test_pending_tells_of_octets_no_reply_accounts_for() -> None:
    parser = ReplyParser()
    parser.feed(b"220 go\r\n250")
    assert parser.take() == Reply(code=220, lines=("go",))
    assert parser.pending
    parser.feed(b"-more\r\n")
    assert parser.take() is None
    assert parser.pending
    parser.feed(b"250 end\r\n")
    assert parser.take() is not None
    assert not parser.pending


def test_replies_that_real_receivers_gave() -> None:
    """Each keeps its code, and its enhanced code where it has one of the same class."""
    rows = [line.split("\t") for line in corpus("replies.tsv").read_text().splitlines() if not line.startswith("#")]
    seen = 0
    for _, _, _, _, code, enhanced, text in rows:
        if text[:3] != code or text[3:4] != " ":
            continue
        (reply,) = read(text.encode() + b"\r\n")
        assert reply.code == int(code)
        if text[4:].startswith(f"{code[0]}.") and text[4:].startswith(enhanced + " "):
            seen += 1
            assert reply.enhanced == enhanced
            assert not reply.text.startswith(enhanced)
    assert seen > 50
