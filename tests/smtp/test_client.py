"""What the dialogs do not show: misuse, what the machine says of itself, and where a loss leaves each transaction."""

import gc
import weakref
from collections.abc import Callable

import pytest

from sender.errors import LocalProtocolError, RemoteProtocolError
from sender.model import Pipelining, Step, TlsPolicy, Transaction
from sender.smtp.capability import Capabilities
from sender.smtp.client import Client, ClientOptions
from sender.smtp.event import Finished, Ready, StartTls
from sender.smtp.pipeline import Limits


def message(content: bytes = b"Hello\r\n", rcpt: str = "user@example.com") -> Transaction:
    return Transaction(mail_from="bounce@out.example", rcpt=rcpt, head=content)


def ready(mode: Pipelining = Pipelining.GROUP, *offers: str, limits: Limits | None = None) -> Client:
    client = Client(ClientOptions(ehlo="out.example", tls=TlsPolicy.OFF, pipelining=mode, limits=limits or Limits()))
    client.receive(b"220 mx\r\n")
    client.data_to_send()
    client.receive("".join(f"250-{offer}\r\n" for offer in ("mx", "PIPELINING", *offers)).encode() + b"250 8BITMIME\r\n")
    return client


def test_repr_is_what_an_operator_wants_to_know() -> None:
    client = ready()
    assert repr(client) == "<Client out.example: ready, at MAIL, 0 open>"
    client.send(message())
    client.data_to_send()
    client.receive(b"250 Ok\r\n")
    assert repr(client) == "<Client out.example: ready, at RCPT, 1 open>"


