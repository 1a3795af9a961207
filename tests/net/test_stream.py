"""The border: what the system says becomes a TransportError, and what a stream shows of itself."""

import errno
import os
import socket
import ssl
from contextlib import suppress

import pytest
import trio
import trustme

from sender.errors import TransportError, TransportKind
from sender.model import Source, Step
from sender.net.addresses import Targets
from sender.net.dial import Dialer
from sender.net.stream import Stream, translate
from tests.net.world import server_context


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ECONNREFUSED, TransportKind.REFUSED),
        (errno.ECONNRESET, TransportKind.RESET),
        (errno.EPIPE, TransportKind.RESET),
        (errno.ETIMEDOUT, TransportKind.TIMEOUT),
        (errno.ENETUNREACH, TransportKind.UNREACHABLE),
        (errno.EHOSTUNREACH, TransportKind.UNREACHABLE),
        (errno.EMFILE, TransportKind.RESOURCES),
        (errno.EADDRNOTAVAIL, TransportKind.RESOURCES),
        (errno.EPERM, TransportKind.FORBIDDEN),
    ],
)
def test_each_error_of_the_system_has_its_kind(code: int, kind: TransportKind) -> None:
    error = translate(Step.MAIL, OSError(code, os.strerror(code)))
    assert (error.step, error.kind, error.detail) == (Step.MAIL, kind, os.strerror(code))


def test_tls_errors_are_told_from_a_close() -> None:
    assert translate(Step.DOT, ssl.SSLEOFError()).kind is TransportKind.CLOSED
    incoming = ssl.MemoryBIO()
    incoming.write(b"220 this is no TLS record\r\n")
    secure = ssl.create_default_context().wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="mx.test")
    with pytest.raises(ssl.SSLError) as caught:
        secure.do_handshake()
    error = translate(Step.DOT, caught.value)
    assert (error.kind, error.detail) == (TransportKind.TLS, "wrong version number")


def pair() -> tuple[Stream, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return Stream(ours, peer="127.0.0.1"), theirs


async def test_octets_go_both_ways_and_the_end_is_empty() -> None:
    stream, theirs = pair()
    assert stream.receive_nowait() is None
    theirs.sendall(b"220 hello\r\n")
    assert await stream.receive_some() == b"220 hello\r\n"
    assert stream.send_nowait(memoryview(b"EHLO x\r\n")) == 8
    assert theirs.recv(100) == b"EHLO x\r\n"
    theirs.close()
    assert await stream.receive_some() == b""
    assert repr(stream) == "<Stream 127.0.0.1 clear>"
    stream.close()
    assert repr(stream) == "<Stream 127.0.0.1 clear closed>"


async def test_what_one_stream_has_read_is_its_own() -> None:
    (one, to_one), (other, to_other) = pair(), pair()
    long = b"550 " + b"x" * 20_000
    to_one.sendall(long)
    to_other.sendall(b"250 Ok\r\n")
    first, second, rest = one.receive_nowait(), other.receive_nowait(), one.receive_nowait()
    assert (first, second, rest) == (long[:16_384], b"250 Ok\r\n", long[16_384:])
    for each in (one, other, to_one, to_other):
        each.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("goodbye", [True, False])
async def test_the_end_under_tls_is_empty_with_or_without_a_goodbye(
    authority: trustme.CA, version: ssl.TLSVersion, goodbye: bool
) -> None:
    stream, theirs = pair()
    server, client = server_context(authority, "mx.test"), ssl.create_default_context()
    server.minimum_version = server.maximum_version = version
    authority.configure_trust(client)

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as secure:
            secure.sendall(b"x" * 20_000)
            secure.setblocking(False)
            if goodbye:
                with suppress(ssl.SSLWantReadError):  # that of the other side, which is not waited for
                    secure.unwrap()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, serve)
        await stream.start_tls(client, "mx.test")
    read = [await stream.receive_some() for _ in range(4)]
    assert list(map(len, read)) == [16_384, 20_000 - 16_384, 0, 0]
    stream.close()


async def test_a_full_buffer_takes_nothing_and_either_way_wakes() -> None:
    stream, theirs = pair()
    while stream.send_nowait(memoryview(b"x" * 65536)):
        pass
    theirs.sendall(b"552 enough\r\n")
    with trio.fail_after(60):
        await stream.wait_either()
    assert stream.receive_nowait() == b"552 enough\r\n"
    theirs.setblocking(False)
    while len(theirs.recv(1 << 20)) == 1 << 20:
        pass
    with trio.fail_after(60):
        await stream.wait_either()
    assert stream.send_nowait(memoryview(b"x"))
    stream.close()
    theirs.close()


async def test_no_descriptor_left_is_our_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    dialer = Dialer(targets=Targets(allow=["127.0.0.0/8"]), port=1)
    monkeypatch.setattr(socket, "socket", no_socket)
    with pytest.raises(TransportError) as caught:
        await dialer.connect(Source(name="s", address="", ehlo="x", pool="p"), "127.0.0.1", 1.0)
    assert caught.value.kind is TransportKind.RESOURCES


@pytest.mark.row("S10")
async def test_a_forbidden_address_gets_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_: object) -> socket.socket:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", no_socket)
    dialer = Dialer(targets=Targets(), port=25)
    for address in ("169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "mx.example.test"):
        with pytest.raises(TransportError) as caught:
            await dialer.connect(Source(name="s", address="", ehlo="x", pool="p"), address, 1.0)
        assert caught.value.kind is TransportKind.FORBIDDEN
