"""The receivers of the emulated world, the domains they host and where they listen: data, no behaviour of its own.

The MX names of the large receivers are the real ones, so that the sender recognises them; they exist only in the world's own
DNS and all lead to 127.77.0.0/16. The long tail lives under `.example`, which nobody can own (RFC 2606).
"""

from dataclasses import dataclass, replace

from workers.emulator.answers import ORDINARY, answer
from workers.emulator.behaviour import Behaviour, Offers, Trust
from workers.emulator.wording import (
    APPLE,
    FREE,
    GOOGLE,
    LAPOSTE,
    MICROSOFT,
    ORANGE,
    SFR,
    UNITED_INTERNET,
    YAHOO,
)
from workers.emulator.zone import Fault, Zone

_NETWORK = "127.77"
DEAD_ADDRESS = f"{_NETWORK}.250.1"  # nothing listens there: connections are refused at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One MX host: a name, the address it listens on, and its preference in its receiver's MX records."""

    name: str
    address: str
    preference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who runs some MX hosts, for which domains, and how they behave."""

    name: str
    hosts: tuple[Host, ...]
    domains: tuple[str, ...]
    behaviour: Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """How large, how difficult and how strict the world is."""

    seed: int = 1
    small_domains: int = 400
    small_hosts: int = 12  # operators that host them
    troubles: float = 1.0  # multiplies every share of unknown users, full mailboxes, passing faults and complaints
    greylist_s: float = 2.0  # real ones ask for 5 to 15 minutes
    strict: bool = False  # judge volume and reputation with the receivers' real patience
    requires_dkim: bool = True  # of the receivers that really do
    requires_tls: bool = True  # likewise
    pipelining: bool | None = None  # whether all receivers offer it; None: each as it does
    chunking: bool | None = None  # likewise
    ttl_s: int = 300  # of the receivers' MX records and addresses
    tail: bool = False  # beside all that the domains of `tail`, as many as anybody asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    options: WorldOptions
    receivers: tuple[Receiver, ...]

    def receiver(self, name: str) -> Receiver:
        """The receiver of that name; KeyError when there is none."""
        for receiver in self.receivers:
            if receiver.name == name:
                return receiver
        raise KeyError(name)

    def zone(self) -> Zone:
        """The DNS of this world; a fresh one, since callers add their own records."""
        zone = Zone()
        for receiver in self.receivers:
            for host in receiver.hosts:
                zone.add(host.name, "A", host.address, self.options.ttl_s)
            for domain in (name for name in receiver.domains if name not in _CURIOUS):
                for host in receiver.hosts:
                    zone.add(domain, "MX", f"{host.preference} {host.name}.", self.options.ttl_s)
        _add_curiosities(zone, self.receiver("smallhost-1").hosts[0])
        return zone


# name -> (MX hosts with their preference, domains, behaviour). The numbers of connections and messages per connection are
# those of the receivers' postmaster pages where there are any: Orange, La Poste and SFR 2 connections, Orange and La Poste
# 100 messages, Yahoo 20; KumoMTA's shaping.toml (2026) for Google, Microsoft, Apple and United Internet.
_GIANTS: dict[str, tuple[tuple[tuple[int, str], ...], tuple[str, ...], Behaviour]] = {
    "google": (
        (
            (5, "gmail-smtp-in.l.google.com"),
            (10, "alt1.gmail-smtp-in.l.google.com"),
            (20, "alt2.gmail-smtp-in.l.google.com"),
        ),
        ("gmail.com", "googlemail.com"),
        Behaviour(
            answers=GOOGLE,
            offers=Offers(chunking=True, smtputf8=True),
            trust=Trust(defer_s=3_600),  # 421 4.7.0: 15 to 60 min, says Google's page of SMTP errors
            connections=50,
            messages_per_connection=0,
            requires_tls=True,
            requires_dkim=True,
            unknown_share=0.004,
            full_share=0.002,
            hiccup_share=0.002,
            complaint_share=0.0005,
        ),
    ),
    "microsoft": (
        ((2, "outlook-com.olc.protection.outlook.com"), (2, "hotmail-com.olc.protection.outlook.com")),
        ("outlook.com", "hotmail.com", "hotmail.fr", "live.com", "msn.com"),
        Behaviour(
            answers=MICROSOFT,
            offers=Offers(chunking=True, smtputf8=True, size=49_283_072),
            trust=Trust(defer_s=5_400),  # 4.7.650: 30 to 90 min
            connections=20,
            messages_per_connection=100,
            requires_dkim=True,
            unknown_share=0.006,
            full_share=0.002,
            hiccup_share=0.005,
            complaint_share=0.0005,
        ),
    ),
    "yahoo": (
        (
            (1, "mta5.am0.yahoodns.net"),
            (1, "mta6.am0.yahoodns.net"),
            (1, "mta7.am0.yahoodns.net"),
        ),
        ("yahoo.com", "yahoo.fr", "aol.com", "ymail.com"),
        Behaviour(
            answers=YAHOO,
            offers=Offers(size=41_943_040),
            trust=Trust(defer_s=7_200, block_s=172_800),  # [TSS04] 2 h; [TS03] and [TSS09] 48 h and more
            connections=20,
            messages_per_connection=20,
            requires_dkim=True,
            unknown_share=0.008,
            hiccup_share=0.004,
            complaint_share=0.0005,
        ),
    ),
    "apple": (
        ((10, "mx01.mail.icloud.com"), (10, "mx02.mail.icloud.com")),
        ("icloud.com", "me.com", "mac.com"),
        Behaviour(
            answers=APPLE,
            offers=Offers(size=28_311_552),
            trust=Trust(defer_s=900),  # KumoMTA community shaping: 15 min
            connections=10,
            messages_per_connection=50,
            unknown_share=0.004,
        ),
    ),
    "orange": (
        ((10, "smtp-in.orange.fr"),),
        ("orange.fr", "wanadoo.fr"),
        Behaviour(
            answers=ORANGE,
            offers=Offers(size=47_185_920),
            trust=Trust(defer_s=16_200),  # OFR_999: 4 to 5 h
            connections=2,
            messages_per_connection=100,
            requires_tls=True,
            requires_dkim=True,
            unknown_share=0.01,
            full_share=0.005,
            complaint_share=0.0005,
        ),
    ),
    "laposte": (
        ((10, "smtpz4.laposte.net"),),
        ("laposte.net",),
        Behaviour(answers=LAPOSTE, connections=2, messages_per_connection=100, unknown_share=0.01, hiccup_share=0.005),
    ),
    "free": (
        ((10, "mx1.free.fr"), (20, "mx2.free.fr")),
        ("free.fr", "aliceadsl.fr", "libertysurf.fr"),
        Behaviour(
            answers=FREE,
            trust=Trust(defer_s=7_200, memory_s=86_400),  # its postmaster: blocks lift within 24 h, statistics fade in 24 to 48
            connections=3,
            messages_per_connection=100,
            unknown_share=0.01,
            greylist_s=1.0,
        ),
    ),
    "sfr": (
        ((10, "smtp-in.sfr.fr"),),
        ("sfr.fr", "neuf.fr", "club-internet.fr"),
        Behaviour(
            answers=SFR,
            trust=Trust(defer_s=7_200, defer_grows=1.0, block_s=7_200),  # every block lasts 2 h, says SFR
            connections=2,
            messages_per_connection=100,
            unknown_share=0.01,
        ),
    ),
    "gmx": (
        ((10, "mx00.gmx.net"), (10, "mx01.gmx.net")),
        ("gmx.net", "gmx.de", "gmx.fr"),
        Behaviour(
            answers=UNITED_INTERNET,
            offers=Offers(size=157_286_400),
            trust=Trust(block_s=7_200),  # KumoMTA community shaping: 2 h after a 554
            connections=4,
            messages_per_connection=20,
            requires_tls=True,
            unknown_share=0.005,
        ),
    ),
}

# What strict receivers let an unknown source send on its first day: about where the published ladders begin (SparkPost 200,
# Mailtrap 300, SendGrid 480, iPost 500 to 1,000). Ours, not the receivers': none of them publishes it.
_FIRST_DAY = {
    "google": 1_000,
    "microsoft": 400,
    "yahoo": 500,
    "apple": 500,
    "orange": 500,
    "laposte": 300,
    "free": 300,
    "sfr": 300,
}

# Four kinds of small operator: plain but restarted now and then, greylisting, slow and narrow, without TLS and PIPELINING.
_SMALL = (
    Behaviour(
        answers=replace(ORDINARY, hiccup=answer(421, "4.3.2", "{host} is going down, try again later", closes=True)),
        connections=10,
        unknown_share=0.01,
        hiccup_share=0.01,
    ),
    Behaviour(connections=5, messages_per_connection=50, unknown_share=0.01, greylist_s=1.0),
    Behaviour(connections=2, messages_per_connection=10, unknown_share=0.02, full_share=0.01, reply_s=0.05),
    Behaviour(connections=5, unknown_share=0.01, offers=Offers(starttls=False, pipelining=False, size=10_485_760)),
)


def build(options: WorldOptions | None = None) -> World:
    """The demo's world: the large receivers, then the small operators with their share of `shop-NNNN.example`."""
    options = options or WorldOptions()
    receivers = []
    for place, (name, (hosts, domains, behaviour)) in enumerate(_GIANTS.items(), 1):
        receivers.append(
            Receiver(
                name=name,
                hosts=tuple(
                    Host(name=host, address=f"{_NETWORK}.{place}.{number}", preference=preference)
                    for number, (preference, host) in enumerate(hosts, 1)
                ),
                domains=domains,
                behaviour=_tuned(name, behaviour, options),
            )
        )
    receivers.extend(_small_host(number, options) for number in range(1, options.small_hosts + 1))
    return World(options=options, receivers=tuple(receivers))


