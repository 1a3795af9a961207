"""The conversation between workers and signers: binary frames on a unix stream socket, bytes in and values out.

Every frame, both ways, is `size u32, number u32, count u16` and then `count` items, big-endian; `size` counts the octets
behind itself. A worker's frame holds jobs (`length u8, key id, SHA-256 digest`); the signer's answer has the same number and
one item a job in the same order (`status u8, length u16, octets`: a signature, or why there is none). A frame without
items is answered by one without items: a ping. Number 0 is the signer's farewell: what it has not answered it never began.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FRAME_LIMIT = 64 * 1024  # octets of a frame: well under what a socket buffers
JOBS_LIMIT = 100  # jobs of a frame, so that neither it nor its answer, of 512 octets a signature, exceeds the limit
FAREWELL = 0
DIGEST = 32
NAME_LIMIT = 255  # octets of a key id

_SIZE = struct.Struct(">I")
_HEAD = struct.Struct(">IIH")
_ITEM = struct.Struct(">BH")
_BEHIND_SIZE = _HEAD.size - _SIZE.size

SIGNED, REFUSED = 0, 1


class WireError(ValueError):
    """The other end does not speak this protocol: the connection is of no more use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    number: int
    count: int
    items: bytes


class FrameReader:
    """Cuts a stream of octets into frames; holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes; raises WireError at a size out of bounds."""
        data = self._held + data if self._held else data
        frames: list[Frame] = []
        place, end = 0, len(data)
        while end - place >= _HEAD.size:
            size, number, count = _HEAD.unpack_from(data, place)
            if not _BEHIND_SIZE <= size <= FRAME_LIMIT:
                raise WireError(f"a frame of {size} octets")
            after = place + _SIZE.size + size
            if after > end:
                break
            frames.append(Frame(number=number, count=count, items=data[place + _HEAD.size : after]))
            place = after
        self._held = data[place:]
        return frames


def jobs_frame(number: int, jobs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A frame of (key id, digest) jobs; none is a ping."""
    items = [b"%c%b%b" % (len(key), key, digest) for key, digest in jobs]
    return _frame(number, items)


def jobs_of(frame: Frame) -> list[tuple[bytes, bytes]]:
    """The jobs of a frame; raises WireError when they don't fill it exactly."""
    items, place, end = frame.items, 0, len(frame.items)
    jobs: list[tuple[bytes, bytes]] = []
    while place < end:
        start = place + 1
        middle = start + items[place]
        place = middle + DIGEST
        jobs.append((items[start:middle], items[middle:place]))
    if place != end or len(jobs) != frame.count:
        raise WireError("jobs that do not fill their frame")
    return jobs


def answers_frame(number: int, answers: Sequence[bytes | str]) -> bytes:
    """A frame of answers: a signature in octets, or the reason of a refusal in words."""
    items: list[bytes] = []
    for answer in answers:
        status, octets = (SIGNED, answer) if isinstance(answer, bytes) else (REFUSED, answer.encode())
        items.append(_ITEM.pack(status, len(octets)) + octets)
    return _frame(number, items)


def answers_of(frame: Frame) -> list[bytes | str]:
    """The answers of a frame; raises WireError when they don't fill it exactly."""
    items, place, end = frame.items, 0, len(frame.items)
    answers: list[bytes | str] = []
    while end - place >= _ITEM.size:
        status, length = _ITEM.unpack_from(items, place)
        octets = items[place + _ITEM.size : place + _ITEM.size + length]
        answers.append(octets if status == SIGNED else octets.decode(errors="backslashreplace"))
        place += _ITEM.size + length
    if place != end or len(answers) != frame.count:
        raise WireError("answers that do not fill their frame")
    return answers


def _frame(number: int, items: list[bytes]) -> bytes:
    body = b"".join(items)
    if len(body) + _BEHIND_SIZE > FRAME_LIMIT:
        raise WireError(f"a frame of {len(body)} octets")
    return _HEAD.pack(_BEHIND_SIZE + len(body), number, len(items)) + body
