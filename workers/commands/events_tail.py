"""`penstock events tail`: events as they come, read beside all groups and without a place in any."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

import trio

from sender.queue.base import Queue
from sender.queue.groups import Reading
from workers.commands.events_lines import read

_POLL_S = 0.5  # where nothing came
_ENTRIES = 16  # of each stream at once: each may hold some hundred events, and what is shown is held in memory


async def tail(queue: Queue, campaigns: Collection[str], types: Collection[str]) -> AsyncGenerator[Sequence[bytes]]:
    """Those that match, from now on, some at a time; of one envelope in their order."""
    places = dict(await queue.ends())
    while True:
        readings = await queue.peek(places, _ENTRIES)
        places |= _behind(readings)
        if lines := [line for line in _in_time(readings) if read(line).matches(campaigns, types)]:
            yield lines
        if not any(len(reading.entries) == _ENTRIES for reading in readings):
            await trio.sleep(_POLL_S)


def _behind(readings: Sequence[Reading]) -> Mapping[int, str]:
    return {reading.stream: reading.entries[-1].id for reading in readings if reading.entries}


def _in_time(readings: Sequence[Reading]) -> list[bytes]:
    """The events of some streams, as they were stored: an id begins with that moment."""
    entries = [(_moment(entry.id), entry) for reading in readings for entry in reading.entries]
    return [line for _, entry in sorted(entries, key=lambda pair: pair[0]) for line in entry.lines]


def _moment(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.split("-")))