def _small_host(number: int, options: WorldOptions) -> Receiver:
    name = f"smallhost-{number}"
    domains = [f"shop-{shop:04}.example" for shop in range(number, options.small_domains + 1, options.small_hosts)]
    if number == 1:
        domains += _CURIOUS
    return Receiver(
        name=name,
        hosts=tuple(
            Host(name=f"mx{host}.{name}.example", address=f"{_NETWORK}.{100 + number}.{host}", preference=10 * host)
            for host in (1, 2)
        ),
        domains=tuple(domains),
        behaviour=_tuned(name, _SMALL[(number - 1) % len(_SMALL)], options),
    )


def _tuned(name: str, behaviour: Behaviour, options: WorldOptions) -> Behaviour:
    trust = behaviour.trust
    if options.strict:
        trust = replace(trust, first_day=_FIRST_DAY.get(name, 200))
    else:
        trust = replace(trust, judged_from=1_000_000_000, complaints_from=1_000_000_000)
    return replace(
        behaviour,
        offers=_offers(behaviour.offers, options),
        trust=trust,
        requires_dkim=behaviour.requires_dkim and options.requires_dkim,
        requires_tls=behaviour.requires_tls and options.requires_tls,
        greylist_s=options.greylist_s if behaviour.greylist_s else 0.0,
        unknown_share=behaviour.unknown_share * options.troubles,
        full_share=behaviour.full_share * options.troubles,
        hiccup_share=behaviour.hiccup_share * options.troubles,
        complaint_share=behaviour.complaint_share * options.troubles,
    )


