"""The whole emulated internet on loopback, met by the standard library's SMTP client."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.emulator.named import NamedSmtp
from tests.emulator.test_verifier import MESSAGE_TEXT, Signer
from workers.emulator.internet import Internet, emulate
from workers.emulator.people import addresses, exists
from workers.emulator.smtp import bind_all
from workers.emulator.world import DEAD_ADDRESS, WorldOptions, build

CALM = WorldOptions(troubles=0.0, greylist_s=0.0, requires_dkim=False)
GMAIL = "gmail-smtp-in.l.google.com"


@contextmanager
def client(internet: Internet, address: str, *, tls: str = "", source: str = "127.0.0.9") -> Iterator[smtplib.SMTP]:
    """A greeted client; with `tls` the name its certificate must have."""
    smtp = NamedSmtp(local_hostname="out.example", timeout=60, source_address=(source, 0))
    try:
        code, text = smtp.connect(address, internet.smtp_port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        smtp.ehlo()
        if tls:
            smtp._host = tls
            smtp.starttls(context=ssl.create_default_context(cafile=str(internet.ca_file)))
            smtp.ehlo()
        yield smtp
        smtp.quit()
    finally:
        smtp.close()


async def test_a_message_goes_in_over_tls_with_a_certificate_that_names_the_host() -> None:
    async with emulate(build(CALM)) as internet:

        def send() -> None:
            with client(internet, "127.77.1.1", tls=GMAIL) as smtp:
                assert smtp.has_extn("chunking")
                assert not smtp.has_extn("starttls")
                assert smtp.sendmail("news@shop.example", ["joe@gmail.com"], MESSAGE_TEXT) == {}

        await trio.to_thread.run_sync(send)
        [taken] = internet.accepted
        assert (taken.receiver, taken.host, taken.source, taken.tls) == ("google", GMAIL, "127.0.0.9", True)
        assert taken.message_id == "<1@shop.example>"
        assert internet.copies() == {"joe@gmail.com": 1}
        google = internet.counts()["google"]
        assert (google.connections, google.tls, google.accepted, google.octets) == (1, 1, 1, len(MESSAGE_TEXT))


async def test_a_certificate_for_another_host_is_noticed() -> None:
    async with emulate(build(CALM)) as internet:

        def send() -> None:
            with client(internet, "127.77.1.1", tls="mx.elsewhere.example"):
                pass

        with pytest.raises(ssl.SSLCertVerificationError):
            await trio.to_thread.run_sync(send)


async def test_unknown_users_and_strangers_are_refused_one_by_one() -> None:
    async with emulate(build(CALM)) as internet:

        def send() -> dict[str, tuple[int, bytes]]:
            with client(internet, "127.77.2.1") as smtp:
                to = ["joe@hotmail.com", "unknown-1@outlook.com", "ann@gmail.com"]
                return smtp.sendmail("news@shop.example", to, MESSAGE_TEXT)

        refused = await trio.to_thread.run_sync(send)
        assert {address: code for address, (code, _) in refused.items()} == {"unknown-1@outlook.com": 550, "ann@gmail.com": 554}
        counts = internet.counts()["microsoft"]
        assert (counts.accepted, counts.refused) == (1, 2)


async def test_orange_takes_two_connections_from_one_source_and_one_from_another() -> None:
    async with emulate(build(CALM)) as internet:

        def send() -> str:
            with client(internet, "127.77.5.1"), client(internet, "127.77.5.1"):
                with client(internet, "127.77.5.1", source="127.0.0.10"):
                    pass
                with pytest.raises(smtplib.SMTPConnectError) as refused, client(internet, "127.77.5.1"):
                    pass
            with client(internet, "127.77.5.1"):
                pass
            return str(refused.value)

        assert "421" in (text := await trio.to_thread.run_sync(send))
        assert "OFR004_104" in text
        assert internet.counts()["orange"].turned_away == 1


async def test_every_signature_is_judged_outside_and_counted_here() -> None:
    signer = Signer()
    world = build(WorldOptions(troubles=0.0))
    zone = world.zone()
    for name, text in signer.texts.items():
        zone.add(name, "TXT", text)
    async with emulate(world, zone=zone, verifiers=1) as internet:

        def send() -> None:
            with client(internet, "127.77.1.1", tls=GMAIL) as smtp:
                signed = signer.sign(MESSAGE_TEXT)
                for _ in range(5):
                    smtp.sendmail("news@shop.example", ["joe@gmail.com"], signed)
                smtp.sendmail("news@shop.example", ["joe@gmail.com"], signed.replace(b"Hello", b"Hullo"))
                with pytest.raises(smtplib.SMTPDataError, match="unauthenticated"):
                    smtp.sendmail("news@shop.example", ["joe@gmail.com"], MESSAGE_TEXT)

        await trio.to_thread.run_sync(send)
        await internet.settled()
        google = internet.counts()["google"]
        assert (google.accepted, google.dkim_pass, google.dkim_fail, google.refused) == (6, 5, 1, 1)
        assert {judged.serial for judged in internet.judged if not judged.passed} == {6}


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    async with emulate(build(CALM), directory=tmp_path) as internet:
        port = internet.smtp_port
        assert internet.ca_file == tmp_path / "ca.pem"
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(DEAD_ADDRESS, port)
    assert files(tmp_path) == []
    [listener] = bind_all(["127.77.1.1"], port)[1]
    listener.close()


async def test_a_silent_client_is_let_go(autojump_clock: trio.testing.MockClock) -> None:
    async with emulate(build(CALM), clock=trio.current_time) as internet:
        stream = await trio.open_tcp_stream("127.77.1.1", internet.smtp_port)
        async with stream:
            assert (await stream.receive_some()).startswith(b"220 ")
            started = trio.current_time()
            await trio.sleep(200)
            await stream.send_all(b"NOOP\r\n")
            assert (await stream.receive_some()).startswith(b"250 ")
            assert await stream.receive_some() == b""
            assert trio.current_time() - started == pytest.approx(500.0)


async def test_the_last_reply_survives_what_was_sent_behind_it() -> None:
    """Closing with unread input resets a connection, and the client may never see why it was closed."""
    async with emulate(build(CALM)) as internet, await trio.open_tcp_stream("127.77.1.1", internet.smtp_port) as stream:
        await stream.send_all(b"EHLO x\r\nQUIT\r\n" + b"NOOP\r\n" * 500_000)
        heard = b""
        while data := await stream.receive_some():
            heard += data
        assert b"\r\n221 " in heard


def test_addresses_are_spread_over_the_world_and_known_in_advance() -> None:
    world = build()
    people = list(addresses(world, 3_000))
    assert people == list(addresses(world, 3_000))
    assert len(set(people)) == 3_000
    domains = {address.rpartition("@")[2] for address in people}
    assert {"gmail.com", "hotmail.com", "yahoo.com", "orange.fr", "laposte.net", "free.fr"} <= domains
    assert len([domain for domain in domains if domain.startswith("shop-")]) > 100
    missing = [address for address in people if not exists(world, address)]
    assert 5 <= len(missing) <= 60
    assert not exists(world, "joe@nowhere.invalid")
