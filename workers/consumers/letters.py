"""Dead letters looked at: how many lie there, since when, and each of them. Nothing is moved, locked or made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from workers.consumers.file import MIB, FileSink

_COUNTED = 64 * MIB  # so much is read to count events: of more, the rest is taken to be like it
_BLOCK = MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """What is kept of events that nobody took."""

    files: Sequence[Path] = ()
    octets: int = 0
    events: int = 0
    exact: bool = True  # they were counted
    oldest: float | None = None  # when what the first of them tells of happened, Unix seconds; None where there is none


class _At(msgspec.Struct):
    at: float


def look(dead: FileSink) -> Letters:
    """OSError where the files are another user's."""
    files, octets, events, looked_at = dead.files(), 0, 0, 0
    for path in files:
        octets += path.stat().st_size
        if looked_at < _COUNTED:
            lines, size = _counted(path)
            events, looked_at = events + lines, looked_at + size
    exact = looked_at >= octets
    return Letters(
        files=files,
        octets=octets,
        events=events if exact else round(events * octets / looked_at),
        exact=exact,
        oldest=next(map(_moment, every(dead)), None),
    )


def every(dead: FileSink) -> Iterator[bytes]:
    """The events, oldest file first. A last line without its end is one that is being written."""
    for path in dead.files():
        with path.open("rb") as file:
            yield from (line[:-1] for line in file if line.endswith(b"\n"))


def _counted(path: Path) -> tuple[int, int]:
    """Lines and octets of a file's beginning."""
    lines = size = 0
    with path.open("rb") as file:
        while size < _COUNTED and (block := file.read(_BLOCK)):
            lines, size = lines + block.count(b"\n"), size + len(block)
    return lines, size


def _moment(line: bytes) -> float | None:
    try:
        return msgspec.json.decode(line, type=_At).at
    except msgspec.DecodeError:
        return None
