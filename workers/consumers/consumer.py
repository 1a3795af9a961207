"""One consumer: reads its group's streams, gives what it reads to a sink, and acknowledges what the sink has.

A stream has one portion under way, so the events of an envelope keep their order. Between a sink's having them and the
acknowledgement a crash repeats them, with their ids, and loses none.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import trio

from sender.errors import BackendError
from sender.metrics import Metrics
from sender.queue.base import Queue
from sender.queue.groups import Failure, Reading, Start
from sender.queue.owners import BEAT_S
from workers.consumers.sink import Portion, Sink, SinkError, SinkGone
from workers.consumers.tenure import Tenure

_POLL_S = 0.5  # where nothing came
_TROUBLE_S = 1.0  # before the first retry; each further wait is twice as long
_JITTER = 0.25  # of a wait, so that what failed together is not tried together again
_ENTRIES_FIRST, _ENTRIES_MOST = 8, 256  # of one stream at once; an entry holds one event or some hundreds


@dataclass(slots=True, kw_only=True)
class Follower:
    """Runs until it is drained; when it returns, its place is another's to take."""

    name: str
    queue: Queue
    sink: Sink
    reader: str
    start: Start
    clock: Callable[[], float]
    rng: Random
    metrics: Metrics
    on_trouble: Callable[[str], None]
    _tenure: Tenure = field(init=False)
    _failed: Failure | None = None  # the last time that the sink did not take something
    _told: Failure | None = None  # what the store knows of it
    _entries: dict[int, int] = field(default_factory=dict)  # by stream: how many make a good measure of events

    def __post_init__(self) -> None:
        self._tenure = Tenure(self.queue, self.name, self.reader, self.start)

    async def run(self, draining: trio.Event) -> None:
        streams = await self._opened(draining)
        self.metrics.consumer_known(self.name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._every_beat, self._tenure.beat)
            nursery.start_soon(self._every_beat, self._measure)
            nursery.start_soon(self._every_beat, self._tell_failure)
            async with trio.open_nursery() as ways:
                for way in range(min(self.sink.ways, streams)):
                    ways.start_soon(self._follow, range(way, streams, self.sink.ways), draining)
            nursery.cancel_scope.cancel()
        await self.sink.aclose()
        try:
            await self._tenure.let_go()
        except BackendError as error:
            self._trouble(error)  # who comes next waits until our beat has stood still

    async def _opened(self, draining: trio.Event) -> int:
        while not draining.is_set():
            try:
                streams = await self._tenure.open()
                await self._tenure.beat()
                return streams
            except BackendError as error:
                self._trouble(error)
            await _pause(_TROUBLE_S, draining)
        return 0

    async def _every_beat(self, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await duty()
            except BackendError as error:
                self._trouble(error)
            await trio.sleep(BEAT_S)

    async def _measure(self) -> None:
        found = await self.queue.lag([self.name], self.clock())
        if (lag := found.get(self.name)) is not None:
            self.metrics.consumer_lag(self.name, entries=lag.entries, seconds=lag.oldest_s)

    async def _tell_failure(self) -> None:
        """Whoever asks how we are doing hears why it does not go on: `penstock events`."""
        failed = self._failed
        if failed is not None and failed is not self._told:
            await self.queue.note_failure(self.name, failed)
            self._told = failed

    async def _follow(self, streams: Sequence[int], draining: trio.Event) -> None:
        """Give what these streams hold to the sink, for as long as there is any."""
        while not draining.is_set():
            try:
                if not await self._once(streams, draining):
                    await _pause(_POLL_S, draining)
            except BackendError as error:
                self._trouble(error)
                await _pause(_TROUBLE_S, draining)
            except SinkGone as error:
                self._not_taken(str(error))
                await draining.wait()

    async def _once(self, streams: Sequence[int], draining: trio.Event) -> bool:
        """One round; whether there was anything."""
        readings = await self._tenure.read({stream: self._entries.get(stream, _ENTRIES_FIRST) for stream in streams})
        for reading in readings:
            self._look_at(reading)
        found = False
        for portion in self.sink.portions(readings):
            if not await self._hand_over(portion, draining):
                break
            found = True
        return found

    async def _hand_over(self, portion: Portion, draining: trio.Event) -> bool:
        """Offer it until it is taken, ever more seldom; False where we are asked to end before."""
        wait_s = _TROUBLE_S
        while not draining.is_set():
            try:
                with self._tenure.term(portion.streams):
                    outcome = await self.sink.take(portion)
            except SinkGone:
                raise
            except SinkError as error:
                self._not_taken(str(error))
                self.metrics.consumer_events(self.name, "retried", len(portion.lines))
                await _pause(wait_s * self.rng.uniform(1 - _JITTER, 1.0) if error.wait_s is None else error.wait_s, draining)
                wait_s = min(2 * wait_s, self.sink.retry_most_s)
            else:
                await self._tenure.acknowledge(portion.entries)
                self.metrics.consumer_events(self.name, outcome, len(portion.lines))
                if outcome == "dead":
                    why = self._failed.why if self._failed is not None else "they were given up"
                    self._failed = Failure(at=self.clock(), why=why)
                    self._trouble("events were given up and are kept: `penstock events replay` sends them again")
                return True
        return False

    def _look_at(self, reading: Reading) -> None:
        """Count what was lost, and ask next time for as many entries as hold a good measure of events."""
        if reading.lost:
            self.metrics.consumer_lost(self.name, reading.lost)
            self._trouble(f"{reading.lost} entries were gone before they had been read: see events.keep")
        if reading.entries:
            events = sum(len(entry.lines) for entry in reading.entries)
            wanted = self.sink.events * len(reading.entries) // events
            self._entries[reading.stream] = max(1, min(wanted, _ENTRIES_MOST))

    def _not_taken(self, why: str) -> None:
        self._failed = Failure(at=self.clock(), why=why)
        self._trouble(why)

    def _trouble(self, why: object) -> None:
        self.on_trouble(f"consumer {self.name}: {why}")

    def __repr__(self) -> str:
        return f"<Follower {self.name}: {self._tenure!r}>"


async def _pause(seconds: float, draining: trio.Event) -> None:
    with trio.move_on_after(seconds):
        await draining.wait()
