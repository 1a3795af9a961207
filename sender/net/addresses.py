"""Which addresses a message may be carried to, and which kinds of them a source can use.

Anybody can point an MX at 127.0.0.1 or at a cloud's metadata service, and bulk recipients are strangers' input. So every
address is judged after resolution and before connect, and the connection goes to the address that was judged, never to a
name that could by then mean another.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sender.settings import IpPreference

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


_VERSIONS = {
    IpPreference.PREFER_IPV6: (6, 4),
    IpPreference.PREFER_IPV4: (4, 6),
    IpPreference.IPV6: (6,),
    IpPreference.IPV4: (4,),
}

# The IANA special-purpose registries (RFC 6890 and its updates), as far as no public mail host can be there.
_FORBIDDEN: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "local translation"),  # RFC 8215: where it leads only the local network knows
        ("100::/64", "discard"),
        ("2001:db8::/32", "documentation"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = IPv6Network("::/96")


class Targets:
    """The judge of target addresses: special ranges and our own addresses are refused unless a CIDR of `allow` covers them.

    Raises ValueError for an `allow` entry that is no CIDR.
    """

    def __init__(self, *, allow: Iterable[str] = (), own: Iterable[str] = ()) -> None:
        self._allow = tuple(ip_network(network) for network in allow)
        self._own = frozenset(_plain(ip_address(address)) for address in own)

    def refusal(self, address: str) -> str | None:
        """Why a connection to this literal is refused, or None where it may go there."""
        try:
            given = ip_address(address)
        except ValueError:
            return f"{address!r} is not an IP address"
        for face in _faces(given):
            why = self._forbidden(face)
            if why is not None:
                return f"{address} is forbidden: {why}"
        return None

    def allowed(self, address: str) -> bool:
        """True where the allow-list names this literal; our own addresses are then no mistake."""
        return any(_inside(_plain(ip_address(address)), network) for network in self._allow)

    def _forbidden(self, face: Address) -> str | None:
        if any(_inside(face, network) for network in self._allow):
            return None
        if face in self._own:
            return "our own address"
        return next((why for network, why in _FORBIDDEN if _inside(face, network)), None)


def versions(preference: IpPreference, bound_to: str = "") -> tuple[int, ...]:
    """The IP versions worth looking up, best first: a source that is bound to an address can only use its own."""
    admitted = _VERSIONS[preference]
    if not bound_to:
        return admitted
    own = ip_address(bound_to).version
    return tuple(version for version in admitted if version == own)


def _faces(address: Address) -> tuple[Address, ...]:
    """The address and every IPv4 address that a translator or tunnel would read out of it."""
    plain = _plain(address)
    if isinstance(plain, IPv4Address):
        return (plain,)
    inner: list[Address] = [plain]
    if plain in _NAT64 or (plain in _V4_COMPATIBLE and int(plain) > 1):
        inner.append(IPv4Address(int(plain) & 0xFFFFFFFF))
    if plain.sixtofour is not None:
        inner.append(plain.sixtofour)
    if plain.teredo is not None:
        inner.extend(plain.teredo)
    return tuple(inner)


def _plain(address: Address) -> Address:
    """An IPv4-mapped IPv6 address is its IPv4 address: the kernel connects to that (RFC 4291 section 2.5.5.2)."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _inside(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network
