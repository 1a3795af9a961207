"""Resolution against a real, lying or silent nameserver on the loopback."""

from random import Random

import dns.message
import dns.rcode
import dns.rdata
import pytest
import trio
import trio.testing

from sender.errors import ResolutionError
from sender.model import Destination, MxHost
from sender.net.resolver import Resolver, ResolverOptions, ascii_domain, mail_hosts
from sender.settings import IpPreference
from tests.net.dnsserver import DnsServer, Lie, dns_server


def resolver(*servers: DnsServer, ip: IpPreference = IpPreference.PREFER_IPV6, second_look_s: float = 300) -> Resolver:
    return Resolver(
        ResolverOptions(
            nameservers=tuple(server.address for server in servers),
            port=servers[0].port,
            ip=ip,
            try_s=0.5,
            second_look_s=second_look_s,
        )
    )


def hosts(destination: Destination) -> list[tuple[int, str]]:
    return [(host.preference, host.name) for host in destination.hosts]


async def why(names: Resolver, domain: str) -> ResolutionError:
    with pytest.raises(ResolutionError) as caught:
        await names.destination(domain)
    return caught.value


async def test_mx_hosts_come_by_preference_then_name_so_that_the_key_is_stable() -> None:
    async with dns_server(
        "a.test. 300 MX 20 c.mx.test.", "a.test. 300 MX 10 B.mx.test.", "a.test. 300 MX 10 a.mx.test."
    ) as server:
        found = await resolver(server).destination("a.test")
    assert hosts(found) == [(10, "a.mx.test"), (10, "b.mx.test"), (20, "c.mx.test")]
    assert found.key == "10:a.mx.test,10:b.mx.test,20:c.mx.test"


@pytest.mark.row("S12")
async def test_null_mx_is_a_destination_without_hosts() -> None:
    async with dns_server("a.test. 300 MX 0 .") as server:
        assert await resolver(server).destination("a.test") == Destination(hosts=())


async def test_a_dot_among_real_hosts_is_dropped() -> None:
    async with dns_server("a.test. 300 MX 0 .", "a.test. 300 MX 5 mx.test.") as server:
        assert hosts(await resolver(server).destination("a.test")) == [(5, "mx.test")]


@pytest.mark.parametrize("record", ["A 192.0.2.1", "AAAA 2001:db8::1"])
@pytest.mark.row("S12")
async def test_without_mx_the_domain_itself_is_the_host(record: str) -> None:
    async with dns_server(f"a.test. 300 {record}") as server:
        assert await resolver(server).destination("a.test") == Destination(hosts=(MxHost(name="a.test", preference=0),))


@pytest.mark.parametrize("record", ["MX 10 192.0.2.1.", r"MX 10 bad\,comma.test.", "TXT nothing"])
@pytest.mark.row("S12")
async def test_no_usable_host_is_permanent_at_the_second_look(record: str, autojump_clock: trio.testing.MockClock) -> None:
    async with dns_server(f"a.test. 300 {record}") as server:
        names = resolver(server)
        assert not (await why(names, "a.test")).permanent
        await trio.sleep(301)
        assert (await why(names, "a.test")).permanent


async def test_no_such_domain_is_believed_at_the_second_look_from_another_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with dns_server() as first, dns_server(address="127.0.0.2", port=first.port) as second:
        names = resolver(first, second)
        assert not (await why(names, "gone.test")).permanent
        assert not (await why(names, "gone.test")).permanent
        assert (first.queries["MX gone.test"], second.queries["MX gone.test"]) == (1, 0)
        await trio.sleep(301)
        error = await why(names, "gone.test")
    assert error.permanent
    assert str(error) == "gone.test: no such domain"
    assert (first.queries["MX gone.test"], second.queries["MX gone.test"]) == (1, 1)


async def test_a_domain_that_comes_back_before_the_second_look_is_served(autojump_clock: trio.testing.MockClock) -> None:
    async with dns_server() as server:
        names = resolver(server)
        await why(names, "flip.test")
        server.add("flip.test. 300 MX 1 mx.test.")
        await trio.sleep(301)
        assert hosts(await names.destination("flip.test")) == [(1, "mx.test")]


