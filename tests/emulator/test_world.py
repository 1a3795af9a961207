"""The world as data: nothing in it leads outside, and every host can be found."""

from ipaddress import ip_address, ip_network

import dns.message
import pytest

from workers.emulator.internet import Internet
from workers.emulator.world import World, WorldOptions, build


@pytest.fixture(scope="module")
def world() -> World:
    return build()


def test_every_host_listens_on_an_address_of_its_own_inside_the_machine(world: World) -> None:
    hosts = [host for receiver in world.receivers for host in receiver.hosts]
    assert len({host.address for host in hosts}) == len({host.name for host in hosts}) == len(hosts)
    assert all(ip_address(host.address) in ip_network("127.77.0.0/16") for host in hosts)


def test_every_domain_has_one_receiver_and_there_are_hundreds(world: World) -> None:
    domains = [domain for receiver in world.receivers for domain in receiver.domains]
    assert len(set(domains)) == len(domains) > 400


def test_every_domain_leads_to_its_receiver_by_dns(world: World) -> None:
    zone = world.zone()
    for receiver in world.receivers:
        for domain in receiver.domains:
            if domain == "a-only.example":
                continue
            answer = zone.answer(dns.message.make_query(domain, "MX"))
            assert answer is not None
            assert answer.answer, domain
    google = world.receiver("google")
    answer = zone.answer(dns.message.make_query("gmail.com", "MX"))
    assert answer is not None
    assert {record.exchange.to_text(omit_final_dot=True) for record in answer.answer[0]} == {host.name for host in google.hosts}


def test_trouble_and_strictness_are_options() -> None:
    calm = build(WorldOptions(troubles=0.0, requires_dkim=False)).receiver("google").behaviour
    assert (calm.unknown_share, calm.hiccup_share, calm.requires_dkim, calm.trust.first_day) == (0.0, 0.0, False, 0)
    assert (calm.requires_tls, build(WorldOptions(requires_tls=False)).receiver("google").behaviour.requires_tls) == (
        True,
        False,
    )
    strict = build(WorldOptions(strict=True)).receiver("google").behaviour
    assert (strict.trust.first_day, strict.requires_dkim) == (1_000, True)


def test_a_name_nobody_has_is_no_receiver(world: World) -> None:
    with pytest.raises(KeyError):
        world.receiver("nobody")


def test_receivers_can_be_made_to_forget(world: World) -> None:
    internet = Internet(world, world.zone())
    office = internet.office("google")
    office.standing("127.0.0.9").recipient(unknown=True, now=0.0)
    held = office.standing("127.0.0.10")
    held.open = 1
    internet.forgive()
    assert office.standing("127.0.0.10") is held
    assert repr(office) == "<Office google domains=2 sources=1>"
