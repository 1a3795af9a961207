"""One connection to one signer: frames out, frames in, and the account of what is outstanding."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio
from msgspec import Struct

from sender.errors import SigningError
from sender.net.signing_wire import FAREWELL, Frame, FrameReader, WireError, answers_of, jobs_frame

_READ = 64 * 1024  # octets
_NUMBERS = 0xFFFF_FFFF


@dataclass(slots=True, eq=False)
class Call:
    """What one caller waits for: a result a job, and the event that says that none is missing."""

    results: list[bytes | SigningError | None]
    missing: int
    done: trio.Event = field(default_factory=trio.Event)

    def settle(self, place: int, result: bytes | SigningError) -> None:
        """Note a job's result; the first one counts, since a job that was sent twice may be answered twice."""
        if self.results[place] is None:
            self.results[place] = result
            self.missing -= 1
            if not self.missing:
                self.done.set()


class Job(Struct, eq=False):
    """A digest to sign, on its way to whichever signer will."""

    key: bytes
    digest: bytes
    call: Call
    place: int
    deadline: float
    strikes: int = 0  # signers that were lost while they held it

    @property
    def open(self) -> bool:
        return self.call.results[self.place] is None

    def settle(self, result: bytes | SigningError) -> None:
        self.call.settle(self.place, result)


class Link:
    """A signer as a worker sees it: connected or not, and with what outstanding.

    It is `ready` from the answer to a first ping: a stopped process takes connections too, and only silence tells.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ready = False
        self.alone = False  # it holds a job that is to stay by itself
        self.outstanding: dict[int, list[Job]] = {}
        self.jobs = 0
        self.signed = 0
        self.heard_at = 0.0  # when it last answered, or was first asked
        self._number = FAREWELL
        self._socket: socket.socket | None = None
        self._unsent = b""
        self._nursery: trio.Nursery | None = None

    async def converse(self, answered: Callable[[], None]) -> bool:
        """Connect and read answers until the connection ends, calling `answered` whenever there is room for more jobs.

        True when the signer took its leave: what is outstanding then was never begun.
        """
        left = False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as self._socket:
            self._socket.setblocking(False)
            try:
                self._socket.connect(str(self.path))  # a unix socket connects at once or not at all
                async with trio.open_nursery() as self._nursery:
                    self.send([])
                    left = await self._read(self._socket, answered)
                    self._nursery.cancel_scope.cancel()
            except OSError:
                return False
            finally:
                self.ready = False
                self._unsent = b""
        return left

    def abandon(self) -> None:
        """Break off: the signer is silent."""
        self.ready = False
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def forget(self) -> list[Job]:
        """Hand back the outstanding jobs."""
        jobs = [job for batch in self.outstanding.values() for job in batch]
        self.outstanding.clear()
        self.jobs, self.alone = 0, False
        return jobs

    def room(self, frames: int) -> bool:
        return self.ready and not self.alone and not self._unsent and len(self.outstanding) < frames

    def send(self, jobs: list[Job]) -> None:
        """Send a frame without waiting; a broken connection is noticed by the reader, which finds the jobs outstanding."""
        assert self._socket is not None
        self._number = self._number % _NUMBERS + 1
        if not self.outstanding:
            self.heard_at = trio.current_time()
        self.outstanding[self._number] = jobs
        self.jobs += len(jobs)
        data = jobs_frame(self._number, [(job.key, job.digest) for job in jobs])
        with suppress(OSError):
            data = data[self._socket.send(data) :]
        if data:
            self._later(data)

    def _later(self, data: bytes) -> None:
        """Send the rest of a frame when the socket takes it; until then there is no room for another."""
        assert self._nursery is not None
        self._unsent = data
        self._nursery.start_soon(self._drain)

    async def _drain(self) -> None:
        assert self._socket is not None
        with suppress(OSError):
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                with suppress(BlockingIOError):
                    self._unsent = self._unsent[self._socket.send(self._unsent) :]

    async def _read(self, connection: socket.socket, answered: Callable[[], None]) -> bool:
        """Read to the end; true after a farewell."""
        reader = FrameReader()
        left = False
        with suppress(OSError, WireError):
            while True:
                await trio.lowlevel.wait_readable(connection)
                try:
                    data = connection.recv(_READ)
                except BlockingIOError:
                    continue
                for frame in reader.feed(data):
                    self._take(frame)
                    left = left or frame.number == FAREWELL
                    self.ready = not left
                if not data:
                    break
                answered()
        self.ready = False  # before anyone else has a turn and gives us more
        return left

    def _take(self, frame: Frame) -> None:
        self.heard_at = trio.current_time()
        jobs = self.outstanding.get(frame.number, [])
        if len(jobs) != frame.count:
            raise WireError(f"{frame.count} answers to {len(jobs)} jobs")
        for job, answer in zip(jobs, answers_of(frame), strict=True):
            job.settle(answer if isinstance(answer, bytes) else SigningError(answer))
        self.outstanding.pop(frame.number, None)
        self.jobs -= len(jobs)
        self.signed += len(jobs)
        self.alone = False