def test_step_follows_the_reply_that_is_due() -> None:
    client = Client(ClientOptions(ehlo="out.example", tls=TlsPolicy.REQUIRED))
    steps = [client.step]
    for heard in (b"220 mx\r\n", b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n"):
        client.receive(heard)
        client.data_to_send()
        steps.append(client.step)
    assert client.receive(b"220 go\r\n") == [StartTls()]
    steps.append(client.step)
    client.tls_started()
    steps.append(client.step)
    assert repr(client) == "<Client out.example over TLS: opening, at EHLO, 0 open>"
    client.data_to_send()
    client.receive(b"250-mx\r\n250 PIPELINING\r\n")
    client.send(message())
    client.data_to_send()
    client.receive(b"250 Ok\r\n250 Ok\r\n")
    steps.append(client.step)
    client.receive(b"354 Go\r\n")
    client.data_to_send()
    steps.append(client.step)
    client.receive(b"250 Ok\r\n")
    client.quit()
    steps.append(client.step)
    expected = [Step.GREETING, Step.EHLO, Step.STARTTLS, Step.TLS, Step.EHLO, Step.DATA, Step.DOT, Step.QUIT]
    assert steps == expected


@pytest.mark.row("S15")
def test_capabilities_learnt_in_clear_are_gone_with_the_handshake() -> None:
    client = Client(ClientOptions(ehlo="out.example"))
    client.receive(b"220 mx\r\n")
    client.data_to_send()
    client.receive(b"250-mx\r\n250-SIZE 10\r\n250 STARTTLS\r\n")
    client.data_to_send()
    client.receive(b"220 go\r\n")
    assert client.capabilities.size == 10
    client.tls_started()
    assert client.capabilities == Capabilities()


def test_ready_tells_what_is_offered() -> None:
    client = Client(ClientOptions(ehlo="out.example", tls=TlsPolicy.OFF, pipelining=Pipelining.CHAIN))
    client.receive(b"220 mx\r\n")
    client.data_to_send()
    assert client.receive(b"250-mx\r\n250 SIZE 5\r\n") == [Ready(Capabilities(size=5))]
    assert client.pipelining is Pipelining.LOCKSTEP


@pytest.mark.parametrize(("mode", "wants"), [(Pipelining.LOCKSTEP, 1), (Pipelining.GROUP, 1), (Pipelining.CHAIN, 2)])
def test_no_more_is_taken_than_wanted(mode: Pipelining, wants: int) -> None:
    client = ready(mode)
    assert client.wants == wants
    for _ in range(wants):
        client.send(message())
    assert client.wants == 0
    with pytest.raises(LocalProtocolError, match="handed over"):
        client.send(message())
    assert len(client.lost("closed")) == wants


def test_octets_in_flight_are_bounded_and_one_message_always_fits() -> None:
    client = ready(Pipelining.CHAIN, "CHUNKING", limits=Limits(transactions=5, octets=10))
    client.send(message())
    assert client.wants == 4
    client.send(message())
    assert client.wants == 0
    client.data_to_send()
    client.receive(b"250 Ok\r\n" * 3)
    assert client.wants == 0
    client.receive(b"250 Ok\r\n" * 4)
    assert client.wants == 5
    client.send(message(b"a long one\r\n" * 100))
    assert client.wants == 0


def test_octets_that_arrived_make_room_for_others() -> None:
    client = ready(Pipelining.CHAIN, "CHUNKING", limits=Limits(transactions=5, octets=20))
    for _ in range(3):
        client.send(message())
    assert client.wants == 0
    client.data_to_send()
    assert len(client.receive(b"250 Ok\r\n" * 7)) == 1
    assert client.wants == 3


def test_a_refused_transaction_leaves_nothing_behind() -> None:
    client = ready()
    for bad in (message(b"bare\nline\r\n"), message(rcpt="a b@example.com"), message(rcpt="é@example.com")):
        with pytest.raises(LocalProtocolError):
            client.send(bad)
    assert client.idle
    assert client.data_to_send() == b""
    assert client.wants == 1


def test_nothing_is_sent_before_ready_or_after_the_end() -> None:
    client = Client(ClientOptions(ehlo="out.example"))
    misuses: list[Callable[[], object]] = [lambda: client.send(message()), client.quit, client.reset, client.tls_started]
    for misuse in misuses:
        with pytest.raises(LocalProtocolError):
            misuse()
    client = ready()
    client.lost("closed")
    assert (client.wants, client.ready, client.data_to_send(), client.receive(b"250 Ok\r\n")) == (0, False, b"", [])
    with pytest.raises(LocalProtocolError):
        client.send(message())


def test_quit_and_reset_wait_for_what_is_open() -> None:
    client = ready()
    client.send(message())
    for misuse in (client.quit, client.reset):
        with pytest.raises(LocalProtocolError, match="idle"):
            misuse()


@pytest.mark.row("F32")
def test_quit_is_never_pipelined_behind_the_dot() -> None:
    client = ready()
    client.send(message())
    client.data_to_send()
    client.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    client.data_to_send()
    with pytest.raises(LocalProtocolError):
        client.quit()


def test_what_was_never_handed_out_is_no_attempt() -> None:
    client = ready()
    sent = message()
    client.send(sent)
    (result,) = client.lost("closed")
    assert (result.transaction, result.step, result.error, result.in_doubt) == (sent, Step.CONNECT, "closed", False)
    assert client.lost("again") == []


def test_content_is_in_doubt_from_the_moment_it_is_handed_out() -> None:
    for handed_out in (False, True):
        client = ready()
        sent = message()
        client.send(sent)
        client.data_to_send()
        assert not client.ending
        client.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
        assert client.ending == (sent,)
        if handed_out:
            client.data_to_send()
            assert not client.ending
        (result,) = client.lost("closed")
        assert (result.step, result.in_doubt) == (Step.DOT, handed_out)


def test_results_decided_ahead_of_a_protocol_error_are_not_lost() -> None:
    client = ready(Pipelining.CHAIN)
    for _ in range(2):
        client.send(message())
    client.data_to_send()
    client.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    client.data_to_send()
    with pytest.raises(RemoteProtocolError) as raised:
        client.receive(b"250 queued\r\n250 Ok\r\n250 Ok\r\n354 Go\r\nwhat?\r\n")
    assert raised.value.step is Step.DOT
    first, second = client.lost(str(raised.value))
    assert first.reply is not None
    assert first.reply.code == 250
    assert (second.step, second.reply, second.in_doubt) == (Step.DOT, None, False)


def test_an_endless_babble_after_the_end_is_not_kept() -> None:
    client = ready()
    client.receive(b"421 Bye\r\n")
    for _ in range(3):
        assert client.receive(b"x" * 100_000) == []
    assert not client._parser.pending


def test_reset_is_idle_again_once_answered() -> None:
    client = ready()
    client.reset()
    assert client.data_to_send() == b"RSET\r\n"
    assert (client.idle, client.step) == (False, Step.RSET)
    assert client.receive(b"250 Ok\r\n") == []
    assert client.idle


def test_the_result_carries_the_transaction_and_its_reply() -> None:
    client = ready()
    sent = message()
    client.send(sent)
    client.data_to_send()
    client.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    client.data_to_send()
    (event,) = client.receive(b"250 2.0.0 queued as 1\r\n")
    assert isinstance(event, Finished)
    assert event.result.transaction is sent
    assert str(event.result.reply) == "250 2.0.0 queued as 1"
    assert not event.result.in_doubt


@pytest.mark.parametrize("mode", list(Pipelining))
def test_what_a_lost_session_had_open_does_not_wait_for_the_collector(mode: Pipelining) -> None:
    class Tag:
        """Whatever the caller hangs on to a message, and with it the content."""

    tag = Tag()
    held = weakref.ref(tag)
    client = ready(mode)
    client.send(Transaction(mail_from="bounce@out.example", rcpt="user@example.com", head=b"Hello\r\n", tag=tag))
    client.data_to_send()
    client.lost("connection lost")
    gc.disable()
    try:
        del client, tag
        assert held() is None
    finally:
        gc.enable()


HEAD, PIECES = b".A: b\r\n\r\n", (b"Dear ", b"Ann", b",\r\nbye.\r\n")


def in_pieces(*body: bytes, head: bytes = HEAD, fit: bool = True) -> Transaction:
    return Transaction(
        mail_from="b@out.example", rcpt="a@a.example", head=head, body=body, body_size=sum(map(len, body)), fit=fit
    )


def as_written(mode: Pipelining, transaction: Transaction, *offers: str) -> bytes:
    """What goes out behind the commands."""
    client = ready(mode, "SIZE", *offers)
    client.send(transaction)
    commands = client.data_to_send()
    assert b" SIZE=%d" % transaction.size in commands
    if offers:
        return commands.partition(b"LAST\r\n")[2]
    client.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    return client.data_to_send()


@pytest.mark.parametrize("fit", [True, False])
def test_a_message_in_pieces_is_written_as_one(fit: bool) -> None:
    """Whether or not it has to be searched; a dot that begins a line is doubled for DATA alone."""
    transaction = in_pieces(*PIECES, fit=fit)
    assert as_written(Pipelining.GROUP, transaction) == b"..A: b\r\n\r\nDear Ann,\r\nbye.\r\n.\r\n"
    assert as_written(Pipelining.CHAIN, transaction, "CHUNKING") == transaction.content == b".A: b\r\n\r\nDear Ann,\r\nbye.\r\n"


def test_the_end_of_a_message_in_pieces_is_found() -> None:
    """Nobody but the kernel has what stands in front of it, as long as that is not known to have gone."""
    client = ready(Pipelining.CHAIN)
    client.send(in_pieces(*PIECES))
    client.data_to_send()
    client.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    client.send(message(b"another\r\n"))
    written = client.data_to_send()
    behind = len(written.partition(b"\r\n.\r\n")[2])
    assert 0 < behind < len(written)
    results = [each.in_doubt for each in client.lost("closed", unsent=behind)]
    assert results == [True, False]
    again = ready()
    again.send(in_pieces(*PIECES))
    again.data_to_send()
    again.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    again.data_to_send()
    assert [each.in_doubt for each in again.lost("closed", unsent=1)] == [False]


@pytest.mark.parametrize("bad", [b"\n", b"\r", b"\0", b"\n.\n", b"\n.\r\n"])
def test_pieces_that_nobody_vouches_for_are_searched(bad: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        ready().send(in_pieces(b"Dear ", bad, b"bye.\r\n", fit=False))
    with pytest.raises(LocalProtocolError):
        ready().send(in_pieces(*PIECES, head=b"A: b" + bad + b"c\r\n\r\n"))
    with pytest.raises(LocalProtocolError):
        ready().send(in_pieces(*PIECES, head=b"A: b"))
