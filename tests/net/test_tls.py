"""TLS per policy, with real certificates on the loopback: what is encrypted, what is refused, what is remembered."""

import datetime
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from sender.errors import TransportKind
from sender.model import Step, TlsPolicy
from sender.net.session import SessionOptions
from sender.net.tls import TlsContexts
from tests.net.dnsserver import dns_server
from tests.net.smtpserver import Behaviour, Connection, Receiver, close, hang, receiver, reset
from tests.net.world import DEADLINES, Work, World, message, server_context

ENCRYPTING = [TlsPolicy.OPPORTUNISTIC, TlsPolicy.REQUIRED, TlsPolicy.VERIFIED]


def options(policy: TlsPolicy) -> SessionOptions:
    return SessionOptions(deadlines=DEADLINES, tls=policy)


@asynccontextmanager
async def scene(context: ssl.SSLContext | None, ca_file: Path | str = "") -> AsyncIterator[tuple[World, Receiver]]:
    async with (
        dns_server("mx.test. 300 A 127.0.0.1") as dns,
        receiver(tls=context) as mx,
        World(dns, mx.port, ca_file=str(ca_file)) as world,
    ):
        yield world, mx


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize("policy", ENCRYPTING)
async def test_a_session_is_encrypted_and_carries_mail(policy: TlsPolicy, authority: trustme.CA, ca_file: Path) -> None:
    async with scene(server_context(authority, "mx.test"), ca_file) as (world, mx):
        session = await world.session(options(policy))
        assert session.tls_version == "TLSv1.3"
        assert "AES" in session.cipher or "CHACHA" in session.cipher
        work = Work([message(number, octets=100_000) for number in range(20)])
        await session.pump(work.take, work.done)
        work.check()
        assert len(mx.messages) == 20
        assert mx.commands.count("EHLO out.example.test") == 2
        assert Step.TLS in [step for step, _ in world.waits]
        assert "TLSv1.3" in repr(session)
        assert session.usable_now()
        await session.aclose()


async def test_off_never_asks(authority: trustme.CA) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        session = await world.session(options(TlsPolicy.OFF))
        assert session.tls_version == ""
        assert "STARTTLS" not in mx.commands


@pytest.mark.parametrize(
    ("names", "expected"), [(["other.test"], "certificate-host-mismatch"), (["mx.test"], "certificate-not-trusted")]
)
@pytest.mark.row("F36")
async def test_verified_defers_with_the_reason(names: list[str], expected: str, authority: trustme.CA, ca_file: Path) -> None:
    issuer = authority if expected == "certificate-host-mismatch" else trustme.CA()
    async with scene(server_context(issuer, *names), ca_file) as (world, mx):
        failure = await world.failure(options(TlsPolicy.VERIFIED))
        assert (failure.step, failure.kind) == (Step.TLS, TransportKind.TLS)
        assert expected in str(failure)
        assert not any(line.startswith("MAIL") for line in mx.commands)


