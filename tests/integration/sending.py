"""Our side: an engine as `sender.assembly` builds it, over the memory queue, with everything that it hands out noted down."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio
from prometheus_client import CollectorRegistry

from sender.assembly import Surroundings, engine, expander
from sender.content.key import load_all
from sender.content.token import TokenKeys
from sender.metrics import Metrics
from sender.model import Pipelining, Result, TlsPolicy, Transaction
from sender.net.signing import LocalSigner
from sender.policy.suppression import Digests
from sender.queue.base import CampaignStatus, RowBatch
from sender.queue.memory import MemoryQueue
from sender.record import Attempt
from sender.settings import Settings, load
from sender.smtp.client import Client
from tests.integration import postfix
from tests.integration.messages import Mailing
from tests.integration.world import SELECTORS, SENDERS, Site

_SECONDS = 60.0

_PENSTOCK = """\
[net]
nameservers = ["{nameserver}"]
smtp_port = {port}
allow_targets = ["{network}.0/24"]
ca_file = "{ca_file}"
ip = "ipv4"

"""

_IDENTITY = """\
[[identity]]
domain = "{domain}"
canonicalization = "{mode}"

"""

_KEY = """\
[[identity.keys]]
selector = "{selector}"
algorithm = "{algorithm}"
file = "{file}"

"""

_SOURCES = """\
[[source]]
name = "source"
address = "{address}"
ehlo = "mta.shop.example"
"""

_RECEIVER = """\
tls = "{tls}"
pipelining = "{pipelining}"

[match]
mx = [".postfix.example"]

[limits]
connections = 4
messages_per_connection = 10
messages_per_second = 1000
connections_per_minute = 6000
"""


@dataclass(slots=True)
class Report:
    """What an engine did."""

    transactions: dict[str, Transaction] = field(default_factory=dict)  # by recipient, as the connections got them
    attempts: list[Attempt] = field(default_factory=list)
    statuses: list[CampaignStatus] = field(default_factory=list)
    writes: Counter[str] = field(default_factory=Counter)  # "grouped", "chained" or "other": see `_kind_of_write`
    troubles: list[str] = field(default_factory=list)


def write_config(directory: Path, site: Site, tls: TlsPolicy, pipelining: Pipelining) -> Settings:
    """An operator's directory for one source, and one receiver: Postfix."""
    text = _PENSTOCK.format(nameserver=site.nameserver, port=postfix.PORT, network=site.network, ca_file=site.ca_file)
    for domain, mode in SENDERS.items():
        text += _IDENTITY.format(domain=domain, mode=mode)
        for selector, algorithm in SELECTORS.items():
            text += _KEY.format(selector=selector, algorithm=algorithm, file=site.key_file(domain, selector))
    (directory / "penstock.toml").write_text(text)
    (directory / "sources.toml").write_text(_SOURCES.format(address=site.source))
    (directory / "receivers").mkdir()
    (directory / "receivers" / "postfix.toml").write_text(_RECEIVER.format(tls=tls, pipelining=pipelining))
    return load(directory)


async def deliver(site: Site, settings: Settings, mailings: Sequence[Mailing], monkeypatch: pytest.MonkeyPatch) -> Report:
    """Send mailings until every recipient has been tried once."""
    report, done, wanted = Report(), trio.Event(), sum(len(mailing.rows) for mailing in mailings)

    def note(attempt: Attempt) -> None:
        report.attempts.append(attempt)
        if len(report.attempts) >= wanted:
            done.set()

    _observe(report, monkeypatch)
    metrics, queue = Metrics(CollectorRegistry()), MemoryQueue()
    around = Surroundings(clock=time.time, rng=Random(1), metrics=metrics, on_attempt=note, on_trouble=report.troubles.append)
    await _submit(queue, mailings)
    digests = Digests(bytes(32))
    expansion = expander(settings, queue, digests, around)
    while await expansion.step():
        pass
    tokens = TokenKeys({"a": b"integration test keys, 32 octets"})
    delivery = engine(settings, queue, _signer(site), tokens, digests, "integration/1", around)
    with trio.fail_after(_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(delivery.run)
            await done.wait()
            delivery.drain()
    report.statuses = list(await queue.status([mailing.name for mailing in mailings]))
    return report


def _signer(site: Site) -> LocalSigner:
    return LocalSigner(
        load_all(
            {
                f"{domain}/{selector}": (site.key_file(domain, selector), algorithm)
                for domain in SENDERS
                for selector, algorithm in SELECTORS.items()
            }
        )
    )


async def _submit(queue: MemoryQueue, mailings: Sequence[Mailing]) -> None:
    for mailing in mailings:
        await queue.announce(mailing.name, msgspec.json.encode(mailing.spec))
        rows = b"\n".join(msgspec.json.encode(row) for row in mailing.rows)
        await queue.add_rows(mailing.name, [RowBatch(number=0, rows=rows)])
        await queue.close_rows(mailing.name, 1)


def _observe(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what each connection is given to send and how it writes that; it works as ever."""

    class ObservedClient(Client):
        def send(self, transaction: Transaction) -> Result | None:
            report.transactions[transaction.rcpt] = transaction
            return super().send(transaction)

        def data_to_send(self) -> bytes:
            data = super().data_to_send()
            report.writes[_kind_of_write(data)] += 1
            return data

    monkeypatch.setattr("sender.net.opening.Client", ObservedClient)


def _kind_of_write(data: bytes) -> str:
    """Whether commands went together, or with the end of data before them; no content can contain such an end."""
    if b"\r\n.\r\nMAIL FROM:<" in data:
        return "chained"
    return "grouped" if b"\r\nRCPT TO:<" in data and data.endswith(b"\r\nDATA\r\n") else "other"