async def test_cname_chains_are_followed() -> None:
    async with dns_server("a.test. 300 CNAME b.test.", "b.test. 300 CNAME c.test.", "c.test. 300 MX 1 mx.test.") as server:
        assert hosts(await resolver(server).destination("a.test")) == [(1, "mx.test")]


@pytest.mark.row("S12")
async def test_a_cname_loop_is_a_failure_for_now() -> None:
    async with dns_server("a.test. 300 CNAME b.test.", "b.test. 300 CNAME a.test.") as server:
        error = await why(resolver(server), "a.test")
    assert not error.permanent
    assert "a.test" in str(error)


@pytest.mark.parametrize(
    "domain", ["[127.0.0.1]", "a.test:25", "a b.test", "a..test", ".test", "", "x" * 64 + ".test", "192.0.2.1", "a.test\r\n"]
)
@pytest.mark.row("S13")
async def test_what_is_no_domain_name_is_refused_without_a_query(domain: str) -> None:
    async with dns_server() as server:
        assert (await why(resolver(server), domain)).permanent
        assert not server.queries


@pytest.mark.parametrize("spelling", ["bücher.test", "BÜCHER.test.", "xn--bcher-kva.test", "XN--BCHER-KVA.TEST"])
async def test_every_spelling_of_a_domain_is_one_name(spelling: str) -> None:
    assert ascii_domain(spelling) == "xn--bcher-kva.test"


async def test_a_label_idna_forbids_is_refused() -> None:
    with pytest.raises(ResolutionError, match="not a domain name"):
        ascii_domain("a\u2028b.test")


async def test_a_thousand_tasks_send_one_query() -> None:
    async with dns_server("a.test. 300 MX 1 mx.test.") as server:
        names = resolver(server)
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(names.destination, "a.test")
        assert server.queries["MX a.test"] == 1
        assert names.destination_nowait("a.test") is not None
        assert names.statistics().queries == 1


async def test_queries_on_their_way_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    async with dns_server() as server:
        server.silent = True
        names = Resolver(
            ResolverOptions(nameservers=("127.0.0.1",), port=server.port, try_s=1, rounds=1, concurrency=10, failure_s=0)
        )
        with trio.move_on_after(0.5):
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(names.destination, f"d{number}.test")
        assert server.queries["silent"] == 10


async def test_a_ttl_of_zero_does_not_mean_a_query_per_message(autojump_clock: trio.testing.MockClock) -> None:
    async with dns_server("a.test. 0 MX 1 mx.test.") as server:
        names = resolver(server)
        await names.destination("a.test")
        await trio.sleep(59)
        await names.destination("a.test")
        assert server.queries["MX a.test"] == 1
        await trio.sleep(2)
        await names.destination("a.test")
        assert server.queries["MX a.test"] == 2


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR])
async def test_a_server_in_trouble_is_passed_over(rcode: dns.rcode.Rcode) -> None:
    async with dns_server() as first, dns_server("a.test. 300 MX 1 mx.test.", address="127.0.0.2", port=first.port) as second:
        first.rcode = rcode
        assert hosts(await resolver(first, second).destination("a.test")) == [(1, "mx.test")]


