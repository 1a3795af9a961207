"""Where a domain may lead us, and where not: hostile MX and address records, met by the whole engine."""

from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
import trio

from sender.model import Destination, MxHost, State
from sender.net.addresses import Targets
from sender.net.resolver import Resolver, ResolverOptions
from tests.net.dnsserver import dns_server
from tests.rows.town import ADDRESS, DOMAIN, Town, connections, town
from workers.emulator.zone import Zone

INWARD = ["127.0.0.1", "127.77.201.1", "0.0.0.0", "10.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "100.64.0.1"]


def lead_to(zone: Zone, domain: str, *addresses: str) -> None:
    zone.add(domain, "MX", f"10 mx.{domain}.")
    for address in addresses:
        zone.add(f"mx.{domain}", "A", address)


@pytest.mark.row("S10")
async def test_an_mx_that_points_inward_is_rejected_and_nothing_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town(tmp_path) as here:
        for number, address in enumerate(INWARD):
            lead_to(here.zone, f"evil{number}.example", address)
        lead_to(here.zone, "many.example", *INWARD)
        rows = [{"to": f"x@evil{number}.example"} for number in range(len(INWARD))]
        with connections(monkeypatch) as made:
            states = await here.post([*rows, {"to": "x@many.example"}, {"to": f"ann@{DOMAIN}"}])
    assert states == {State.REJECTED: len(INWARD) + 1, State.DELIVERED: 1}
    assert sorted(here.rules) == ["accepted", *["forbidden-address"] * (len(INWARD) + 1)]
    assert set(made) == {ADDRESS}
    whys = {attempt.why for attempt in here.attempts if attempt.outcome.rule == "forbidden-address"}
    assert "169.254.169.254 is forbidden: link-local" in whys


@pytest.mark.row("S10")
async def test_the_allow_list_opens_what_it_names_and_nothing_beside_it(tmp_path: Path) -> None:
    async with town(tmp_path, allow=[]) as here:
        assert await here.post([{"to": f"ann@{DOMAIN}"}]) == {State.REJECTED: 1}
        assert here.mx.connections == 0


@pytest.mark.row("S10")
async def test_a_forbidden_backup_does_not_cost_the_mail_of_a_host_that_is_down(tmp_path: Path) -> None:
    """Some domains name 127.0.0.1 as their last MX: while the first one is away, the mail waits."""
    async with town(tmp_path, "connect-close", "none") as here:
        here.zone.add(DOMAIN, "MX", "90 trap.example.")
        here.zone.add("trap.example", "A", "127.0.0.1")
        assert await here.post([{"to": f"ann@{DOMAIN}"}]) == {State.DELIVERED: 1}
        assert here.mx.connections == 2
    assert here.rules == ["unreachable", "accepted"]


@pytest.mark.row("S11")
async def test_a_name_that_changes_after_the_check_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at an address makes the name mean the metadata service: the connection goes to what was looked at."""
    judge = Targets.refusal
    async with town(tmp_path) as here:

        def rebind(self: Targets, address: str) -> str | None:
            here.zone.remove("mx.town.example")
            here.zone.add("mx.town.example", "A", "169.254.169.254", ttl_s=0)
            return judge(self, address)

        monkeypatch.setattr(Targets, "refusal", rebind)
        with connections(monkeypatch) as made:
            states = await here.post([{"to": f"ann@{DOMAIN}"}])
    assert states == {State.DELIVERED: 1}
    assert made == [ADDRESS]


def hostile_records(here: Town) -> None:
    zone = here.zone
    zone.add("null.example", "MX", "0 .")
    zone.add("bare.example", "A", ADDRESS)  # no MX: the domain itself is the host
    for number in range(500):
        zone.add("crowd.example", "MX", f"10 h{number}.crowd.example.")
        zone.add(f"h{number}.crowd.example", "A", f"127.77.200.{100 + number % 100}")  # nobody listens there
    zone.add("mixed.example", "MX", "5 loop.example.")
    zone.add("mixed.example", "MX", "6 192.0.2.1.")
    zone.add("mixed.example", "MX", "7 mx.town.example.")
    zone.add("loop.example", "CNAME", "pool.example.")
    zone.add("pool.example", "CNAME", "loop.example.")
    zone.add("literal.example", "MX", "10 192.0.2.1.")


@pytest.mark.row("S12")
async def test_curious_mx_records_end_or_deliver_within_five_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domains = ["null", "bare", "crowd", "mixed", "literal", "loop"]
    async with town(tmp_path, more='curve = ["30d"]\ngive_up = "2s"') as here:
        hostile_records(here)
        with connections(monkeypatch) as made:
            await here.post([{"to": f"ann@{domain}.example"} for domain in domains])
    first = {attempt.held.envelope.domain: attempt for attempt in reversed(here.attempts)}
    assert sorted(copy.rcpt for copy in here.mx.copies) == ["ann@bare.example", "ann@mixed.example"]
    assert "null.example" not in first, "the expander ends it: no lane ever sees it"
    assert first["crowd.example"].outcome.rule == "unreachable"
    tried = [attempt for attempt in here.attempts if attempt.held.envelope.domain == "crowd.example"]
    assert len(tried) <= 2, "at once, and at the give-up age"
    assert sum(address != ADDRESS for address in made) <= 5 * len(tried)
    assert first["loop.example"].outcome.rule == "dns-later"
    assert first["literal.example"].outcome.rule in ("no-such-domain", "dns-later")
    assert "192.0.2.1" not in made


@pytest.mark.row("S12")
async def test_a_null_mx_is_rejected_at_once_and_without_a_connection(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        here.zone.add("null.example", "MX", "0 .")
        assert await here.post([{"to": "ann@null.example"}]) == {State.REJECTED: 1}
        assert (here.attempts, here.mx.connections) == ([], 0)


@pytest.mark.row("S13")
@pytest.mark.parametrize(
    "to",
    [
        "ann@[127.0.0.1]",
        "ann@[IPv6:::1]",
        "ann@127.0.0.1",
        f"ann@{DOMAIN}:25",
        f"ann%{DOMAIN}@relay.example",
        f"relay!ann@{DOMAIN}",
        f"@relay.example:ann@{DOMAIN}",
        f"ann@localhost@{DOMAIN}",
        f"ann@{DOMAIN}\r\nRCPT TO:<eve@{DOMAIN}>",
    ],
)
async def test_routes_literals_and_ports_are_invalid_recipients(to: str, tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        assert await here.post([{"to": to}, {"to": f"bob@{DOMAIN}"}]) == {State.INVALID: 1, State.DELIVERED: 1}
        assert [copy.rcpt for copy in here.mx.copies] == [f"bob@{DOMAIN}"]


@pytest.mark.row("S14")
async def test_a_forged_answer_loses_whatever_it_claims_and_the_ad_bit_means_nothing() -> None:
    """We ask for no validation and read none: an answer that calls itself authentic leads where any other would."""
    asked: list[int] = []

    def forge(query: dns.message.QueryMessage) -> bytes:
        asked.append(int(query.flags) | query.ednsflags)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AD
        response.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "MX", "1 evil.example."))
        response.id ^= 0x0F0F
        return response.to_wire()

    async with dns_server("a.test. 300 MX 1 mx.test.") as server:
        server.before.append(forge)
        names = Resolver(ResolverOptions(nameservers=("127.0.0.1",), port=server.port))
        assert await names.destination("a.test") == Destination(hosts=(MxHost(name="mx.test", preference=1),))
    assert asked
    assert not any(flags & (dns.flags.AD | dns.flags.DO) for flags in asked)


@pytest.mark.row("F35")
async def test_hosts_that_are_closed_or_silent_leak_no_session_and_hold_up_nobody_else(tmp_path: Path) -> None:
    """The whole process may have two sessions: one stays with the good receiver, six dead ones take turns with the other."""
    more = 'give_up = "1s"\n[timeouts]\ngreeting = "1s"\n[delivery]\nsessions = 2'
    async with town(tmp_path, more=more) as here:
        with trio.socket.socket() as silent:
            await silent.bind(("127.77.200.9", here.mx.address[1]))
            silent.listen(50)  # connections are made, and never greeted
            for number in range(3):
                lead_to(here.zone, f"silent{number}.example", "127.77.200.9")
                lead_to(here.zone, f"closed{number}.example", "127.77.200.8")
            rows = [{"to": f"ann@{kind}{number}.example"} for kind in ("silent", "closed") for number in range(3)]
            states = await here.post([*rows, {"to": f"ann@{DOMAIN}"}])
    assert states == {State.EXPIRED: 6, State.DELIVERED: 1}
    assert set(here.rules) == {"unreachable", "accepted"}
    assert len(here.mx.copies) == 1


@pytest.mark.row("F35")
async def test_behind_a_dead_address_the_next_one_delivers_at_the_first_attempt(tmp_path: Path) -> None:
    async with town(tmp_path, more='[timeouts]\ngreeting = "50ms"') as here:
        lead_to(here.zone, "twice.example", "127.77.200.0", ADDRESS)  # they are tried in the order of their numbers
        assert await here.post([{"to": "ann@twice.example"}]) == {State.DELIVERED: 1}
        assert here.rules == ["accepted"]
