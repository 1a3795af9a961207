"""The servers, started once a session."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from sender.content.key import generate
from sender.content.rotation import Algorithm
from tests.integration.names import name_server
from tests.integration.msgauth import MsgAuth, msgauth
from tests.integration.opendkim import opendkim
from tests.integration.postfix import Listener, Postfix, postfix
from tests.integration.programs import need_root, open_directory, own_network
from workers.emulator.zone import Zone

SELECTORS = {"rsa": Algorithm.RSA, "ed": Algorithm.ED25519}
SENDERS = ("shop.example", "exact.example")  # the domains that sign: relaxed/relaxed, simple/simple


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that runs, and where."""

    home: Path
    network: str  # "127.1.2": its addresses belong to this session
    postfix: Postfix
    msgauth: MsgAuth  # judges by the same name server

    @property
    def nameserver(self) -> str:
        return f"{self.network}.53"

    @property
    def keys(self) -> Path:
        return self.home / "keys"


def _listeners(network: str) -> dict[str, Listener]:
    """A receiver per domain: what each is about is its name."""
    options = {
        "mx": (),
        "data": ("smtpd_discard_ehlo_keywords=chunking",),
        "misnamed": (),
        "untrusted": (),
        "clear": ("smtpd_tls_security_level=none",),
    }
    return {
        name: Listener(
            name=f"{name}.postfix.example",
            address=f"{network}.{number}",
            chain_file=f"{name}.pem",
            options=several,
        )
        for number, (name, several) in enumerate(options.items(), start=11)
    }


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Name server, opendkim and Postfix, in one directory; domains are called after the listener that is their MX."""
    need_root("Postfix's master, and port 53 of the name server, are root's")
    network, zone, authority = own_network(), Zone(), trustme.CA()
    listeners = _listeners(network)
    for name, listener in listeners.items():
        zone.add(f"{name}.example", "MX", f"10 {listener.name}.")
        zone.add(listener.name, "A", listener.address)
    certificates = {
        listener.chain_file: (trustme.CA() if name == "untrusted" else authority).issue_cert(
            "elsewhere.postfix.example" if name == "misnamed" else listener.name
        )
        for name, listener in listeners.items()
    }
    with open_directory() as home:
        authority.cert_pem.write_to_path(str(home / "ca.pem"))
        (home / "keys").mkdir(mode=0o700)
        for domain in SENDERS:
            for selector, algorithm in SELECTORS.items():
                key = generate(algorithm, home / "keys" / f"{domain}.{selector}.pem")
                zone.add(f"{selector}._domainkey.{domain}", "TXT", key.dns_record())
        nameserver = f"{network}.53"
        domains = [f"{name}.example" for name in listeners]
        with (
            name_server(zone, nameserver),
            opendkim(home, f"{network}.10", nameserver) as milter,
            postfix(home, list(listeners.values()), domains, certificates, milter) as server,
        ):
            yield Site(home=home, network=network, postfix=server, msgauth=msgauth(home / "jail", nameserver))
