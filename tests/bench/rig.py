"""The bench's stage: a fleet of real processes with a store and a DNS of our own, configured for one way to send."""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from sender.content.key import generate
from sender.content.rotation import Algorithm
from sender.settings import load
from tests.bench.place import Place, loopback, own_network
from tests.ports import free_ports
from tests.redis.servers import one_server
from workers.demo.scene import fleet
from workers.emulator.dns import serve_dns
from workers.emulator.zone import Zone
from workers.fleet import DELIVERY_PORT
from workers.places import make_suppression_key

DOMAINS = 20
EMBEDDED_FSYNC = "everysec"  # as workers/embedded configures its server

_PENSTOCK = """\
[redis]
url = "{store}"
partitions = 8
[fleet]
host = "bench"
delivery = {delivery}
signers = {signers}
runtime_dir = "{directory}/run"
state_dir = "{directory}/state"
[net]
nameservers = ["{dns_address}"]
dns_port = {dns_port}
smtp_port = {smtp_port}
allow_targets = ["{sink}/32"]
ip = "ipv4"
[delivery]
ahead = 100000000
[metrics]
port = {metrics_port}
[[identity]]
domain = "bench.example"
{identity}
"""

_SOURCE = """\
[[source]]
name = "s{number}"
address = "{address}"
ehlo = "s{number}.bench.example"
"""

_RECEIVER = """\
pipelining = "{pipelining}"
tls = "{tls}"
[match]
mx = [".mx{number}.example"]
[limits]
connections = 1
messages_per_connection = 1000000
messages_per_second = 1000000
connections_per_minute = 100000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to send."""

    name: str
    tls: bool = False
    sign: str = ""  # "", "rsa-sha256" or "ed25519-sha256"
    messages: int = 20_000
    octets: int = 10_000
    delivery: int = 2
    signers: int = 1
    sink: str = "ours"  # or "smtp-sink", Postfix's own
    pipelining: str = "chain"
    bdat: bool = False
    appendfsync: str = EMBEDDED_FSYNC  # any other needs a server of the rig's own
    domains: int = DOMAINS  # each with a receiver of its own, to which each source has one connection
    place: Place = field(default_factory=loopback)

    def __str__(self) -> str:
        return self.name

    @property
    def connections(self) -> int:
        return self.domains * len(self.place.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run took."""

    messages: int
    seconds: float  # from the submission to the last settlement, where there is one
    cpu_us: dict[str, float]  # by role, per message
    sink: dict[str, Any]
    last_s: float = 0.0  # from the submission to the last 250; 0 where the receiving side does not say
    peak_mb: dict[str, float] = field(default_factory=dict)  # by process
    told_ms: dict[str, float] = field(default_factory=dict)  # what the engine's own metrics say: see `delivery`


@asynccontextmanager
async def configured(
    case: Case, directory: Path, *, tail: Sequence[str] = (), organisations: Sequence[str] = (), store: str = ""
) -> AsyncIterator[Path]:
    """A configuration for the case, and the DNS it leads to; `tail` are further domains, hosted by the sink too.

    `organisations` are domains with an MX of their own, and so a receiver of their own each; `store` is the URL of a server
    that is not the embedded one.
    """
    config = directory / "config"
    (config / "receivers").mkdir(parents=True)
    for name in ("run", "state"):
        (directory / name).mkdir(mode=0o700)
    async with serve_dns(_zone(case, tail, organisations), f"{own_network()}.53") as (address, port):
        text = _PENSTOCK.format(
            directory=directory,
            store=store,
            delivery=case.delivery,
            signers=case.signers,
            dns_address=address,
            dns_port=port,
            smtp_port=case.place.port,
            sink=case.place.sink,
            metrics_port=free_ports(DELIVERY_PORT + case.delivery + 2),
            identity=_identity(case, config),
        )
        (config / "penstock.toml").write_text(text)
        sources = (_SOURCE.format(number=number, address=one) for number, one in enumerate(case.place.sources, start=1))
        (config / "sources.toml").write_text("\n".join(sources))
        for number in range(case.domains):
            receiver = _RECEIVER.format(number=number, pipelining=case.pipelining, tls="required" if case.tls else "off")
            (config / "receivers" / f"bench{number}.toml").write_text(receiver)
        yield config


def _identity(case: Case, config: Path) -> str:
    if not case.sign:
        return "signed = false"
    generate(Algorithm(case.sign), config / "key.pem")
    return f'keys = [{{ selector = "s", file = "key.pem", algorithm = "{case.sign}" }}]'


@asynccontextmanager
async def running(case: Case, directory: Path) -> AsyncIterator[tuple[Path, trio.Process]]:
    """A fleet configured for the case; yields its configuration and its process."""
    async with AsyncExitStack() as stack:
        store = ""
        if case.appendfsync != EMBEDDED_FSYNC:  # the same server in all else: over a socket of the file system, too
            home = directory / "store"
            lines = (f"appendfsync {case.appendfsync}", f"unixsocket {home}/store.sock", "unixsocketperm 700")
            await stack.enter_async_context(one_server(home, *lines))
            store = f"unix://{home}/store.sock"
        config = await stack.enter_async_context(configured(case, directory, store=store))
        yield config, await stack.enter_async_context(fleet(config, directory / "fleet.log"))


@asynccontextmanager
async def running_alone(role: str, config: Path) -> AsyncIterator[trio.Process]:
    """One role by itself, ended on the way out."""
    make_suppression_key(load(config))  # as the supervisor would have
    command = [sys.executable, "-m", "workers.cli", "run", role, "--config", str(config)]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


def _zone(case: Case, tail: Sequence[str], organisations: Sequence[str]) -> Zone:
    zone, address = Zone(), case.place.sink
    for domain in organisations:
        zone.add(domain, "MX", f"10 in.{domain}.")
        zone.add(f"in.{domain}", "A", address)
    for domain in tail:
        zone.add(domain, "MX", "10 in.mx0.example.")
    for number in range(case.domains):
        zone.add(f"in.mx{number}.example", "A", address)
        zone.add(f"domain{number}.example", "MX", f"10 in.mx{number}.example.")
    return zone
