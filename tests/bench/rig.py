"""The bench's stage: a fleet of real processes with a store, a DNS of our own and a receiving side that accepts all.

CPU is the kernel's own account (/proc/PID/stat), taken before the campaign is submitted and after its last settlement, so
that starting Python is not counted and nothing else is left out.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio
import trustme

from sender.content.key import generate
from sender.content.rotation import Algorithm
from sender.settings import load
from workers.demo.scene import fleet
from workers.emulator.dns import serve_dns
from workers.emulator.zone import Zone
from workers.places import make_suppression_key

DOMAINS = 20
_ADDRESS = "127.79.0.1"
_PORT = 12525
_TICKS = os.sysconf("SC_CLK_TCK")

_PENSTOCK = """\
[redis]
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
allow_targets = ["127.79.0.0/16"]
ip = "ipv4"
[delivery]
ahead = 100000000
[metrics]
port = 21464
[[identity]]
domain = "bench.example"
{identity}
"""

_RECEIVER = """\
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run took."""

    seconds: float
    cpu_us: dict[str, float]  # by role, per message
    sink: dict[str, Any]


def compile_sink(directory: Path) -> Path:
    """Build the receiving side; CalledProcessError where there is no compiler."""
    program = directory / "sink"
    source = Path(__file__).with_name("sink.c")
    subprocess.run(["cc", "-O2", "-o", str(program), str(source), "-lssl", "-lcrypto"], check=True)
    return program


@contextmanager
def receiving_side(case: Case, directory: Path, program: Path) -> Iterator[subprocess.Popen[str]]:
    """The sink of a case, listening; its JSON is read when it has ended."""
    if case.sink == "smtp-sink":
        found = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
        user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
        command = [found, *user, f"inet:{_ADDRESS}:{_PORT}", "1000"]
    else:
        command = [str(program), str(_PORT), "-a", _ADDRESS]
        if case.tls:
            leaf = trustme.CA().issue_cert(*(f"in.mx{number}.example" for number in range(DOMAINS)))
            chain, key = directory / "chain.pem", directory / "key.pem"
            chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
            key.write_bytes(leaf.private_key_pem.bytes())
            command += ["-t", str(chain), str(key)]
        if case.bdat:
            command.append("-B")
    sink = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield sink
    finally:
        sink.kill()
        sink.wait()


@asynccontextmanager
async def configured(
    case: Case, directory: Path, *, tail: Sequence[str] = (), organisations: Sequence[str] = ()
) -> AsyncIterator[Path]:
    """A configuration for the case, and the DNS it leads to; `tail` are further domains, hosted by the sink too.

    `organisations` are domains with an MX of their own, and so a receiver of their own each.
    """
    config = directory / "config"
    (config / "receivers").mkdir(parents=True)
    for name in ("run", "state"):
        (directory / name).mkdir(mode=0o700)
    async with serve_dns(_zone(tail, organisations), "127.79.0.53") as (address, port):
        identity = "signed = false"
        if case.sign:
            generate(Algorithm(case.sign), config / "key.pem")
            identity = f'keys = [{{ selector = "s", file = "key.pem", algorithm = "{case.sign}" }}]'
        text = _PENSTOCK.format(
            directory=directory,
            delivery=case.delivery,
            signers=case.signers,
            dns_address=address,
            dns_port=port,
            smtp_port=_PORT,
            identity=identity,
        )
        (config / "penstock.toml").write_text(text)
        sources = (f'[[source]]\nname = "s{n}"\naddress = "127.79.1.{n}"\nehlo = "s{n}.bench.example"\n' for n in (1, 2))
        (config / "sources.toml").write_text("\n".join(sources))
        for number in range(DOMAINS):
            receiver = f'pipelining = "{case.pipelining}"\n' + _RECEIVER.format(
                number=number, tls="required" if case.tls else "off"
            )
            (config / "receivers" / f"bench{number}.toml").write_text(receiver)
        yield config


@asynccontextmanager
async def running(case: Case, directory: Path) -> AsyncIterator[tuple[Path, trio.Process]]:
    """A fleet configured for the case; yields its configuration and its process."""
    async with configured(case, directory) as config, fleet(config, directory / "fleet.log") as process:
        yield config, process


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


def _zone(tail: Sequence[str], organisations: Sequence[str]) -> Zone:
    zone = Zone()
    for domain in organisations:
        zone.add(domain, "MX", f"10 in.{domain}.")
        zone.add(f"in.{domain}", "A", _ADDRESS)
    for domain in tail:
        zone.add(domain, "MX", "10 in.mx0.example.")
    for number in range(DOMAINS):
        zone.add(f"in.mx{number}.example", "A", _ADDRESS)
        zone.add(f"domain{number}.example", "MX", f"10 in.mx{number}.example.")
    return zone


def cpu_by_role(fleet_pid: int, sink_pid: int) -> dict[str, float]:
    """Seconds of CPU so far: of every process of the fleet by its role, of its store, and of the receiving side."""
    spent: dict[str, float] = defaultdict(float, {"supervisor": _cpu(fleet_pid), "sink": _cpu(sink_pid)})
    children = Path(f"/proc/{fleet_pid}/task").glob("*/children")
    for pid in {int(word) for file in children for word in file.read_text().split()}:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        role = words[words.index("run") + 1] if "run" in words else "store"
        spent[role] += _cpu(pid)
    return spent


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def signature_us() -> float:
    """S: CPU of one RSA-2048 signature on this machine, now."""
    with _temporary_key() as key:
        digest, rounds = bytes(32), 1000
        began = time.process_time()
        for _ in range(rounds):
            key.sign(digest)
        return (time.process_time() - began) / rounds * 1e6


@contextmanager
def _temporary_key() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as directory:
        yield generate(Algorithm.RSA, Path(directory) / "key.pem")


def sink_report(sink: subprocess.Popen[str]) -> dict[str, Any]:
    """What the receiving side saw; it ends here."""
    sink.terminate()
    text, _ = sink.communicate()
    return dict(msgspec.json.decode(text)) if text.startswith("{") else {}
