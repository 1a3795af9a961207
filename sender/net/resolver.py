"""Where a domain's mail goes, and at which addresses: MX, A and AAAA, asked of the configured nameservers.

The only file that knows dnspython. The way of a lookup:

1. The name becomes one identity: lower-case A-labels without the final dot (IDNA 2008). Address literals are refused.
2. The cache answers, or one query per name is on its way at a time.
3. Nameservers are asked in turn, each with a time limit of its own; forged or broken datagrams are ignored and the wait goes
   on (CVE-2023-29483), truncated answers are asked for again over TCP. The AD bit is not read: nothing here relies on DNSSEC.
4. MX records become a Destination: a lone "." is the null MX (RFC 7505), names that can't be hosts are dropped, no MX at all
   falls back to the domain's own A or AAAA (RFC 5321 section 5.1).

"No such domain" is only believed at the second look, `second_look_s` later and from another nameserver where there is one:
one lying answer must not bounce a domain's mail.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.resolver
import idna
import trio

from sender.errors import ResolutionError
from sender.model import Destination, MxHost
from sender.net.addresses import versions
from sender.net.cache import CacheStatistics, FetchFailed, Fresh, TtlCache
from sender.net.line import Line
from sender.settings import IpPreference

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")  # an all-digit last label is an IP literal
_EDNS_PAYLOAD = 1232  # avoids fragments on every path (DNS flag day 2020)
_CNAME_HOPS = 8
SECOND_LOOK_S = 300.0  # between two answers that a domain does not exist: outlasts a zone's reload
_DEFINITE = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)  # any other code is the nameserver's trouble, not an answer
_ADDRESS_TYPES = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverOptions:
    """How to ask, and how long to believe the answers."""

    nameservers: tuple[str, ...] = ()  # IP literals; none means those of the system
    port: int = 53
    ip: IpPreference = IpPreference.PREFER_IPV6
    try_s: float = 3.0  # what one nameserver gets for one answer
    rounds: int = 2  # how often each nameserver is asked before the lookup fails
    concurrency: int = 64  # queries on their way at a time that are not slow yet
    most: int = 512  # all queries on their way: each has a socket
    slow_s: float = 0.5
    cache_size: int = 50_000  # domains, and as many hosts: half a kB each
    min_ttl_s: float = 60.0  # a TTL of 0 would mean a query per message
    max_ttl_s: float = 14_400.0
    max_negative_ttl_s: float = 3_600.0
    stale_s: float = 3_600.0
    failure_s: float = 30.0
    second_look_s: float = SECOND_LOOK_S
    max_hosts: int = 20  # of a domain's MX; a session tries at most 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverStatistics:
    queries: int  # sent to a nameserver, retries included
    destinations: CacheStatistics
    addresses: CacheStatistics


class DnsObserver(Protocol):
    """Who counts: `sender.metrics` has these methods."""

    def dns_query(self, outcome: str, seconds: float) -> None:
        """A question ended after so long: "answer", "none" or "failed"."""

    def dns_lookup(self, result: str) -> None:
        """The cache was asked: "hit", "miss" or "stale"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Absent:
    """DNS says there is nothing; `confirmed` once it has said so twice, far enough apart."""

    why: str
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a nameserver said: the records (none: the name exists without any), or that there is no such name."""

    records: tuple[dns.rdata.Rdata, ...]
    ttl_s: float
    exists: bool = True


class Resolver:
    """Looks up destinations and addresses; one for a process, shared by all its tasks."""

    def __init__(self, options: ResolverOptions | None = None, observer: DnsObserver | None = None) -> None:
        self._options = options = options or ResolverOptions()
        self._observer = observer
        count = observer.dns_lookup if observer is not None else None
        self._nameservers = options.nameservers or _system_nameservers()
        self._line = Line(quick=options.concurrency, most=options.most, patience_s=options.slow_s)
        self._destinations: TtlCache[Destination | _Absent] = TtlCache(
            size=options.cache_size, stale_s=options.stale_s, failure_s=options.failure_s, count=count
        )
        self._addresses: TtlCache[tuple[str, ...]] = TtlCache(
            size=options.cache_size, stale_s=options.stale_s, failure_s=options.failure_s, count=count
        )
        self._queries = 0

    def __repr__(self) -> str:
        return f"<Resolver {','.join(self._nameservers)} port {self._options.port}, {self._queries} queries>"

    def destination_nowait(self, domain: str) -> Destination | None:
        """The destination if it is known by now: what a loop over many recipients asks first."""
        known = self._destinations.get_nowait(domain)
        return known.value if known is not None and isinstance(known.value, Destination) else None

    async def destination(self, domain: str) -> Destination:
        """A domain's mail hosts by (preference, name), so that equal answers have equal keys.

        Raises ResolutionError: permanent for names that can't exist and, at the second look, for those that do not.
        """
        name = ascii_domain(domain)
        try:
            found = await self._destinations.get(name, partial(self._fetch_destination, name))
        except FetchFailed as error:
            raise ResolutionError(domain, str(error), permanent=False) from None
        if isinstance(found, _Absent):
            raise ResolutionError(domain, found.why, permanent=found.confirmed)
        return found

    async def addresses(self, host: str, bound_to: str = "") -> tuple[str, ...]:
        """A host's addresses as literals, in the order of preference; only those that `bound_to` can connect to.

        Raises ResolutionError: permanent where DNS says that there are none.
        """
        wanted = versions(self._options.ip, bound_to)
        found: dict[int, tuple[str, ...]] = {}
        failures: list[str] = []
        async with trio.open_nursery() as nursery:
            for version in wanted:  # both at once: a server that drops AAAA queries must not hold up the A
                nursery.start_soon(self._collect, host, version, found, failures)
        addresses = tuple(address for version in wanted for address in found.get(version, ()))
        if addresses:
            return addresses
        if failures:
            raise ResolutionError(host, failures[0], permanent=False)
        raise ResolutionError(host, f"no IPv{' or IPv'.join(map(str, wanted))} address", permanent=True)

    async def _collect(self, host: str, version: int, found: dict[int, tuple[str, ...]], failures: list[str]) -> None:
        try:
            found[version] = await self._addresses.get(f"{version} {host}", partial(self._fetch_addresses, host, version))
        except FetchFailed as error:
            failures.append(str(error))

    def statistics(self) -> ResolverStatistics:
        """Counts since the start."""
        return ResolverStatistics(
            queries=self._queries, destinations=self._destinations.statistics(), addresses=self._addresses.statistics()
        )

    async def _fetch_destination(self, name: str, last: Destination | _Absent | None) -> Fresh[Destination | _Absent]:
        again = isinstance(last, _Absent)
        answer = await self._ask(name, dns.rdatatype.MX, first=1 if again else 0)
        if not answer.exists:
            return self._absent("no such domain", answer.ttl_s, again=again)
        if answer.records:
            hosts = mail_hosts(answer.records)
            if hosts is None:
                return self._absent("MX records name no usable host", answer.ttl_s, again=again)
            return Fresh(value=Destination(hosts=hosts[: self._options.max_hosts]), ttl_s=self._ttl(answer.ttl_s))
        for version in (4, 6):
            if await self._addresses.get(f"{version} {name}", partial(self._fetch_addresses, name, version)):
                hosts = (MxHost(name=name, preference=0),)
                return Fresh(value=Destination(hosts=hosts), ttl_s=self._negative_ttl(answer.ttl_s))
        return self._absent("neither MX nor address", answer.ttl_s, again=again)

    async def _fetch_addresses(self, host: str, version: int, _: tuple[str, ...] | None) -> Fresh[tuple[str, ...]]:
        answer = await self._ask(host, _ADDRESS_TYPES[version])
        addresses = tuple(sorted(record.to_text() for record in answer.records))
        return Fresh(value=addresses, ttl_s=self._ttl(answer.ttl_s) if addresses else self._negative_ttl(answer.ttl_s))

    def _absent(self, why: str, ttl_s: float, *, again: bool) -> Fresh[Destination | _Absent]:
        confirmed = again or self._options.second_look_s == 0
        return Fresh(
            value=_Absent(why=why, confirmed=confirmed),
            ttl_s=self._negative_ttl(ttl_s) if confirmed else self._options.second_look_s,
        )

    def _ttl(self, ttl_s: float) -> float:
        return min(max(ttl_s, self._options.min_ttl_s), self._options.max_ttl_s)

    def _negative_ttl(self, ttl_s: float) -> float:
        return min(max(ttl_s, self._options.min_ttl_s), self._options.max_negative_ttl_s)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType, *, first: int = 0) -> _Answer:
        """Ask for records, following CNAMEs that the nameserver did not follow itself; raises FetchFailed."""
        qname, ttl_s = dns.name.from_text(name), float(self._options.max_ttl_s)
        for _ in range(_CNAME_HOPS):
            response = await self._exchange(qname, kind, first)
            try:
                chain = response.resolve_chaining()
            except dns.exception.DNSException as error:
                raise FetchFailed(f"{kind.name} of {name}: {_why(error)}") from None
            ttl_s = min(ttl_s, chain.minimum_ttl)
            if response.rcode() == dns.rcode.NXDOMAIN:
                return _Answer(records=(), ttl_s=ttl_s, exists=False)
            if chain.answer is not None or chain.canonical_name == qname:
                return _Answer(records=tuple(chain.answer or ()), ttl_s=ttl_s)
            qname = chain.canonical_name
        raise FetchFailed(f"{kind.name} of {name}: CNAME loop")

    async def _exchange(self, qname: dns.name.Name, kind: dns.rdatatype.RdataType, first: int) -> dns.message.QueryMessage:
        """One usable response, from the nameserver in turn `first` if it will; raises FetchFailed."""
        start = first % len(self._nameservers)
        order = self._nameservers[start:] + self._nameservers[:start]
        why = "no nameserver"
        for nameserver in order * self._options.rounds:
            query = dns.message.make_query(qname, kind, use_edns=0, payload=_EDNS_PAYLOAD)
            try:
                async with self._line.turn():
                    response = await self._send(query, nameserver)
            except (dns.exception.DNSException, trio.BrokenResourceError, OSError, EOFError) as error:
                why = _why(error)
                continue
            if response.rcode() in _DEFINITE:
                return response
            why = dns.rcode.to_text(response.rcode())
        raise FetchFailed(f"{kind.name} of {qname.to_text(omit_final_dot=True)}: {why} from {', '.join(order)}")

    async def _send(self, query: dns.message.QueryMessage, nameserver: str) -> dns.message.QueryMessage:
        timeout, port = self._options.try_s, self._options.port
        self._queries += 1
        began, outcome = trio.current_time(), "failed"
        try:
            try:
                response = await dns.asyncquery.udp(
                    query, nameserver, timeout, port, ignore_unexpected=True, ignore_errors=True, raise_on_truncation=True
                )
            except dns.message.Truncated:
                response = await dns.asyncquery.tcp(query, nameserver, timeout, port)
            assert isinstance(response, dns.message.QueryMessage)
            if response.rcode() in _DEFINITE:
                outcome = "answer" if response.answer else "none"
            return response
        finally:
            if self._observer is not None:
                self._observer.dns_query(outcome, trio.current_time() - began)


def ascii_domain(domain: str) -> str:
    """The one spelling of a domain: lower-case A-labels without the final dot.

    Raises ResolutionError, permanent, for address literals, ports and whatever else is no host name.
    """
    name = domain.removesuffix(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ResolutionError(domain, f"not a domain name: {error}", permanent=True) from None
    if _HOST.fullmatch(name) is None:
        raise ResolutionError(domain, "not a domain name", permanent=True)
    return name


def mail_hosts(records: Sequence[dns.rdata.Rdata]) -> tuple[MxHost, ...] | None:
    """MX records as hosts by (preference, name): empty for the null MX, None where no record names a possible host."""
    hosts: dict[str, int] = {}
    null = False
    for record in records:
        assert isinstance(record, dns.rdtypes.ANY.MX.MX)
        name = record.exchange.to_text(omit_final_dot=True).lower()
        null = null or record.exchange == dns.name.root
        if _HOST.fullmatch(name) is not None:
            hosts[name] = min(record.preference, hosts.get(name, record.preference))
    if not hosts:
        return () if null else None
    best_first = sorted((preference, name) for name, preference in hosts.items())
    return tuple(MxHost(name=name, preference=preference) for preference, name in best_first)


def _system_nameservers() -> tuple[str, ...]:
    try:
        return tuple(str(server) for server in dns.resolver.Resolver().nameservers)
    except dns.resolver.NoResolverConfiguration:
        return ("127.0.0.1",)


def _why(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