async def test_while_dns_is_down_stale_answers_serve_for_an_hour_and_new_names_are_deferred(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with dns_server("a.test. 60 MX 1 mx.test.") as server:
        names = resolver(server)
        await names.destination("a.test")
        server.silent = True
        await trio.sleep(600)
        assert hosts(await names.destination("a.test")) == [(1, "mx.test")]
        error = await why(names, "b.test")
        assert not error.permanent
        assert "MX of b.test" in str(error)
        await trio.sleep(3600)
        assert not (await why(names, "a.test")).permanent
        server.silent = False
        await trio.sleep(31)
        assert hosts(await names.destination("a.test")) == [(1, "mx.test")]


async def test_servfail_everywhere_names_the_code_and_the_servers() -> None:
    async with dns_server() as server:
        server.rcode = dns.rcode.SERVFAIL
        assert str(await why(resolver(server), "a.test")) == "a.test: MX of a.test: SERVFAIL from 127.0.0.1"


def garbage(query: dns.message.QueryMessage) -> bytes:
    return b"\x00\x01garbage"


def wrong_id(query: dns.message.QueryMessage) -> bytes:
    response = dns.message.make_response(query)
    response.id ^= 0x5555
    return response.to_wire()


def right_id_then_garbage(query: dns.message.QueryMessage) -> bytes:
    return dns.message.make_response(query).to_wire() + b"\xff" * 7  # the forged answer of CVE-2023-29483


def other_question(query: dns.message.QueryMessage) -> bytes:
    other = dns.message.make_query("evil.test.", "MX", id=query.id)
    return dns.message.make_response(other).to_wire()


@pytest.mark.parametrize("lie", [garbage, wrong_id, right_id_then_garbage, other_question])
@pytest.mark.row("S14")
async def test_a_forged_datagram_ahead_of_the_answer_changes_nothing(lie: Lie) -> None:
    async with dns_server("a.test. 300 MX 1 mx.test.") as server:
        server.before.append(lie)
        assert hosts(await resolver(server).destination("a.test")) == [(1, "mx.test")]


@pytest.mark.row("S12")
async def test_a_long_answer_comes_over_tcp_and_is_bounded() -> None:
    lines = [f"a.test. 300 MX 10 host-with-a-long-name-{number:03}.mx.test." for number in range(512)]
    Random(1).shuffle(lines)
    async with dns_server(*lines) as server:
        found = await resolver(server).destination("a.test")
        assert server.queries["tcp"] == 1
    assert len(found.hosts) == 20
    assert found.hosts[0].name == "host-with-a-long-name-000.mx.test"


@pytest.mark.parametrize(
    ("ip", "bound_to", "expected"),
    [
        (IpPreference.PREFER_IPV6, "", ("2001:db8::1", "192.0.2.1", "192.0.2.2")),
        (IpPreference.PREFER_IPV4, "", ("192.0.2.1", "192.0.2.2", "2001:db8::1")),
        (IpPreference.IPV6, "", ("2001:db8::1",)),
        (IpPreference.PREFER_IPV6, "198.51.100.1", ("192.0.2.1", "192.0.2.2")),
    ],
)
async def test_addresses_come_by_preference_and_for_the_source(
    ip: IpPreference, bound_to: str, expected: tuple[str, ...]
) -> None:
    async with dns_server("mx.test. 300 A 192.0.2.2", "mx.test. 300 A 192.0.2.1", "mx.test. 300 AAAA 2001:db8::1") as server:
        names = resolver(server, ip=ip)
        assert await names.addresses("mx.test", bound_to) == expected
        asked = sum(server.queries.values())
        assert await names.addresses("mx.test", bound_to) == expected
        assert sum(server.queries.values()) == asked


async def test_a_host_without_an_address_says_which_kind_is_missing() -> None:
    async with dns_server("mx.test. 300 AAAA 2001:db8::1") as server:
        with pytest.raises(ResolutionError, match="no IPv4 address") as caught:
            await resolver(server, ip=IpPreference.IPV4).addresses("mx.test")
    assert caught.value.permanent


async def test_the_observer_counts_queries_and_lookups() -> None:
    class Counting:
        def __init__(self) -> None:
            self.queries: list[str] = []
            self.lookups: list[str] = []

        def dns_query(self, outcome: str, seconds: float) -> None:
            assert seconds >= 0
            self.queries.append(outcome)

        def dns_lookup(self, result: str) -> None:
            self.lookups.append(result)

    counting = Counting()
    async with dns_server("a.test. 300 MX 1 mx.test.") as server:
        names = Resolver(ResolverOptions(nameservers=("127.0.0.1",), port=server.port, rounds=1), counting)
        await names.destination("a.test")
        await names.destination("a.test")
        await why(names, "none.test")
        server.rcode = dns.rcode.SERVFAIL
        await why(names, "b.test")
    assert counting.queries == ["answer", "none", "failed"]
    assert counting.lookups == ["miss", "hit", "miss", "miss"]
    assert repr(names) == f"<Resolver 127.0.0.1 port {server.port}, 3 queries>"


def test_mail_hosts_drops_names_that_would_break_a_key_and_repeats() -> None:
    texts = (r"1 a\,b.test.", r"1 a\013b.test.", "2 ok.test.", "1 ok.test.")
    records = [dns.rdata.from_text("IN", "MX", text) for text in texts]
    assert mail_hosts(records) == (MxHost(name="ok.test", preference=1),)
