"""Where the store is: the forms of `redis.url`, read once for all who need a part of it. Pure.

    redis://[user:password@]host[:6379][/database]             one server; rediss:// with TLS
    unix://[user:password@]/path/of/socket                     one server on this host
    redis+sentinel://host[:26379],host2.../service[/database]  whichever server Sentinel names the master of a service
    redis+cluster://host[:6379],host2...                       a Redis Cluster, found through any of these nodes

`valkey` may be said for `redis` everywhere. What follows a question mark is one of OPTIONS.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv6Address
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

Address: TypeAlias = tuple[str, int]  # a host and a port; a Unix socket is (path, 0)

_PORT_MAX = 65_535
_SERVER_PORT, _SENTINEL_PORT = 6379, 26_379
# RFC 3986, appendix B. urllib's urlsplit refuses several hosts where one of them stands in brackets, in some releases.
_PARTS = re.compile(
    r"(?P<scheme>[^:/?#]+)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<rest>#.*)?", re.DOTALL
)
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@/]*))(?::(?P<port>[0-9]{0,5}))?")
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")  # as Sentinel itself allows

OPTIONS = {
    "db": "the database's number",
    "ca_file": "the authorities that the server's certificate is judged by; without it the system's",
    "cert_file": "our certificate, where the server asks for one",
    "key_file": "its private key, where that is not in the same file",
    "sentinel_user": "who we are at the Sentinels, where they ask",
    "sentinel_password": "and the password there",
}


class Topology(StrEnum):
    """How the store is run."""

    ONE = "one server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


def _schemes() -> Iterator[tuple[str, tuple[Topology, bool]]]:
    for name in ("redis", "valkey"):
        for ending, topology in (("", Topology.ONE), ("+sentinel", Topology.SENTINEL), ("+cluster", Topology.CLUSTER)):
            yield f"{name}{ending}", (topology, False)
            yield f"{name}s{ending}", (topology, True)
    yield "unix", (Topology.ONE, False)


SCHEMES = dict(_schemes())  # to the topology, and whether TLS is spoken


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """A `redis.url` taken apart; its text form and repr hold no password."""

    scheme: str
    hosts: tuple[Address, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    service: str = ""
    database: int = 0
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    sentinel_user: str = ""
    sentinel_password: str = field(default="", repr=False)

    @property
    def topology(self) -> Topology:
        return SCHEMES[self.scheme][0]

    @property
    def tls(self) -> bool:
        return SCHEMES[self.scheme][1]

    @property
    def remote(self) -> bool:
        """Whether recipients leave this host on their way to it."""
        return self.scheme != "unix" and any(host not in ("localhost", "127.0.0.1", "::1") for host, _ in self.hosts)

    def __str__(self) -> str:
        if self.scheme == "unix":
            where = self.hosts[0][0]
        else:
            where = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = f"/{self.service}" if self.service else ""
        return f"{self.scheme}://{where}{path}" + (f"/{self.database}" if self.database else "")

    def at_sentinels(self) -> "StoreUrl":
        """The same with what the Sentinels want to hear; they have no databases."""
        return replace(self, user=self.sentinel_user, password=self.sentinel_password, database=0)

    @classmethod
    def parse(cls, url: str) -> "StoreUrl":
        """Raises ValueError that says what is wrong and what is allowed, and nothing of a password."""
        parts = _PARTS.fullmatch(url.strip())
        scheme = parts["scheme"].lower() if parts is not None else ""
        if parts is None or scheme not in SCHEMES:
            raise ValueError(f"starts with none of {', '.join(scheme + '://' for scheme in SCHEMES)}")
        if parts["rest"]:
            raise ValueError("there is a # in it: in a password write %23")
        login, _, hosts = parts["authority"].rpartition("@")
        user, _, password = login.partition(":")
        options = _options(parts["query"] or "")
        service, database = _path(scheme, parts["path"], options.pop("db", ""))
        return cls(
            scheme=scheme,
            hosts=_hosts(scheme, hosts, parts["path"]),
            user=unquote(user),
            password=unquote(password),
            service=service,
            database=database,
            **_files(scheme, options),
        )


_UNREADABLE = f"its host or port can't be read: a port is a number up to {_PORT_MAX}, an IPv6 address stands in brackets"


def _options(query: str) -> dict[str, str]:
    """What follows the question mark; the values stay unsaid in errors, for one of them may be a password."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in OPTIONS:
            raise ValueError(f"unknown option {name!r}; allowed are {', '.join(OPTIONS)}")
        if not value:
            raise ValueError(f"the option {name!r} has no value")
    return options


def _path(scheme: str, path: str, number: str) -> tuple[str, int]:
    """The service of a Sentinel, and the database."""
    topology, service = SCHEMES[scheme][0], ""
    if scheme == "unix":
        path = ""
    if topology is Topology.SENTINEL:
        service, _, path = path.removeprefix("/").partition("/")
        if not _SERVICE.fullmatch(service):
            raise ValueError("names no service of the Sentinels: write /mymaster behind the hosts")
    path = path if path.startswith("/") else f"/{path}"
    if not re.fullmatch(r"/[0-9]*", path) or not re.fullmatch(r"[0-9]*", number):
        raise ValueError(f"{number or path!r} is no database: write /0")
    database = int(number or path[1:] or 0)
    if topology is Topology.CLUSTER and database:
        raise ValueError(f"/{database}: a cluster has database 0 only")
    return service, database


def _hosts(scheme: str, text: str, path: str) -> tuple[Address, ...]:
    if scheme == "unix":
        if not path or text:
            raise ValueError("names no absolute path: write unix:///path/of/socket")
        return ((unquote(path), 0),)
    several = text.split(",")
    if len(several) > 1 and SCHEMES[scheme][0] is Topology.ONE:
        raise ValueError(f"names {len(several)} hosts: write {scheme}+sentinel:// or {scheme}+cluster://")
    port = _SENTINEL_PORT if SCHEMES[scheme][0] is Topology.SENTINEL else _SERVER_PORT
    return tuple(_host(one, port) for one in several)


def _host(text: str, port: int) -> Address:
    match = _HOST.fullmatch(text)
    if match is None or int(match["port"] or port) > _PORT_MAX or not _is_six(match["six"] or "::"):
        raise ValueError(_UNREADABLE)
    if int(match["port"] or port) == 0:
        raise ValueError("no server listens on port 0")
    return match["six"] or match["name"] or "localhost", int(match["port"] or port)


def _is_six(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _files(scheme: str, options: dict[str, str]) -> dict[str, str]:
    """The options that are left, where this kind of URL can have them."""
    topology, tls = SCHEMES[scheme]
    for name in options:
        if name.endswith("_file") and not tls:
            raise ValueError(f"{name} without TLS: write rediss")
        if name.endswith("_file") and not options[name].startswith("/"):
            raise ValueError(f"{name} is no absolute path")
        if name.startswith("sentinel_") and topology is not Topology.SENTINEL:
            raise ValueError(f"{name}: only a +sentinel URL asks Sentinels")
    if "key_file" in options and "cert_file" not in options:
        raise ValueError("key_file without cert_file")
    return options
