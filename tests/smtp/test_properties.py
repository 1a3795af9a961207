"""What holds for any receiver: a strict one, one that dies at any octet, and one that babbles."""

from collections.abc import Iterator
from itertools import chain, pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sender.errors import RemoteProtocolError
from sender.model import Pipelining, Result, TlsPolicy, Transaction
from sender.smtp.client import Client, ClientOptions
from sender.smtp.event import Finished
from sender.smtp.reply import ReplyError, ReplyParser
from tests.smtp.model_server import ModelServer, Taken

MESSAGES = [
    Transaction(
        mail_from=f"bounce+{number}@out.example",
        rcpt=f"user{number}@example.com",
        head=f"Subject: {number}\r\n\r\n.hidden\r\n.\r\n{'text ' * number}\r\n".encode(),
        tag=number,
    )
    for number in range(6)
]
EHLOS = (b"250 mx\r\n", b"250-mx\r\n250 PIPELINING\r\n", b"250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n")
MODES = st.tuples(st.sampled_from(Pipelining), st.sampled_from(EHLOS), st.integers(1, 3))
BABBLE = st.one_of(
    st.sampled_from([b"250 Ok\r\n", b"250 Ok\r\n", b"354 Go\r\n", b"550 No\r\n", b"450 Later\r\n", b"421 Bye\r\n"]),
    st.sampled_from([b"250-Ok\r\n", b"250 Ok\r\n250 Ok\r\n354 Go\r\n", b"221 Bye\r\n", b"2200 Ok\r\n", b"queued I guess\r\n"]),
    st.binary(max_size=8),
)


class Run:
    """One session over a list of messages; what it wrote, and every result."""

    def __init__(self, mode: tuple[Pipelining, bytes, int]) -> None:
        self.client = Client(ClientOptions(ehlo="out.example", tls=TlsPolicy.OFF, pipelining=mode[0]))
        self._patience = mode[2]  # hands over so many messages in a turn at most, as a slow caller does
        self._messages = iter(MESSAGES)
        self._more = True
        self.taken: list[Transaction] = []
        self.results: list[Result] = []
        self.client.receive(b"220 mx\r\n")
        self.client.data_to_send()
        self.client.receive(mode[1])

    def turn(self) -> bytes:
        for _ in range(min(self.client.wants, self._patience)):
            message = next(self._messages, None)
            self._more = message is not None
            if message is None:
                break
            self.taken.append(message)
            assert self.client.send(message) is None
        return self.client.data_to_send()

    def hear(self, data: bytes) -> bool:
        """Whether the session goes on."""
        try:
            events = self.client.receive(data)
        except RemoteProtocolError as error:
            self.results += self.client.lost(str(error))
            return False
        self.results += [event.result for event in events if isinstance(event, Finished)]
        return self.client.ready

    @property
    def working(self) -> bool:
        return self._more or not self.client.idle

    @property
    def delivered(self) -> list[Transaction]:
        return [result.transaction for result in self.results if result.reply is not None and result.reply.code < 300]


def as_taken(messages: list[Transaction]) -> list[Taken]:
    return [Taken(message.mail_from, message.rcpt, message.content) for message in messages]


def parse(parser: ReplyParser, chunks: list[bytes]) -> tuple[list[str], bool]:
    """The replies in `chunks`, and whether they end in an error."""
    replies = []
    try:
        for chunk in chunks:
            parser.feed(chunk)
            while (reply := parser.take()) is not None:
                replies.append(str(reply))
    except ReplyError:
        return replies, True
    return replies, False


def split(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[start:end] for start, end in pairwise(places))


@given(st.lists(BABBLE), st.lists(st.integers(0, 400)))
def test_replies_do_not_depend_on_how_they_are_split(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    assert parse(ReplyParser(), list(split(data, cuts))) == parse(ReplyParser(), [data])


@given(st.lists(st.one_of(BABBLE, st.binary(max_size=60)), max_size=40), st.lists(st.integers(0, 400)))
def test_what_is_kept_of_a_reply_is_bounded_and_printable(pieces: list[bytes], cuts: list[int]) -> None:
    parser = ReplyParser(max_bytes=100, max_lines=4)
    for chunk in split(b"".join(pieces), cuts):
        parser.feed(chunk)
        try:
            while (reply := parser.take()) is not None:
                assert len(reply.lines) <= 4
                assert sum(map(len, reply.lines)) <= 100
                assert reply.text.isprintable()
        except ReplyError:
            return


@given(MODES, st.lists(st.integers(0, 3), max_size=40), st.lists(st.integers(0, 60)))
@pytest.mark.row("F32")
def test_a_strict_receiver_has_exactly_what_is_called_delivered(
    mode: tuple[Pipelining, bytes, int], choices: list[int], cuts: list[int]
) -> None:
    server = ModelServer(chain(choices, repeat(0)))
    run = Run(mode)
    going = True
    while going and run.working:
        for piece in split(server.answer(run.turn()), cuts):
            going = going and run.hear(piece)
    open_results = run.client.lost("closed")
    assert as_taken(run.delivered) == server.taken
    assert sorted(map(number, run.results + open_results)) == sorted(map(tag, run.taken))
    assert not (open_results and going)


@given(MODES, st.lists(st.integers(0, 2), max_size=20), st.integers(0, 3000), st.integers(0, 400))
def test_a_lost_connection_leaves_no_more_in_doubt_than_was_sent(
    mode: tuple[Pipelining, bytes, int], choices: list[int], lives: int, hears: int
) -> None:
    """The receiver gets so many octets of ours before the connection breaks, and we so many of its."""
    server = ModelServer(chain(choices, repeat(0)))
    run = Run(mode)
    going, unsent = True, 0
    while going and run.working:
        data = run.turn()
        unsent = max(0, len(data) - lives)
        heard = server.answer(data[:lives])[:hears]
        going = run.hear(heard) and len(data) <= lives and len(heard) < hears
        lives, hears = lives - len(data), hears - len(heard)
    run.results += run.client.lost("closed", unsent=unsent)
    maybe = as_taken([result.transaction for result in run.results if result.in_doubt])
    delivered = as_taken(run.delivered)
    assert sorted(map(number, run.results)) == sorted(map(tag, run.taken))
    assert all(taken in delivered or taken in maybe for taken in server.taken)
    assert all(taken in server.taken for taken in delivered)


@settings(max_examples=300)
@given(MODES, st.lists(BABBLE, max_size=30))
@pytest.mark.row("F32")
def test_a_babbling_receiver_is_believed_only_behind_an_end_of_data(
    mode: tuple[Pipelining, bytes, int], babble: list[bytes]
) -> None:
    run = Run(mode)
    written = b""
    completions = 0
    for piece in babble:
        written += run.turn()
        completions += piece.count(b"250") + 1  # the last may complete a line cut before
        going = run.hear(piece)
        for message in run.delivered:
            assert message.content.splitlines()[0] in written
        assert len(run.delivered) <= completions
        if not going:
            break
    run.results += run.client.lost("closed")
    assert sorted(map(number, run.results)) == sorted(map(tag, run.taken))
    assert written.count(b"\r") == written.count(b"\n") == written.count(b"\r\n")
    assert all(
        result.in_doubt or result.reply or f"Subject: {number(result)}\r".encode() not in written for result in run.results
    )


def number(result: Result) -> int:
    return tag(result.transaction)


def tag(message: Transaction) -> int:
    assert isinstance(message.tag, int)
    return message.tag
