"""A network for session tests: hosts are names given addresses by hand, time limits are short where a test wants them."""

import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random

import trio
import trustme

from sender.model import Destination, MxHost, Result, Source, Step, Transaction
from sender.net.addresses import Targets
from sender.net.dial import Dialer
from sender.net.hosts import Hosts, HostsOptions
from sender.net.opening import Network, open_session
from sender.net.resolver import Resolver, ResolverOptions
from sender.net.session import Failure, Session, SessionOptions
from sender.net.tls import TlsContexts
from tests.net.dnsserver import DnsServer

SOURCE = Source(name="s1", address="127.0.0.1", ehlo="out.example.test", pool="main")
DEADLINES: Mapping[Step, float] = dict.fromkeys(Step, 300.0) | {Step.DOT: 600.0, Step.CONNECT: 30.0, Step.QUIT: 5.0}


class World:
    """One process's network; `waits` collects what the observer was told."""

    def __init__(self, dns: DnsServer, port: int, *, ca_file: str = "", hosts: HostsOptions | None = None) -> None:
        self.waits: list[tuple[Step, float]] = []
        self.sessions: list[Session] = []
        self.hosts = Hosts(hosts or HostsOptions(), Random(1))
        self.network = Network(
            resolver=Resolver(ResolverOptions(nameservers=("127.0.0.1",), port=dns.port, try_s=0.5, rounds=1)),
            dialer=Dialer(targets=Targets(allow=["127.0.0.0/8"]), port=port),
            hosts=self.hosts,
            tls=TlsContexts(ca_file=ca_file),
            rng=Random(1),
            observe=lambda step, seconds: self.waits.append((step, seconds)),
        )

    async def __aenter__(self) -> "World":
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self.sessions:
            with trio.move_on_after(0):  # without QUIT
                await session.aclose()

    async def open(self, options: SessionOptions, *hosts: str, source: Source = SOURCE) -> Session | Failure:
        opened = await open_session(self.network, source, destination(*hosts or ("mx.test",)), options)
        if isinstance(opened, Session):
            self.sessions.append(opened)
        return opened

    async def session(self, options: SessionOptions, *hosts: str) -> Session:
        opened = await self.open(options, *hosts)
        assert isinstance(opened, Session), opened
        return opened

    async def failure(self, options: SessionOptions, *hosts: str) -> Failure:
        opened = await self.open(options, *hosts)
        assert isinstance(opened, Failure), opened
        return opened


def destination(*hosts: str) -> Destination:
    return Destination(hosts=tuple(MxHost(name=name, preference=place) for place, name in enumerate(hosts)))


def message(number: int, octets: int = 200) -> Transaction:
    line = b"0123456789abcdef" * 4 + b"\r\n"
    content = f"Subject: {number}\r\n\r\n".encode() + line * max(1, octets // len(line))
    return Transaction(mail_from="b@out.example.test", rcpt=f"r{number}@a.test", head=content, tag=number)


class Work:
    """Transactions to take, and what was reported of each."""

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self.waiting = deque(transactions)
        self.taken: list[Transaction] = []
        self.results: list[Result] = []

    def take(self) -> Transaction | None:
        if not self.waiting:
            return None
        self.taken.append(self.waiting.popleft())
        return self.taken[-1]

    def done(self, result: Result) -> None:
        self.results.append(result)

    def check(self) -> None:
        """Every transaction taken was reported exactly once."""
        assert sorted(id(result.transaction) for result in self.results) == sorted(map(id, self.taken))


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
