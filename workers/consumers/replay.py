"""Dead letters sent again, when an operator says so: file by file, in order; a file goes when all of it has been taken."""

from collections.abc import Callable, Iterator
from pathlib import Path

import trio

from workers.consumers.file import FileSink
from workers.consumers.sink import SinkError
from workers.consumers.webhook import Deliverer


async def replay(dead: FileSink, deliverer: Deliverer, tell: Callable[[str], None]) -> int:
    """Send all that is kept; how many events the receiver has taken.

    SinkError where it takes no more, or a file can't be read or removed: what it has not taken stays, and the file it stopped
    in is sent again from its beginning the next time, with the same ids. A consumer at work meanwhile writes to another file.
    """
    taken, path = 0, dead.directory
    try:
        for path in await trio.to_thread.run_sync(dead.set_aside):
            count = await _send(path, deliverer)
            path.unlink()
            tell(f"{path}: {count:,} events")
            taken += count
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror or error}") from error
    return taken


async def _send(path: Path, deliverer: Deliverer) -> int:
    count = 0
    for lines in _batches(path, deliverer):
        try:
            await deliverer.deliver(lines)
        except SinkError as error:
            raise SinkError(f"{path}: {error}; {count:,} of its events were taken") from error
        count += len(lines)
    return count


def _batches(path: Path, deliverer: Deliverer) -> Iterator[list[bytes]]:
    """The file's lines as the receiver is given them."""
    lines: list[bytes] = []
    octets, limits = 0, deliverer.batches
    with path.open("rb") as file:
        for line in map(bytes.rstrip, file):
            if lines and (len(lines) == limits.events or octets + len(line) + 1 > limits.octets):
                yield lines
                lines, octets = [], 0
            lines.append(line)
            octets += len(line) + 1
    if lines:
        yield lines
