"""Signatures from the signer processes: micro-batches of digests over unix sockets, and what to do when a signer fails.

A signer that dies or falls silent costs time and nothing else: what it held goes to another. Since one of those jobs may
be what killed it, each is then tried by itself, and one that a second signer is lost with is given up, it alone. A job
without a signature in time is an error for its caller, who sends the message later, and never unsigned.
"""

import socket
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from sender.errors import SigningError
from sender.net.signing_link import Call, Job, Link
from sender.net.signing_wire import DIGEST, JOBS_LIMIT, NAME_LIMIT, jobs_frame

_STRIKES = 2  # signers lost with a job before it is given up
_WATCHES = 8  # looks at the clock per silence allowed


class Signer(Protocol):
    """Whoever turns digests into signatures."""

    async def sign(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """The signature of each (key id, SHA-256 digest), in order; raises SigningError unless all could be had."""
        ...

    async def attempt(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]:
        """Like `sign`, but each answer is a signature or says why there is none."""
        ...


class Key(Protocol):
    """A loaded private key. `sender.content.key` has it, which processes that only ask for signatures never import."""

    def sign(self, digest: bytes) -> bytes: ...


class LocalSigner:
    """Signs in a thread of this process: for notebooks and tests, where keys need no process of their own."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = dict(keys)

    async def sign(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        return _all_or_error(await self.attempt(requests))

    async def attempt(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]:
        return await trio.to_thread.run_sync(self._sign, requests)

    def _sign(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]:
        return [
            SigningError(_flaw(name, digest) or f"no such key: {name}")
            if name not in self._keys or len(digest) != DIGEST
            else self._keys[name].sign(digest)
            for name, digest in requests
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningOptions:
    limit_s: float = 5.0  # a job older than this is given up
    silence_s: float = 2.0  # a signer that answers nothing for so long, with work in hand, is taken for hung
    reconnect_s: float = 0.05  # between two attempts to reach a signer
    frames: int = 4  # unanswered frames of a signer: enough that it never waits for us, few enough to lose
    batch: int = 32  # jobs of a frame

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= JOBS_LIMIT:
            raise ValueError(f"batch: expected 1 to {JOBS_LIMIT}, found {self.batch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerStatistics:
    """One signer as this worker sees it."""

    path: Path
    ready: bool
    outstanding: int  # jobs
    signed: int
    lost: int  # connections that ended with jobs outstanding
    hung: int  # connections given up because of its silence


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    signers: tuple[SignerStatistics, ...]
    waiting: int  # jobs no signer has room for
    suspects: int  # jobs that wait to be tried by themselves
    quarantined: int  # jobs given up because two signers were lost with them
    expired: int  # jobs given up because of their age


class SignerPool:
    """The signers of this host. `run` must be running in some nursery while others call `sign`."""

    def __init__(self, paths: Sequence[Path], options: SigningOptions | None = None) -> None:
        self._options = options or SigningOptions()
        self._links = [Link(path) for path in paths]
        self._lost = dict.fromkeys(self._links, 0)
        self._hung = dict.fromkeys(self._links, 0)
        self._waiting: deque[Job] = deque()
        self._suspects: deque[Job] = deque()
        self._quarantined = 0
        self._expired = 0
        self._closed = False

    async def run(self) -> None:
        """Keep a connection to every signer until cancelled; jobs that are open then fail."""
        try:
            async with trio.open_nursery() as nursery:
                for link in self._links:
                    nursery.start_soon(self._keep, link)
                nursery.start_soon(self._watch)
        finally:
            self._closed = True
            for job in self._open_jobs():
                job.settle(SigningError("the signers are shut down"))

    async def sign(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """The signatures of (key id, SHA-256 digest) requests, in order; raises the SigningError of the first that failed."""
        return _all_or_error(await self.attempt(requests))

    async def attempt(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]:
        """Like `sign`, but one that fails leaves the others their signatures: for a batch of several messages.

        Raises nothing: a request that can't be one, or that comes after the end, is an error in its place. Answers within
        `limit_s` and a little more, whatever the signers do.
        """
        if not requests:
            await trio.lowlevel.checkpoint()
            return []
        call = Call([None] * len(requests), len(requests))
        deadline = trio.current_time() + self._options.limit_s
        for place, (name, digest) in enumerate(requests):
            if why := "the signers are shut down" if self._closed else _flaw(name, digest):
                call.settle(place, SigningError(why))
            else:
                self._waiting.append(Job(name.encode(), digest, call, place, deadline))
        self._dispatch()
        try:
            await call.done.wait()
        finally:
            if call.missing:  # cancelled: nobody waits for the others any more
                for place in range(len(requests)):
                    call.settle(place, SigningError("cancelled"))
        return [result for result in call.results if result is not None]

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            signers=tuple(self._statistics(link) for link in self._links),
            waiting=len(self._waiting),
            suspects=len(self._suspects),
            quarantined=self._quarantined,
            expired=self._expired,
        )

    def _statistics(self, link: Link) -> SignerStatistics:
        return SignerStatistics(
            path=link.path,
            ready=link.ready,
            outstanding=link.jobs,
            signed=link.signed,
            lost=self._lost[link],
            hung=self._hung[link],
        )

    @property
    def waiting(self) -> int:
        """Jobs that no signer has been given yet."""
        return len(self._waiting) + len(self._suspects)

    def _dispatch(self) -> None:
        """Hand jobs out while there is room. Suspects come first and each alone: a signer that has other work drains."""
        while self._suspects or self._waiting:
            frames = 1 if self._suspects else self._options.frames
            links = [link for link in self._links if link.room(frames)]
            if not links:
                return
            link = min(links, key=lambda link: link.jobs)
            queue, most = (self._suspects, 1) if self._suspects else (self._waiting, self._options.batch)
            jobs: list[Job] = []
            while queue and len(jobs) < most:
                job = queue.popleft()
                if job.open:
                    jobs.append(job)
            if jobs:
                link.alone = queue is self._suspects
                link.send(jobs)

    async def _keep(self, link: Link) -> None:
        """Hold the connection to one signer, and pass on what it leaves behind."""
        while True:
            left = await link.converse(self._dispatch)
            jobs = [job for job in link.forget() if job.open]
            self._lost[link] += bool(jobs)
            if left:
                self._waiting.extendleft(reversed(jobs))
            else:
                self._strike(jobs)
            self._dispatch()
            await trio.sleep(self._options.reconnect_s)

    def _strike(self, jobs: list[Job]) -> None:
        """Suspect jobs of having cost us a signer, and give up those that were suspected before."""
        for job in jobs:
            job.strikes += 1
            if job.strikes < _STRIKES:
                self._suspects.append(job)
            else:
                self._quarantined += 1
                job.settle(SigningError(f"{job.strikes} signers were lost with it"))

    async def _watch(self) -> None:
        """Break off with silent signers, and give up jobs whose time is over."""
        while True:
            await trio.sleep(self._options.silence_s / _WATCHES)
            now = trio.current_time()
            for link in self._links:
                if link.outstanding and now - link.heard_at > self._options.silence_s:
                    self._hung[link] += 1
                    link.abandon()
            for job in self._open_jobs():
                if job.open and job.deadline <= now:
                    self._expired += 1
                    job.settle(SigningError(f"no signature within {self._options.limit_s:g} s"))

    def _open_jobs(self) -> list[Job]:
        sent = [job for link in self._links for batch in link.outstanding.values() for job in batch]
        return [*sent, *self._suspects, *self._waiting]


def _flaw(name: str, digest: bytes) -> str:
    """Why a request can't be sent to a signer, or ""."""
    if len(digest) != DIGEST or len(name.encode()) > NAME_LIMIT:
        return f"expected key ids of at most {NAME_LIMIT} octets and digests of {DIGEST}"
    return ""


def _all_or_error(answers: Sequence[bytes | SigningError]) -> list[bytes]:
    signatures: list[bytes] = []
    for answer in answers:
        if isinstance(answer, SigningError):
            raise answer
        signatures.append(answer)
    return signatures


async def ping(path: Path, timeout_s: float) -> bool:
    """Whether the signer at `path` answers: a supervisor replaces one that lives and does not.

    False also when there is none, or when it takes longer than `timeout_s` seconds.
    """
    with trio.move_on_after(timeout_s), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(str(path))
            connection.send(jobs_frame(1, ()))
            await trio.lowlevel.wait_readable(connection)
            return bool(connection.recv(64))
        except OSError:
            return False
    return False
