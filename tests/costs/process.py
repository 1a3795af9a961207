"""A delivery process in one thread, around which nothing is faked but the network and the passing of time.

`sender.assembly` puts the engine together, as `workers.delivery` has it done. The store is a real one, asked in place of from
a thread; the signer is a task that speaks the signers' protocol with a real key.
"""

import os
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
import trio

from sender import assembly
from sender.content.key import PrivateKey
from sender.content.token import TokenKeys
from sender.engine import Engine
from sender.metrics import Metrics
from sender.model import Route
from sender.net.signing import SignerPool
from sender.net.signing_wire import FrameReader, answers_frame, jobs_of
from sender.policy.suppression import KEY_OCTETS, Digests
from sender.queue import journal, open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from sender.queue.node import Command
from sender.record import Attempt
from sender.settings import Settings, load
from tests.costs.counting import mark
from tests.costs.wire import Wires
from tests.rig import clock, submitted
from workers.attempt_log import attempt_log

T = TypeVar("T")

RECEIVERS = ("one.example", "two.example")
_CONNECTIONS = 4  # of each lane
_NOT_OURS = ("cmdstat_info", "cmdstat_ping")  # whoever keeps the store running asks too
_LINE = "The new season has come, and with it all that we have worked on through the winter.\n"
_SPEC = {
    "from": "Shop <news@shop.example>",
    "subject": "Hello {{ name }}",
    "text": "Hello {{ name }} in {{ city }}, your code is {{ code }}.\n" + _LINE * 112,  # 10 kB
}
_PENSTOCK = """\
[fleet]
host = "here"
[[identity]]
domain = "shop.example"
keys = [{ selector = "s1", file = "rsa.pem" }]
"""
_SOURCES = '[[source]]\nname = "s1"\naddress = "192.0.2.9"\nehlo = "mta.shop.example"\n'
_RECEIVER = """\
tls = "required"
[match]
mx = ["mx.{domain}"]
[limits]
connections = {connections}
messages_per_connection = 1000000
messages_per_second = 1000000
connections_per_minute = 1000000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it runs, and with which keys."""

    directory: Path
    store: str  # a URL of an empty one
    key: PrivateKey
    tls: ssl.SSLContext


def configured(directory: Path) -> Settings:
    """The settings of a process that sends to RECEIVERS."""
    (directory / "receivers").mkdir(parents=True)
    (directory / "penstock.toml").write_text(_PENSTOCK)
    (directory / "sources.toml").write_text(_SOURCES)
    for domain in RECEIVERS:
        text = _RECEIVER.format(domain=domain, connections=_CONNECTIONS)
        (directory / "receivers" / f"{domain.partition('.')[0]}.toml").write_text(text)
    return load(directory)


def in_one_thread(patch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    """What waits in threads is done at once, and what goes to the store and to the journal is counted."""
    ask, write = Client._run, journal._write

    def asked(client: Client, commands: Sequence[Command], durable: bool = False) -> list[Any]:
        counts["store calls"] += 1
        counts["store commands"] += len(commands)
        return ask(client, commands, durable)

    def written(descriptor: int, octets: bytes) -> None:
        counts["journal writes"] += 1
        write(descriptor, octets)

    patch.setattr(Client, "_run", asked)
    patch.setattr(journal, "_write", written)
    patch.setattr(trio.to_thread, "run_sync", _at_once)


async def _at_once(work: Callable[..., T], *arguments: Any, **_: object) -> T:
    await trio.lowlevel.checkpoint()
    return work(*arguments)


async def deliver(place: Place, settings: Settings, messages: int, counts: Counter[str], patch: pytest.MonkeyPatch) -> None:
    """Deliver so many messages to each of RECEIVERS, and end in order."""
    async with _store(place) as (queue, client), trio.open_nursery() as nursery:
        for domain in RECEIVERS:
            name = domain.partition(".")[0]
            route = Route(pool="main", receiver=name)
            await submitted(queue, messages, campaign=f"to-{name}", domains=[domain], spec=_SPEC, route=route, fields=_fields)
        wires = Wires(nursery, place.tls, counts)
        patch.setattr(assembly, "Dialer", wires.dialer)
        patch.setattr(assembly, "resolver", lambda *_, **__: wires)
        with closing(_listening(place.directory / "signer.sock")) as listener:
            nursery.start_soon(_sign, listener, place.key, counts)
            before = await _commands_run(client)
            await _run(place, settings, queue, messages * len(RECEIVERS), counts)
            counts["commands in the store"] = await _commands_run(client) - before
            nursery.cancel_scope.cancel()


def _fields(number: int) -> dict[str, str]:
    return {"name": f"Ann {number}", "city": "Lyon", "code": f"{number:06}"}


@asynccontextmanager
async def _store(place: Place) -> AsyncIterator[tuple[Queue, Client]]:
    """The store, emptied, and a door to it of our own."""
    client = Client(place.store)
    await client.run([("FLUSHALL",)])
    queue = await open_queue(place.store)
    yield queue, client
    await queue.aclose()
    await client.aclose()


async def _commands_run(client: Client) -> int:
    """Commands that the store has run since its start, those within scripts too."""
    (text,) = await client.run([("INFO", "commandstats")])
    lines = [line for line in text.decode().splitlines() if line.startswith("cmdstat_") and not line.startswith(_NOT_OURS)]
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines)


async def _run(place: Place, settings: Settings, queue: Queue, messages: int, counts: Counter[str]) -> None:
    """The process itself, from its start until the last message is settled; only its own tasks are counted."""
    mark()
    done, ended = trio.Event(), 0

    def written(line: bytes) -> None:
        counts["log lines"] += 1

    tell = attempt_log(written, "delivery", "info", "json")

    def told(attempt: Attempt) -> None:
        nonlocal ended
        tell(attempt)
        ended += 1
        if ended == messages:
            done.set()

    machine, signers = _engine(place, settings, queue, told)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signers.run)
        nursery.start_soon(machine.run)
        await done.wait()
        machine.drain()
        await machine.ended.wait()
        nursery.cancel_scope.cancel()


def _engine(place: Place, settings: Settings, queue: Queue, told: Callable[[Attempt], None]) -> tuple[Engine, SignerPool]:
    around = assembly.Surroundings(clock=clock, rng=Random(1), metrics=Metrics(), on_attempt=told, on_trouble=_trouble)
    tokens, digests = TokenKeys({"a": bytes(32)}), Digests(bytes(KEY_OCTETS))
    signers = SignerPool([place.directory / "signer.sock"])
    book = journal.Journal(place.directory / "journal", settings.journal.fsync, on_trouble=_trouble)
    return assembly.engine(settings, queue, signers, tokens, digests, "here/1", around, book), signers


def _trouble(text: str) -> None:
    raise AssertionError(f"nothing is in trouble here: {text}")


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.fspath(path))
    listener.listen()
    listener.setblocking(False)
    return listener


async def _sign(listener: socket.socket, key: PrivateKey, counts: Counter[str]) -> None:
    """A signer with one worker."""
    await trio.lowlevel.wait_readable(listener)
    connection, _ = listener.accept()
    connection.setblocking(False)
    reader = FrameReader()
    with connection:
        while True:
            await trio.lowlevel.wait_readable(connection)
            for frame in reader.feed(connection.recv(65_536)):
                jobs = jobs_of(frame)
                counts["signer requests"] += bool(jobs)
                counts["signatures"] += len(jobs)
                connection.send(answers_frame(frame.number, [key.sign(digest) for _, digest in jobs]))
