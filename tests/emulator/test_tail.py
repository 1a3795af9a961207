"""The emulated long tail: DNS answers that stand nowhere, hosts for any domain, and an address that never answers."""

import socket

import dns.message
import dns.rcode
import dns.rdatatype
import pytest
import trio

from tests.emulator.test_internet import client
from tests.emulator.test_verifier import MESSAGE_TEXT
from workers.emulator import tail
from workers.emulator.dns import answer_udp
from workers.emulator.internet import emulate
from workers.emulator.world import WorldOptions, build
from workers.emulator.zone import Fault, Zone


def ask(name: str, kind: str, zone: Zone | None = None) -> dns.message.Message | None:
    if zone is None:
        zone = Zone()
        zone.made_up = tail.answer
    query = dns.message.make_query(name, kind, use_edns=0, payload=1232)
    octets = answer_udp(zone, query.to_wire())
    if octets is None:
        return None
    response = dns.message.from_wire(octets)
    assert query.is_response(response)
    return response


def records(name: str, kind: str) -> list[str]:
    response = ask(name, kind)
    assert response is not None
    assert response.rcode() == dns.rcode.NOERROR
    return [record.to_text() for rrset in response.answer for record in rrset]


@pytest.mark.parametrize("word", ["tail", "tarpit", "mute"])
def test_each_domain_has_a_host_of_its_own(word: str) -> None:
    assert records(f"{word}-0.example", "MX") == [f"10 mx.{word}-0.example."]
    assert records(f"{word}-1234567.example", "MX") == [f"10 mx.{word}-1234567.example."]
    (address,) = records(f"mx.{word}-99.example", "A")
    assert address.startswith("127.77.200.")
    assert records(f"mx.{word}-99.example", "AAAA") == records(f"{word}-99.example", "A") == []


def test_names_that_fail_and_names_that_are_silent() -> None:
    failed = ask("servfail-5.example", "MX")
    assert failed is not None
    assert failed.rcode() == dns.rcode.SERVFAIL
    assert ask("silent-5.example", "MX") is None


@pytest.mark.parametrize(
    "name", ["tail-.example", "tail-12345678.example", "x.tail-1.example", "tail-1.invalid", "entail-1.example"]
)
def test_other_names_do_not_exist(name: str) -> None:
    response = ask(name, "MX")
    assert response is not None
    assert response.rcode() == dns.rcode.NXDOMAIN


def test_an_outage_is_one_of_the_tail_too() -> None:
    zone = Zone()
    zone.made_up = tail.answer
    zone.break_all(Fault.SILENCE)
    assert ask("tail-1.example", "MX", zone) is None


async def test_mail_to_any_of_its_domains_is_taken_and_one_address_never_answers() -> None:
    async with emulate(build(WorldOptions(troubles=0.0, tail=True))) as internet:

        def send() -> None:
            with client(internet, tail.HOSTS[0].address) as smtp:
                assert smtp.sendmail("news@shop.example", ["a@tail-7.example"], MESSAGE_TEXT) == {}
                assert smtp.docmd("RSET")[0] == 250
                smtp.mail("news@shop.example")
                assert smtp.rcpt("a@mute-7.example")[0] == 554

        def knock() -> None:
            with socket.create_connection((tail.MUTE_ADDRESS, internet.smtp_port), timeout=0.3):
                pass

        await trio.to_thread.run_sync(send)
        assert internet.copies() == {"a@tail-7.example": 1}
        with pytest.raises(TimeoutError):
            await trio.to_thread.run_sync(knock)