def _offers(offers: Offers, options: WorldOptions) -> Offers:
    if options.pipelining is not None:
        offers = replace(offers, pipelining=options.pipelining)
    return offers if options.chunking is None else replace(offers, chunking=options.chunking)


# Domains that try the sender's resolver, with records of their own; behind them is smallhost-1, where anything would be.
_CURIOUS = ("a-only.example", "dead-primary.example", "alias.example", "aliased-mx.example", "verbose.example")


def _add_curiosities(zone: Zone, host: Host) -> None:
    zone.add("null-mx.example", "MX", "0 .")  # RFC 7505: takes no mail
    zone.add("a-only.example", "A", host.address)  # no MX: the address itself (RFC 5321 section 5.1)
    zone.add("dead-primary.example", "MX", "10 dead.smallhost-1.example.")
    zone.add("dead-primary.example", "MX", f"20 {host.name}.")
    zone.add("dead.smallhost-1.example", "A", DEAD_ADDRESS)
    zone.add("alias.example", "CNAME", "shop-0001.example.")
    zone.add("aliased-mx.example", "MX", "10 mx-alias.smallhost-1.example.")  # forbidden, and common
    zone.add("mx-alias.smallhost-1.example", "CNAME", f"{host.name}.")
    zone.add("circle.example", "CNAME", "circle-back.example.")
    zone.add("circle-back.example", "CNAME", "circle.example.")
    zone.add("homeless-mx.example", "MX", "10 no-address.smallhost-1.example.")
    zone.add("no-address.smallhost-1.example", "TXT", "this host has no address")
    zone.add("all-dead.example", "MX", "10 dead.smallhost-1.example.")
    for number in range(60):  # over 512 octets, and over the 1,232 that resolvers offer: the answer is cut and asked for by TCP
        zone.add("verbose.example", "MX", f"{10 + number} {'long-' * 8}{number}.smallhost-1.example.")
        zone.add(f"{'long-' * 8}{number}.smallhost-1.example", "A", host.address)
    zone.add("broken.example", "MX", f"10 {host.name}.")
    zone.break_name("broken.example", Fault.SERVFAIL)
    zone.add("silent.example", "MX", f"10 {host.name}.")
    zone.break_name("silent.example", Fault.SILENCE)
