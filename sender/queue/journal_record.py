"""The form of a journal's files: a header, and records that are read up to the first damage.

A file begins with eight octets of magic, the version as two, and a record that holds the owner's name. A record is its length
and the CRC-32 of its body as four octets each, and the body: a MessagePack array that begins with the record's kind. Whoever
is killed in the middle of a write leaves a record whose length or CRC is wrong: it ends the file.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import msgspec

from sender.model import State
from sender.queue.suppressions import Suppression

VERSION = 1
_MAGIC = b"PENSTOCK"
_START = struct.Struct(">8sH")
_FRAME = struct.Struct(">II")

Key: TypeAlias = tuple[str, int]  # a lease's id and a position in it

# The kinds, as the writer names them: a tuple is written in a fifth of the time that a Struct takes.
FILLER, INTENT, ENDED, BACK, UNTRIED = range(5)


class JournalVersionError(ValueError):
    """A file of a version that this program does not read."""


class Filler(msgspec.Struct, array_like=True, tag=FILLER, frozen=True):
    """Octets without a meaning: whether there is room."""

    octets: bytes


class Intent(msgspec.Struct, array_like=True, tag=INTENT, frozen=True):
    """The end of data of these goes out now: from here on they may be delivered."""

    keys: tuple[Key, ...]


class Ended(msgspec.Struct, array_like=True, tag=ENDED, frozen=True):
    """The envelope has reached a final state."""

    key: Key
    state: State
    event: bytes
    at: float  # Unix seconds
    why: str = ""  # where it ends as UNKNOWN: what is shown of it
    refused: Suppression | None = None
    mark: str = ""  # what it counts as; "": nothing


class Back(msgspec.Struct, array_like=True, tag=BACK, frozen=True):
    """The envelope goes back to the queue with these counts."""

    key: Key
    due: float
    attempts: int
    doubts: int
    tried_at: float
    event: bytes
    source: str = ""  # who alone may try it again
    mark: str = ""


class Untried(msgspec.Struct, array_like=True, tag=UNTRIED, frozen=True):
    """What was intended did not go out after all."""

    key: Key


Outcome: TypeAlias = Ended | Back
Record: TypeAlias = Filler | Intent | Ended | Back | Untried

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Filler | Intent | Ended | Back | Untried)
_owner = msgspec.msgpack.Decoder(str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a journal says of each envelope in it: its outcome, or None where its end of data may have gone out unanswered."""

    said: dict[Key, Outcome | None]

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Story":
        """The last word on each envelope counts."""
        said: dict[Key, Outcome | None] = {}
        for record in records:
            match record:
                case Intent(keys=keys):
                    said.update(dict.fromkeys(keys))
                case Ended() | Back():
                    said[record.key] = record
                case Untried(key=key):
                    said.pop(key, None)
                case Filler():
                    pass
        return cls(said=said)


def encode(record: Sequence[object]) -> bytes:
    """A record, with its frame, from its kind and its fields in order."""
    body = _encoder.encode(record)
    return _FRAME.pack(len(body), crc32(body)) + body


def header(owner: str) -> bytes:
    """What a file begins with."""
    body = _encoder.encode(owner)
    return _START.pack(_MAGIC, VERSION) + _FRAME.pack(len(body), crc32(body)) + body


def read(octets: bytes) -> tuple[str, list[Record]]:
    """A file's owner and its whole records; "" and none where not even its beginning is whole.

    Raises JournalVersionError for a file of another version.
    """
    if len(octets) < _START.size:
        return "", []
    magic, version = _START.unpack_from(octets)
    if magic != _MAGIC or version != VERSION:
        found = f"version {version}" if magic == _MAGIC else f"{magic!r} in place of {_MAGIC!r}"
        raise JournalVersionError(f"{found}; this program reads version {VERSION}")
    bodies = _bodies(octets)
    try:
        return _owner.decode(next(bodies, b"\xa0")), list(_records(bodies))
    except msgspec.DecodeError as error:
        raise JournalVersionError(f"a whole record that can't be read: {error}") from error


def _bodies(octets: bytes) -> Iterator[bytes]:
    """The bodies of whole records, up to the first that is not."""
    place = _START.size
    while place + _FRAME.size <= len(octets):
        length, check = _FRAME.unpack_from(octets, place)
        place += _FRAME.size
        body = octets[place : place + length]
        if not length or len(body) < length or crc32(body) != check:
            return
        yield body
        place += length


def _records(bodies: Iterator[bytes]) -> Iterator[Record]:
    return map(_decoder.decode, bodies)
