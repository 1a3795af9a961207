"""Where a consumer's events go."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sender.errors import SenderError
from sender.queue.groups import Reading

Outcome = Literal["done", "dead"]  # they are where they belong, or kept for an operator


class SinkError(SenderError):
    """A sink has not taken what it was given, and may later: says why, and after how many seconds where it was told."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class SinkGone(SinkError):
    """A sink says that it wants nothing more, ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What a sink takes at once, in the order of its streams."""

    streams: Sequence[int]
    entries: Mapping[int, Sequence[str]]  # by stream, the ids of those that are dealt with once this is taken
    lines: Sequence[bytes]  # an event each, as JSON


class Sink(Protocol):
    """Takes portions, one after the other, for each of its `ways`."""

    @property
    def ways(self) -> int:
        """How many portions it takes side by side; each stream has one way."""

    @property
    def events(self) -> int:
        """About so many of one stream are a good measure at once."""

    @property
    def retry_most_s(self) -> float:
        """The longest wait before a portion that was not taken is offered again."""

    def portions(self, readings: Sequence[Reading]) -> Iterator[Portion]:
        """All that was read, in portions of a size that it takes."""

    async def take(self, portion: Portion) -> Outcome:
        """Returns when the events are where they belong, within a while that is bounded; SinkError where they are not."""

    async def aclose(self) -> None:
        """Nothing more comes."""


def together(readings: Sequence[Reading]) -> Portion:
    """All of it as one portion."""
    entries = {reading.stream: [entry.id for entry in reading.entries] for reading in readings if reading.entries}
    lines = [line for reading in readings for entry in reading.entries for line in entry.lines]
    return Portion(streams=tuple(entries), entries=entries, lines=lines)
