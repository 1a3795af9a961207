"""Events by HTTP POST: batches of one stream each, signed, retried as they are, and kept where they can't be delivered.

A batch's `webhook-id` is a digest of its octets, so a batch that is sent again has the same. What is not taken is tried again
and again for `give_up_s`, and then goes to the dead letters. While a receiver has been away for that long, each further batch
is tried once: what piles up neither gets lost by its age nor waits for hours of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

import trio

from sender.queue.groups import Reading
from workers.consumers.file import FileSink
from workers.consumers.http import Answer, Poster
from workers.consumers.signature import signed
from workers.consumers.sink import Outcome, Portion, SinkError, SinkGone

_RETRY_AFTER_LEAST_S, _RETRY_AFTER_MOST_S = 1.0, 3600.0
_GONE = 410


@dataclass(slots=True, kw_only=True)
class Batches:
    """How events become requests."""

    lines: bool  # JSON lines, else an array
    events: int
    octets: int

    def cut(self, reading: Reading) -> Iterator[Portion]:
        """The batches of one stream; an entry is dealt with once the batch with its last event is."""
        ids: list[str] = []
        lines: list[bytes] = []
        size = 0
        for entry in reading.entries:
            for line in entry.lines:
                if lines and (len(lines) == self.events or size + len(line) + 1 > self.octets):
                    yield _portion(reading.stream, ids, lines)
                    ids, lines, size = [], [], 0
                lines.append(line)
                size += len(line) + 1
            ids.append(entry.id)
        if ids:
            yield _portion(reading.stream, ids, lines)

    def body(self, lines: Sequence[bytes]) -> bytes:
        if self.lines:
            return b"".join(line + b"\n" for line in lines)
        return b"[" + b",".join(lines) + b"]"

    @property
    def content_type(self) -> str:
        return "application/x-ndjson" if self.lines else "application/json"


def _portion(stream: int, ids: list[str], lines: list[bytes]) -> Portion:
    return Portion(streams=(stream,), entries={stream: ids} if ids else {}, lines=lines)


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Signs and posts batches to one receiver; what takes them is told by its status alone."""

    poster: Poster
    keys: Sequence[bytes]
    batches: Batches
    clock: Callable[[], float]

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """The receiver has taken them; SinkError where it has not, SinkGone where it never will."""
        now, body = self.clock(), self.batches.body(lines)
        headers = {"content-type": self.batches.content_type, "user-agent": "penstock", **signed(self.keys, body, now)}
        answer = await self.poster.post(headers, body)
        if 200 <= answer.status < 300:
            return
        if answer.status == _GONE:
            raise SinkGone("it answered 410 Gone: nothing more is sent until this process is started again")
        redirect = ", and redirects are not followed" if 300 <= answer.status < 400 else ""
        raise SinkError(f"it answered {answer.status}{redirect}", _retry_after_s(answer, now))


@dataclass(slots=True, kw_only=True)
class WebhookSink:
    """One receiver, and the dead letters beside it."""

    deliverer: Deliverer
    dead: FileSink
    ways: int
    retry_most_s: float
    give_up_s: float
    clock: Callable[[], float]
    _failing_since: dict[int, float] = field(default_factory=dict)  # by way
    _burying: trio.Lock = field(default_factory=trio.Lock)  # all ways have one file

    @property
    def events(self) -> int:
        return self.deliverer.batches.events

    def portions(self, readings: Sequence[Reading]) -> Iterator[Portion]:
        for reading in readings:
            yield from self.deliverer.batches.cut(reading)

    async def take(self, portion: Portion) -> Outcome:
        way = portion.streams[0] % self.ways
        try:
            await self.deliverer.deliver(portion.lines)
        except SinkGone:
            raise
        except SinkError:
            if self.clock() - self._failing_since.setdefault(way, self.clock()) < self.give_up_s:
                raise
            async with self._burying:
                await self.dead.take(portion)
                await self.dead.aclose()  # nobody holds it in between: an operator may send it again
            return "dead"
        self._failing_since.pop(way, None)
        return "done"

    async def aclose(self) -> None:
        await self.deliverer.poster.aclose()
        await self.dead.aclose()


def _retry_after_s(answer: Answer, now: float) -> float | None:
    """Seconds or a date (RFC 9110 section 10.2.3), within bounds; None where nothing that can be read was said."""
    text = answer.retry_after.strip()
    if text.isdecimal() and text.isascii():
        wait_s = float(text[:9])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # what counts in ages and aeons is no date either
            return None
        wait_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return min(max(wait_s, _RETRY_AFTER_LEAST_S), _RETRY_AFTER_MOST_S)
