"""The world's DNS: answers from the zone, then the same over real sockets with dnspython's resolver."""

import socket

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from workers.emulator.dns import answer_udp, serve_dns
from workers.emulator.world import build
from workers.emulator.zone import Fault, Zone


def ask(zone: Zone, name: str, kind: str) -> dns.message.Message:
    answer = zone.answer(dns.message.make_query(name, kind))
    assert answer is not None
    return answer


def test_records_are_found_in_any_letter_case() -> None:
    zone = Zone()
    zone.add("Shop.example", "MX", "10 mx.shop.example.")
    assert "10 mx.shop.example." in ask(zone, "sHop.eXample", "MX").answer[0].to_text()


def test_no_such_name_and_no_such_record_differ() -> None:
    zone = Zone()
    zone.add("a.b.example", "A", "127.0.0.1")
    assert ask(zone, "nope.example", "A").rcode() == dns.rcode.NXDOMAIN
    for name in ("a.b.example", "b.example"):  # the second exists because something stands below it
        answer = ask(zone, name, "MX")
        assert (answer.rcode(), answer.answer, len(answer.authority)) == (dns.rcode.NOERROR, [], 1)


def test_aliases_are_followed_and_circles_end() -> None:
    zone = build().zone()
    assert [rrset.to_text().split()[3] for rrset in ask(zone, "alias.example", "MX").answer] == ["CNAME", "MX"]
    assert 1 < len(ask(zone, "circle.example", "MX").answer) < 10


def test_long_texts_are_cut_into_strings() -> None:
    zone = Zone()
    key = 'v=DKIM1; p="' + "A" * 700
    zone.add("s1._domainkey.shop.example", "TXT", key)
    [rrset] = ask(zone, "s1._domainkey.shop.example", "TXT").answer
    assert b"".join(rrset[0].strings).decode() == key
    assert zone.texts() == {"s1._domainkey.shop.example": key}


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shop\.example A 'nonsense'"):
        Zone().add("shop.example", "A", "nonsense")


def test_names_can_break_and_heal() -> None:
    zone = Zone()
    zone.add("shop.example", "A", "127.0.0.1")
    zone.break_name("shop.example", Fault.SERVFAIL)
    assert ask(zone, "shop.example", "A").rcode() == dns.rcode.SERVFAIL
    zone.break_name("shop.example", Fault.SILENCE)
    assert zone.answer(dns.message.make_query("shop.example", "A")) is None
    zone.break_name("shop.example", None)
    assert ask(zone, "shop.example", "A").rcode() == dns.rcode.NOERROR
    zone.remove("shop.example")
    assert ask(zone, "shop.example", "A").answer == []


def test_what_does_not_fit_a_datagram_is_cut() -> None:
    wire = answer_udp(build().zone(), dns.message.make_query("verbose.example", "MX").to_wire())
    assert wire is not None
    assert dns.message.from_wire(wire).flags & dns.flags.TC


@given(st.binary(max_size=100))
def test_any_datagram_is_survived(wire: bytes) -> None:
    answer_udp(Zone(), wire)


async def test_a_port_that_somebody_asks_from_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free for TCP, it need not be for UDP."""
    address, listen, asking = "127.77.0.53", trio.open_tcp_listeners, list[socket.socket]()

    async def crossed(port: int, *, host: str) -> list[trio.SocketListener]:
        [listener] = await listen(port, host=host)
        if len(asking) < 3:
            asking.append(socket.socket(type=socket.SOCK_DGRAM))
            asking[-1].bind(("0.0.0.0", listener.socket.getsockname()[1]))
        return [listener]

    monkeypatch.setattr("trio.open_tcp_listeners", crossed)
    async with serve_dns(Zone(), address) as (_, port):
        taken = [each.getsockname()[1] for each in asking]
        assert port not in taken
    for each in asking:
        with pytest.raises(OSError, match="in use"):
            async with serve_dns(Zone(), address, each.getsockname()[1]):
                pytest.fail("somebody else has it")
        each.close()


async def test_a_resolver_sees_the_world() -> None:
    zone = build().zone()
    async with serve_dns(zone, "127.77.0.53") as (address, port):
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = [address], port, 5.0
        hosts = await resolver.resolve("gmail.com", "MX")
        assert min(record.preference for record in hosts) == 5
        assert len(await resolver.resolve("verbose.example", "MX")) == 60  # over TCP
        [null] = await resolver.resolve("null-mx.example", "MX")
        assert (null.preference, null.exchange.to_text()) == (0, ".")
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver.resolve("no-such-name.example", "MX")
        with pytest.raises(dns.resolver.NoAnswer):
            await resolver.resolve("a-only.example", "MX")
        with pytest.raises(dns.resolver.NoNameservers):
            await resolver.resolve("broken.example", "MX")
