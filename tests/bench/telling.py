"""What it costs a message that the world hears of it: metrics, its event, the event's place in the store, its log line.

Each part is done by itself, with the values of a message that was delivered, and the best of some rounds counts: nothing makes
it faster than it is. What is done at each scrape is shared out among the messages of a busy process.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from sender.metrics import Metrics
from sender.model import Envelope, Reply, State, Step, Verdict
from sender.policy.retry import Final
from sender.policy.verdict import DELIVERED
from sender.queue import open_queue
from sender.queue.base import Queue, Settlement
from sender.queue.client import Client
from sender.record import Attempt, event_of
from tests.bench.figures import Columns, Row, show
from tests.bench.queue import Gauge
from tests.holding import LANE, held
from tests.queue.feeding import QUEUED_AT, ROUTE, chunk_of, envelopes, opened, wish
from tests.redis.servers import one_server
from tests.rig import EPOCH
from workers.attempt_log import attempt_log

_ROUNDS = 7
_STEPS = (Step.MAIL, Step.RCPT, Step.DATA, Step.DOT)  # what a transaction waits for
_LEASE, _SETTLED_AT_ONCE = 200, 50
_BUSY = 1_500  # messages a second of one delivery process
_SCRAPE_S, _LANES = 15.0, 40  # as deploy/prometheus/prometheus.yml says; of one process
_COLUMNS: Columns = (("CPU µs a message", "cpu_us", ".1f"),)


def run(messages: int = 20_000) -> list[Row]:
    """Measure and print the table."""
    attempts = _attempts(messages)
    parts = {
        "its counts and times": _best(lambda: _count(attempts, Metrics())) / messages,
        "its event as JSON": _best(lambda: _tell(attempts)) / messages,
        "its event in the store, client and server": trio.run(_kept, attempts),
        "a scrape's share": _best(_scraped()) / (_SCRAPE_S * _BUSY),
    }
    rows = [Row(who="Penstock", case=part, rounds=({"cpu_us": found},)) for part, found in parts.items()]
    rows.append(Row(who="Penstock", case="all of it", rounds=({"cpu_us": sum(parts.values())},)))
    line = _best(lambda: _write(attempts)) / messages
    rows.append(Row(who="Penstock", case="beside it: its log line", rounds=({"cpu_us": line},)))
    show("what is told of a message", rows, _COLUMNS, heads=("", "part"))
    return rows


def _attempts(messages: int) -> list[Attempt]:
    reply = Reply(code=250, enhanced="2.0.0", lines=("2.0.0 Ok: queued as 4YcQ6y2Zr3z9rxN",))
    final = Final(state=State.DELIVERED)
    return [
        Attempt(
            at=EPOCH,
            held=one,
            lane=LANE,
            mx="mx1.big.example",
            step=Step.DOT,
            reply=reply,
            why="",
            outcome=DELIVERED,
            next=final,
            seconds=0.1,
        )
        for one in held(messages)
    ]


def _best(work: Callable[[], object]) -> float:
    """Microseconds of CPU that it takes."""
    spent = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent) * 1e6


def _count(attempts: Sequence[Attempt], metrics: Metrics) -> None:
    for told in attempts:
        metrics.attempt(told.lane.source, told.lane.receiver, told.outcome)
        metrics.replied(Verdict.DELIVERED, told.seconds, told.held.envelope)
        metrics.finished(told.lane.source, told.lane.receiver, State.DELIVERED)
        for step in _STEPS:
            metrics.step(step, told.seconds)


def _tell(attempts: Sequence[Attempt]) -> None:
    for told in attempts:
        event_of(told, State.DELIVERED)


def _write(attempts: Sequence[Attempt]) -> None:
    tell = attempt_log(lambda line: None, "delivery", "info", "json")
    for told in attempts:
        tell(told)


def _scraped() -> Callable[[], bytes]:
    """What a scrape asks of a process that has so many lanes."""
    metrics, envelope = Metrics(), Envelope(campaign="spring", ordinal=1, address="ann@example.org", queued_at=1.0)
    for number in range(_LANES):
        for verdict in Verdict:
            metrics.attempt("s1", f"receiver-{number}", DELIVERED)
            metrics.replied(verdict, 0.1, envelope)
        metrics.finished("s1", f"receiver-{number}", State.DELIVERED)
        metrics.session_opened("s1", f"receiver-{number}", "TLSv1.3")
    return lambda: metrics.exposition.answer("")[1]


async def _kept(attempts: Sequence[Attempt]) -> float:
    """What settling costs more where events are told, client and server together."""
    event = event_of(attempts[0], State.DELIVERED)
    with TemporaryDirectory() as folder:
        async with one_server(Path(folder) / "server") as server:
            told = [await _settled(server.url, f"told-{number}", len(attempts), (event,)) for number in range(_ROUNDS)]
            untold = [await _settled(server.url, f"untold-{number}", len(attempts), ()) for number in range(_ROUNDS)]
    return min(told) - min(untold)


async def _settled(url: str, campaign: str, messages: int, event: tuple[bytes, ...]) -> float:
    """Microseconds of CPU a message for leasing and settling."""
    queue, client = await open_queue(url), Client(url)
    await opened(queue, campaign)
    some = envelopes(campaign, messages)
    packs = [(ROUTE, some[at : at + _LEASE]) for at in range(0, messages, _LEASE)]
    assert await queue.expand(await chunk_of(queue, campaign, packs), QUEUED_AT)
    await queue.join("worker-1")
    gauge = Gauge(client, messages)
    async with gauge.measured("settle"):
        await _drain(queue, campaign, event)
    await queue.aclose()
    await client.aclose()
    return gauge.found["settle_client_us"] + gauge.found["settle_server_us"]


async def _drain(queue: Queue, campaign: str, event: tuple[bytes, ...]) -> None:
    while leases := await queue.lease([wish(_LEASE)], QUEUED_AT):
        for lease in leases:
            for at in range(0, len(lease.envelopes), _SETTLED_AT_ONCE):
                places = range(at, min(at + _SETTLED_AT_ONCE, len(lease.envelopes)))
                final = tuple((place, State.DELIVERED) for place in places)
                told = event * len(places)
                one = Settlement(lease=lease.id, route=lease.route, campaign=campaign, final=final, events=told)
                await queue.settle([one], QUEUED_AT)
