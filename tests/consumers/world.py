"""A consumer on virtual time: a sink that notes what it was given, and fails, waits or hangs as the test says."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import trio
from prometheus_client import CollectorRegistry

from sender.metrics import Metrics
from sender.queue.base import Queue
from sender.queue.groups import Reading, Start
from tests.rig import clock
from workers.consumers.consumer import Follower
from workers.consumers.sink import Outcome, Portion, Sink, SinkError, together


@dataclass
class Notes:
    """A sink: what it has taken, in order."""

    ways: int = 1
    events: int = 500
    taken: list[bytes] = field(default_factory=list)
    at: list[float] = field(default_factory=list)  # when each portion was offered
    fails: int = 0  # so many portions, from now on
    takes_s: float = 0.0
    closed: bool = False
    retry_most_s: float = 30.0

    def portions(self, readings: Sequence[Reading]) -> Iterator[Portion]:
        if (portion := together(readings)).lines:
            yield portion

    async def take(self, portion: Portion) -> Outcome:
        self.at.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if self.fails:
            self.fails -= 1
            raise SinkError("no room")
        self.taken += portion.lines
        return "done"

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True

    @property
    def ids(self) -> list[str]:
        return ids(self.taken)


def ids(lines: Sequence[bytes]) -> list[str]:
    return [json.loads(line)["id"] for line in lines]


class Even(Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return b


@dataclass
class Said:
    """What a consumer counts, and what it tells the operator."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    troubles: list[str] = field(default_factory=list)
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"penstock_consumer_{name}", {"consumer": "log", **labels})


def consumer(queue: Queue, sink: Sink, said: Said, *, reader: str = "host/consumer-0-1-a", name: str = "log") -> Follower:
    return Follower(
        name=name,
        queue=queue,
        sink=sink,
        reader=reader,
        start=Start.BEGINNING,
        clock=clock,
        rng=Even(),
        metrics=said.metrics,
        on_trouble=said.troubles.append,
    )


@asynccontextmanager
async def following(
    queue: Queue, sink: Sink, said: Said | None = None, *, reader: str = "host/consumer-0-1-a", name: str = "log"
) -> AsyncIterator[Said]:
    """A consumer at work; drained when the block ends."""
    said = said or Said()
    draining = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(consumer(queue, sink, said, reader=reader, name=name).run, draining)
        yield said
        draining.set()
