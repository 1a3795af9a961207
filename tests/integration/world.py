"""The whole site: names, keys, certificates, and the servers that run on them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from sender.content.key import generate
from sender.content.rotation import Algorithm
from tests.integration.msgauth import MsgAuth, msgauth
from tests.integration.names import name_server
from tests.integration.opendkim import opendkim
from tests.integration.postfix import Listener, Postfix, postfix
from tests.integration.programs import open_directory, own_network
from workers.emulator.zone import Zone

SELECTORS = {"rsa": Algorithm.RSA, "ed": Algorithm.ED25519}  # every sender has both keys, and both sign
SENDERS = {"shop.example": "relaxed/relaxed", "exact.example": "simple/simple"}  # with how they canonicalise

# The receivers, and how their smtpd differs from one that takes STARTTLS only and offers all there is. Each is the MX
# of the domain of its name: "data.example" goes to data.postfix.example.
_RECEIVERS: Mapping[str, tuple[str, ...]] = {
    "mx": (),
    "data": ("smtpd_discard_ehlo_keywords=chunking",),
    "misnamed": (),  # its certificate is for another name
    "untrusted": (),  # its certificate is by an authority nobody trusts
    "clear": ("smtpd_tls_security_level=none",),
}
_SOURCE, _MILTER, _FIRST_RECEIVER, _NAMESERVER = 1, 10, 11, 53  # the last numbers of their addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that runs, and where."""

    home: Path
    network: str  # "127.101.2": its addresses belong to this session
    postfix: Postfix
    msgauth: MsgAuth

    @property
    def source(self) -> str:
        """Where we send from."""
        return f"{self.network}.{_SOURCE}"

    @property
    def nameserver(self) -> str:
        return f"{self.network}.{_NAMESERVER}"

    @property
    def ca_file(self) -> Path:
        return self.home / "ca.pem"

    def address(self, receiver: str) -> str:
        """Where this receiver listens."""
        return _listeners(self.network)[receiver].address

    def key_file(self, domain: str, selector: str) -> Path:
        return self.home / f"{domain}.{selector}.pem"


@contextmanager
def site() -> Iterator[Site]:
    """Start it all; what is missing on this machine fails the test and says how to get it."""
    zone, authority, network = Zone(), trustme.CA(), own_network()
    nameserver = f"{network}.{_NAMESERVER}"
    listeners = _listeners(network)
    for name, listener in listeners.items():
        zone.add(f"{name}.example", "MX", f"10 {listener.name}.")
        zone.add(listener.name, "A", listener.address)
    with open_directory() as home:
        authority.cert_pem.write_to_path(str(home / "ca.pem"))
        judge = msgauth(home / "jail", nameserver)
        with (
            name_server(zone, nameserver),
            opendkim(home, f"{network}.{_MILTER}", nameserver) as milter,
            postfix(home, listeners, _certificates(listeners, authority), milter) as server,
        ):
            found = Site(home=home, network=network, postfix=server, msgauth=judge)
            _make_keys(found, zone)
            yield found


def _listeners(network: str) -> dict[str, Listener]:
    """By the domain they take mail for, less ".example"."""
    return {
        name: Listener(name=f"{name}.postfix.example", address=f"{network}.{number}", options=options)
        for number, (name, options) in enumerate(_RECEIVERS.items(), start=_FIRST_RECEIVER)
    }


def _certificates(listeners: Mapping[str, Listener], authority: trustme.CA) -> dict[str, trustme.LeafCert]:
    certificates = {name: authority.issue_cert(listener.name) for name, listener in listeners.items()}
    certificates["misnamed"] = authority.issue_cert("elsewhere.postfix.example")
    certificates["untrusted"] = trustme.CA().issue_cert(listeners["untrusted"].name)
    return certificates


def _make_keys(made: Site, zone: Zone) -> None:
    for domain in SENDERS:
        for selector, algorithm in SELECTORS.items():
            key = generate(algorithm, made.key_file(domain, selector))
            zone.add(f"{selector}._domainkey.{domain}", "TXT", key.dns_record())
