"""Who runs an MX, and what makes a profile unusable."""

from typing import Any

import pytest
from publicsuffixlist import PublicSuffixList

from sender.errors import ConfigErrors
from sender.model import Destination, MxHost, Pipelining, TlsPolicy
from sender.policy import receivers
from sender.policy.receivers import Profiles

RULE = {"name": "r", "category": "rate", "pattern": "slow", "examples": ["450 slow"]}


def to(*hosts: str) -> Destination:
    return Destination(hosts=tuple(MxHost(name=name, preference=10 * place) for place, name in enumerate(hosts, 1)))


def equal(*hosts: str) -> Destination:
    return Destination(hosts=tuple(MxHost(name=name, preference=10) for name in hosts))


def parse(suffixes: PublicSuffixList, **tables: dict[str, Any]) -> Profiles:
    tables.setdefault("_default", {})
    return Profiles.parse({name: (f"{name}.toml", table) for name, table in tables.items()}, suffixes)


def errors(suffixes: PublicSuffixList, **tables: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        parse(suffixes, **tables)
    return [str(error) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("host", "receiver"),
    [
        ("gmail-smtp-in.l.google.com", "google"),
        ("aspmx2.googlemail.com", "google"),
        ("outlook-com.olc.protection.outlook.com", "microsoft"),
        ("shop-example.mail.protection.outlook.com", "microsoft365"),
        ("shop-example.x-v1.mx.microsoft", "microsoft365"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("smtp-in.orange.fr", "orange"),
        ("smtpz4.laposte.net", "laposte"),
        ("smtp-in.sfr.fr", "sfr"),
        ("mx1.free.fr", "free"),
        ("mx1.mail.ovh.net", "~ovh.net"),
        ("notgoogle.com", "~notgoogle.com"),
        ("google.com.attacker.example", "~attacker.example"),
        ("mx.shop.co.uk", "~shop.co.uk"),
        ("localhost", "~localhost"),
    ],
)
def test_the_receiver_of_an_mx_host(profiles: Profiles, host: str, receiver: str) -> None:
    assert profiles.receiver(to(host), "shop.example") == receiver
    assert profiles.receiver(to(host), "shop.example") == receiver  # from the cache


def test_a_domain_of_a_profile_needs_no_mx_match(profiles: Profiles) -> None:
    assert profiles.receiver(to("mx.elsewhere.example"), "neuf.fr") == "sfr"


def test_only_the_best_hosts_count_and_a_profile_among_equals_wins(profiles: Profiles) -> None:
    assert profiles.receiver(to("mx.shop.example", "aspmx.l.google.com"), "shop.example") == "~shop.example"
    assert profiles.receiver(equal("mx.shop.example", "aspmx.l.google.com"), "shop.example") == "google"


def test_no_hosts_are_rolled_up_under_the_domain(profiles: Profiles) -> None:
    assert profiles.receiver(Destination(hosts=()), "mail.shop.example") == "~shop.example"


def test_the_longest_match_wins(suffixes: PublicSuffixList) -> None:
    found = parse(suffixes, a={"match": {"mx": [".example.net"]}}, b={"match": {"mx": [".in.example.net", "mx.example.net"]}})
    assert found.receiver(to("x.in.example.net"), "d") == "b"
    assert found.receiver(to("mx.example.net"), "d") == "b"
    assert found.receiver(to("y.example.net"), "d") == "a"


def test_who_has_no_profile_shares_the_default_one_and_a_label(profiles: Profiles) -> None:
    profile = profiles.profile("~shop.example")
    assert profile.name == "_default"
    assert profiles.label("~shop.example") == profiles.label("_default") == "other"
    assert profiles.label("google") == "google"


def test_profiles_carry_the_published_figures(profiles: Profiles) -> None:
    orange, google = profiles.profile("orange"), profiles.profile("google")
    assert (orange.limits.connections, orange.limits.messages_per_connection, orange.limits.message_size) == (
        2,
        100,
        45_000_000,
    )
    assert (google.limits.connections, google.limits.messages_per_connection, google.tls) == (5, 50, TlsPolicy.REQUIRED)
    assert profiles.profile("yahoo").limits.messages_per_connection == 20
    assert google.pipelining is Pipelining.CHAIN
    assert repr(orange) == f"<Profile orange: 2 connections, {len(orange.own)} rules of its own>"
    assert len(list(profiles)) == len(profiles)


def test_the_memory_for_mx_names_is_bounded(suffixes: PublicSuffixList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "_CACHE_LIMIT", 10)
    found = parse(suffixes)
    for place in range(100):
        assert found.receiver(to(f"mx{place}.shop.example"), "d") == "~shop.example"
    assert len(found._known) <= 10


@pytest.mark.parametrize(
    ("match", "why"),
    [
        ({"mx": [".example.net."]}, "match.mx[0]: '.example.net.' ends in a dot"),
        ({"mx": [".Example.net"]}, "match.mx[0]: '.Example.net': write it in lower case"),
        ({"mx": ["*.example.net"]}, "match.mx[0]: '*.example.net' is not a name"),
        ({"mx": ["."]}, "match.mx[0]: '.' ends in a dot"),
        ({"domains": [".example.net"]}, "match.domains[0]: '.example.net': a domain is compared as a whole"),
        ({}, "match: neither mx nor domains"),
    ],
)
def test_a_match_that_could_never_match_is_refused(suffixes: PublicSuffixList, match: dict[str, Any], why: str) -> None:
    assert any(why in line for line in errors(suffixes, a={"match": match}))


def test_two_profiles_do_not_claim_the_same_hosts(suffixes: PublicSuffixList) -> None:
    table = {"match": {"mx": [".example.net"]}}
    assert errors(suffixes, a=table, b=table) == ["b.toml: match.mx[0]: '.example.net' belongs to 'a' already"]


def test_a_rule_that_another_shadows_is_an_error(suffixes: PublicSuffixList) -> None:
    table = {"match": {"mx": [".a"]}, "rule": [RULE, {**RULE, "name": "s", "examples": ["450 too slow"]}]}
    assert errors(suffixes, a=table) == ["a.toml: rule[1].examples: rule 'a/r' decides '450 too slow', not 'a/s'"]


def test_an_example_that_is_taken_at_several_steps_is_one_error(suffixes: PublicSuffixList) -> None:
    late = {**RULE, "name": "s", "examples": ["450 too slow"], "steps": ["DOT", "RCPT"]}
    table = {"match": {"mx": [".a"]}, "rule": [RULE, late]}
    assert errors(suffixes, a=table) == ["a.toml: rule[1].examples: rule 'a/r' decides '450 too slow', not 'a/s'"]


def test_an_example_its_own_rule_does_not_match_is_an_error(suffixes: PublicSuffixList) -> None:
    table = {"rule": [{**RULE, "examples": ["450 fast"]}]}
    assert errors(suffixes, _default=table) == ["_default.toml: rule[0].examples: no rule decides '450 fast', not '_default/r'"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"pattern": "("}, "rule[0].pattern: '(': missing ), unterminated subpattern"),
        ({"pattern": "Slow"}, "rule[0].pattern: 'Slow': write it in lower case"),
        ({"codes": [250]}, "rule[0].codes: 250 is no code"),
        ({"enhanced": ["5.1"]}, "rule[0].enhanced: '5.1' is not a code"),
        ({"examples": ["slow"]}, "rule[0].examples: 'slow' does not begin with a reply code"),
        ({"examples": []}, "rule[0]: no example"),
        ({"actions": ["pause"]}, "rule[0]: action 'pause' needs `pause`"),
        ({"limit": 3}, "rule[0]: action 'messages_per_connection' and `limit` go together"),
        ({"verdict": "delivered"}, "rule[0]: a refusal can't be read as delivered"),
        ({"verdict": "rejected", "scope": "lane"}, "rule[0]: scope 'lane' blames more than the recipient"),
        ({"pattern": ""}, "rule[0]: matches every reply"),
        (
            {"scope": "planet"},
            "rule[0].scope: expected one of recipient, message, session, lane, domain, config; found 'planet'",
        ),
        ({"patern": "x"}, "rule[0].patern: unknown key; did you mean 'pattern'?"),
    ],
)
def test_an_unusable_rule_is_named(suffixes: PublicSuffixList, change: dict[str, Any], why: str) -> None:
    assert any(why in line for line in errors(suffixes, _default={"rule": [{**RULE, **change}]}))


def test_a_name_is_given_once(suffixes: PublicSuffixList) -> None:
    assert "_default.toml: rule[1].name: 'r' is there already" in errors(suffixes, _default={"rule": [RULE, RULE]})


def test_there_is_always_a_default(suffixes: PublicSuffixList) -> None:
    with pytest.raises(ConfigErrors, match=r"_default\.toml: missing"):
        Profiles.parse({}, suffixes)


def test_every_shipped_rule_names_its_source(profiles: Profiles) -> None:
    assert not [rule.name for profile in profiles for rule in profile.own if not rule.source]


def test_a_default_rule_never_reaches_beyond_its_lane(profiles: Profiles) -> None:
    """Any server in the world is judged by these: none of them may stop a source or a domain everywhere."""
    far = {"stop_source", "stop_domain", "pause_campaign"}
    assert not [rule.name for rule in profiles.profile("_default").own if far.intersection(rule.temporary.actions)]