@pytest.mark.row("F36")
async def test_verified_refuses_an_expired_certificate(authority: trustme.CA, ca_file: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    authority.issue_cert("mx.test", not_after=past).configure_cert(context)
    async with scene(context, ca_file) as (world, _):
        assert "certificate-expired" in str(await world.failure(options(TlsPolicy.VERIFIED)))


@pytest.mark.parametrize("policy", [TlsPolicy.OPPORTUNISTIC, TlsPolicy.REQUIRED])
async def test_a_certificate_nobody_asked_for_is_not_judged(policy: TlsPolicy) -> None:
    async with scene(server_context(trustme.CA(), "other.test")) as (world, _):
        assert (await world.session(options(policy))).tls_version


@pytest.mark.parametrize("policy", [TlsPolicy.REQUIRED, TlsPolicy.VERIFIED])
async def test_without_starttls_nothing_goes_in_clear(policy: TlsPolicy) -> None:
    async with scene(None) as (world, mx):
        failure = await world.failure(options(policy))
        assert (failure.step, failure.kind) == (Step.STARTTLS, TransportKind.TLS)
        assert "starttls-not-supported: not offered" in str(failure)
        assert not any(line.startswith("MAIL") for line in mx.commands)


@pytest.mark.parametrize("policy", [TlsPolicy.REQUIRED, TlsPolicy.VERIFIED])
async def test_starttls_refused_is_a_deferral_where_tls_is_a_must(policy: TlsPolicy, authority: trustme.CA) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("STARTTLS", b"454 4.7.0 not now\r\n")
        assert "starttls-not-supported: refused: 454 4.7.0 not now" in str(await world.failure(options(policy)))


async def test_starttls_refused_or_absent_is_let_pass_where_it_is_a_wish(authority: trustme.CA) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("STARTTLS", b"454 4.7.0 not now\r\n")
        assert (await world.session(options(TlsPolicy.OPPORTUNISTIC))).tls_version == ""
        assert (await world.session(options(TlsPolicy.OPPORTUNISTIC))).tls_version == "TLSv1.3"


async def say_220_then_garbage(connection: Connection) -> None:
    await connection.send(b"220 go ahead\r\n")
    await connection.stream.receive_some(65536)
    await connection.send(b"this is no TLS record at all\r\n")
    await hang(connection)


async def say_220_then_nothing(connection: Connection) -> None:
    await connection.send(b"220 go ahead\r\n")
    await hang(connection)


async def say_220_then_close(connection: Connection) -> None:
    await connection.send(b"220 go ahead\r\n")
    await close(connection)


BROKEN: list[Behaviour] = [say_220_then_garbage, say_220_then_nothing, say_220_then_close, hang]


@pytest.mark.parametrize("behaviour", BROKEN)
@pytest.mark.row("F36")
async def test_broken_tls_is_remembered_and_mail_goes_in_clear_where_that_is_allowed(
    behaviour: Behaviour, authority: trustme.CA, patient_clock: trio.testing.MockClock
) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("STARTTLS", behaviour)
        session = await world.session(options(TlsPolicy.OPPORTUNISTIC))
        assert session.tls_version == ""
        assert len(mx.connections) == 2
        asked = mx.commands.count("STARTTLS")
        assert (await world.session(options(TlsPolicy.OPPORTUNISTIC))).tls_version == ""
        assert mx.commands.count("STARTTLS") == asked
        assert (await world.session(options(TlsPolicy.REQUIRED))).tls_version == "TLSv1.3"
        await trio.sleep(3601)
        assert (await world.session(options(TlsPolicy.OPPORTUNISTIC))).tls_version == "TLSv1.3"


@pytest.mark.parametrize("behaviour", BROKEN)
@pytest.mark.row("F36")
async def test_broken_tls_is_a_deferral_with_a_reason_where_tls_is_a_must(
    behaviour: Behaviour, authority: trustme.CA, patient_clock: trio.testing.MockClock
) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("STARTTLS", behaviour)
        failure = await world.failure(options(TlsPolicy.REQUIRED))
        assert failure.step in (Step.TLS, Step.STARTTLS)
        assert failure.kind in (TransportKind.TLS, TransportKind.TIMEOUT)
        assert failure.step is Step.STARTTLS or "validation-failure" in str(failure)
        assert not any(line.startswith("MAIL") for line in mx.commands)


@pytest.mark.row("F36")
async def test_a_receiver_below_tls_1_2_is_broken(authority: trustme.CA) -> None:
    old = server_context(authority, "mx.test")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old on purpose
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with scene(old) as (world, _):
        assert (await world.failure(options(TlsPolicy.REQUIRED))).kind is TransportKind.TLS
        assert (await world.session(options(TlsPolicy.OPPORTUNISTIC))).tls_version == ""


@pytest.mark.row("S15")
async def test_octets_behind_the_220_kill_the_session(authority: trustme.CA) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("STARTTLS", b"220 go ahead\r\n250-PIPELINING\r\n250 injected\r\n")
        failure = await world.failure(options(TlsPolicy.OPPORTUNISTIC))
        assert (failure.step, failure.kind, failure.reply) == (Step.STARTTLS, None, None)
        assert "injected" in str(failure)
        assert len(mx.connections) == 1


@pytest.mark.row("S15")
async def test_what_was_offered_in_clear_counts_for_nothing_after_tls(authority: trustme.CA) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("EHLO", b"250-mx.test\r\n250-CHUNKING\r\n250-PIPELINING\r\n250 STARTTLS\r\n", b"250 mx.test\r\n")
        world.hosts.note_good("mx.test", 3)
        session = await world.session(options(TlsPolicy.REQUIRED))
        work = Work([message(1)])
        await session.pump(work.take, work.done)
        assert not any(line.startswith("BDAT") for line in mx.commands)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_next_session_resumes(version: ssl.TLSVersion, authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority, "mx.test")
    context.maximum_version = version
    async with scene(context, ca_file) as (world, _):
        resumed = []
        for _ in range(4):
            session = await world.session(options(TlsPolicy.VERIFIED))
            resumed.append(session.tls_resumed)
        assert resumed == [False, True, True, True]
        other = await world.session(options(TlsPolicy.REQUIRED))
        assert not other.tls_resumed  # never across contexts: that session's certificate was not judged


async def test_a_receiver_that_forgot_the_session_gets_a_full_handshake(authority: trustme.CA) -> None:
    async with scene(server_context(authority, "mx.test")) as (world, mx):
        await world.session(options(TlsPolicy.REQUIRED))
        mx.tls = server_context(authority, "mx.test")
        session = await world.session(options(TlsPolicy.REQUIRED))
        assert session.tls_version
        assert not session.tls_resumed


async def test_a_receiver_that_stops_reading_under_tls_hits_the_write_deadline(
    authority: trustme.CA, patient_clock: trio.testing.MockClock
) -> None:
    async def read_nothing(connection: Connection) -> None:
        await connection.send(b"354 go on\r\n")
        await hang(connection)

    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("DATA", read_nothing)
        session = await world.session(options(TlsPolicy.REQUIRED))
        work = Work([message(1, octets=20_000_000)])
        await session.pump(work.take, work.done)
        assert [(result.step, result.in_doubt) for result in work.results] == [(Step.DOT, False)]


async def test_a_slow_reader_under_tls_is_waited_for_as_long_as_blocks_go(
    authority: trustme.CA, patient_clock: trio.testing.MockClock
) -> None:
    async def read_slowly(connection: Connection) -> None:
        await connection.send(b"354 go on\r\n")
        while not connection.held.endswith(b"\r\n.\r\n"):
            for _ in range(60):  # TLS records: a megabyte or so
                connection.held = connection.held[-8:] + await connection.stream.receive_some(1_000_000)
                if connection.held.endswith(b"\r\n.\r\n"):
                    break
            await trio.sleep(20)
        await connection.send(b"250 2.0.0 at last\r\n")

    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.plan("DATA", read_slowly)
        session = await world.session(options(TlsPolicy.REQUIRED))
        work = Work([message(1, octets=20_000_000)])
        began = trio.current_time()
        await session.pump(work.take, work.done)
        assert trio.current_time() - began > 240
        assert [result.reply and result.reply.text for result in work.results] == ["at last"]


async def test_what_was_read_of_a_write_that_got_stuck_under_tls_is_in_doubt(
    authority: trustme.CA, patient_clock: trio.testing.MockClock
) -> None:
    """Two messages in one write: the receiver has all of the first, and never reads the end of the second."""

    async def die_before_the_reply(connection: Connection) -> None:
        await trio.sleep(5)
        await reset(connection)

    async with scene(server_context(authority, "mx.test")) as (world, mx):
        mx.keywords.append("CHUNKING")
        mx.plan("BDAT", die_before_the_reply)
        world.hosts.note_good("mx.test", 3)
        session = await world.session(options(TlsPolicy.REQUIRED))
        work = Work([message(1, octets=900_000), message(2, octets=20_000_000)])
        await session.pump(work.take, work.done)
        work.check()
        assert len(mx.messages) == 1
        assert [(result.step, result.in_doubt) for result in work.results] == [(Step.DOT, True), (Step.MAIL, False)]


async def test_sni_names_the_mx_host(authority: trustme.CA) -> None:
    asked: list[str | None] = []
    context = server_context(authority, "mx.test")
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with scene(context) as (world, _):
        await world.session(options(TlsPolicy.OPPORTUNISTIC))
    assert asked == ["mx.test"]


def test_contexts_are_built_once_and_only_verified_ones_judge() -> None:
    contexts = TlsContexts()
    assert contexts.context(TlsPolicy.OPPORTUNISTIC) is contexts.context(TlsPolicy.REQUIRED)
    assert contexts.context(TlsPolicy.REQUIRED).verify_mode is ssl.CERT_NONE
    verified = contexts.context(TlsPolicy.VERIFIED)
    assert verified is contexts.context(TlsPolicy.VERIFIED)
    assert verified.verify_mode is ssl.CERT_REQUIRED
    assert verified.check_hostname
    for context in (verified, contexts.context(TlsPolicy.REQUIRED)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert repr(contexts) == "<TlsContexts ca=system, 0 sessions>"
