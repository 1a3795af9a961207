"""A small world for one test: a receiver, the DNS that leads to it, and a configuration that leads there."""

import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from random import Random
from typing import Any

import dkim
import pytest
import trio

from sender.assembly import Surroundings
from sender.content.key import generate
from sender.content.rotation import Algorithm
from sender.metrics import Metrics
from sender.model import State
from sender.outbox import open_outbox
from sender.queue.base import CampaignStatus
from sender.record import Attempt
from sender.settings import Settings, load
from tests.content.foreign import dns
from workers.emulator.certificates import Authority
from workers.emulator.dns import serve_dns
from workers.emulator.faultmx import Copy, FaultMx, fault_mx
from workers.emulator.faults import Fault
from workers.emulator.zone import Zone

ADDRESS = "127.77.200.1"
DOMAIN = "reader.example"
HOST = "mx.town.example"
PATIENCE_S = 90.0
SPEC: Mapping[str, Any] = {"from": "Shop <news@shop.example>", "subject": "Hello", "text": "Spring is here.\n"}

_CONFIG = """
[net]
nameservers = ["127.77.200.53"]
dns_port = {dns_port}
smtp_port = {smtp_port}
allow_targets = {allow}
ip = "ipv4"
[retry]
scale = 0.001
{more}
[[identity]]
domain = "shop.example"
keys = [{{ selector = "s1", file = "s1.pem", algorithm = "ed25519-sha256" }}]
"""
_PROFILE = """
tls = "opportunistic"
pipelining = "chain"
[match]
mx = [".town.example"]
[limits]
connections = 4
messages_per_connection = 1000
messages_per_second = 10000
connections_per_minute = 60000
idle_s = "60s"
"""


@dataclass(slots=True, kw_only=True)
class Town:
    """`mx` keeps what it took; `zone` may be changed while it answers; `attempts` is what the log would show."""

    mx: FaultMx
    zone: Zone
    settings: Settings
    authority: Authority
    attempts: list[Attempt] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def rules(self) -> list[str]:
        """Which rule decided each attempt."""
        return [attempt.outcome.rule for attempt in self.attempts]

    @property
    def around(self) -> Surroundings:
        return Surroundings(clock=time.time, rng=Random(1), metrics=self.metrics, on_attempt=self.attempts.append)

    async def post(self, rows: Sequence[Mapping[str, Any]], **changes: Any) -> dict[State, int]:
        """Send to these recipients and wait for the end of it: how many ended how."""
        return await self.post_all({"spring": (changes, rows)})

    async def post_all(
        self, campaigns: Mapping[str, tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]
    ) -> dict[State, int]:
        """The same for several campaigns at once: by name, what is different from SPEC, and the recipients."""
        totals: Counter[State] = Counter()
        with trio.fail_after(PATIENCE_S):
            async with open_outbox(self.settings, self.around) as outbox:
                for campaign, (changes, rows) in campaigns.items():
                    await outbox.send(campaign, {**SPEC, **changes}, rows)
                for campaign in campaigns:
                    totals.update(by_state(await outbox.finished(campaign)))
        return dict(totals)

    def verified(self, copy: Copy) -> bool:
        """What an independent verifier says of the copy's signature."""
        try:
            return bool(dkim.DKIM(copy.content).verify(dnsfunc=dns(self.zone.texts())))
        except dkim.ValidationError:  # how dkimpy says that the body is another
            return False


def by_state(status: CampaignStatus) -> dict[State, int]:
    """How many recipients ended how, over all receivers."""
    totals: dict[State, int] = {}
    for (_, state), count in status.final.items():
        totals[state] = totals.get(state, 0) + count
    return totals


def read(copy: Copy) -> EmailMessage:
    """The copy as the standard library reads it."""
    found = message_from_bytes(copy.content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


@asynccontextmanager
async def town(
    directory: Path, *plays: str | Fault, allow: Sequence[str] = ("127.77.200.0/24",), more: str = ""
) -> AsyncIterator[Town]:
    """`reader.example` leads to one receiver whose n-th connection plays the n-th fault, and all further ones the last."""
    zone, authority = Zone(), Authority(directory)
    zone.add(HOST, "A", ADDRESS)
    zone.add(DOMAIN, "MX", f"10 {HOST}.")
    key = generate(Algorithm.ED25519, directory / "s1.pem")
    zone.add("s1._domainkey.shop.example", "TXT", key.dns_record())
    async with (
        fault_mx(*plays, host=HOST, address=ADDRESS, authority=authority) as mx,
        serve_dns(zone, "127.77.200.53") as (_, dns_port),
    ):
        config = _CONFIG.format(dns_port=dns_port, smtp_port=mx.address[1], allow=list(allow), more=more)
        (directory / "penstock.toml").write_text(config)
        (directory / "sources.toml").write_text('[[source]]\nname = "local"\nehlo = "mta.shop.example"\n')
        (directory / "receivers").mkdir()
        (directory / "receivers" / "town.toml").write_text(_PROFILE)
        yield Town(mx=mx, zone=zone, settings=load(directory), authority=authority)


@contextmanager
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses that the sender opens a TCP connection to, or tries to, while the block runs."""
    made: list[str] = []
    original = socket.socket.connect_ex

    def connect_ex(self: socket.socket, address: Any) -> int:
        made.append(str(address[0]))
        return original(self, address)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        yield made
