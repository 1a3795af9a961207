"""A signer process: it holds private keys and answers digests with signatures, and does nothing else.

One thread, one loop over its sockets: RSA is all the work there is, and more signers are more processes. The sequence:
`harden` before any key is loaded, load, `serve` until told to stop. It has no network, no queue and, once it runs, no disk;
its socket lies in a directory that is ours alone.
"""

import ctypes
import os
import resource
import selectors
import signal
import socket
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

from sender.content.key import PrivateKey
from sender.errors import ConfigError
from sender.net.signing_wire import FAREWELL, FrameReader, WireError, answers_frame, jobs_of

_READ = 64 * 1024  # octets
_TOGETHER = 8  # signatures a write waits for: it costs a hundredth of them, and the worker need not wait for all it sent
_UNREAD_LIMIT = 256 * 1024  # octets of answers a worker has not taken: until it does, we read no more of its jobs
_GOODBYE_S = 1.0  # how long the last answers may take to leave
_NAME_SHOWN = 64  # octets of an unknown name that an error repeats
_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Keep this process's memory from disks and debuggers: no core dumps, no tracing by other processes of our user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def stop_at_sigterm() -> int:
    """A descriptor for `serve` that becomes readable at SIGTERM or SIGINT; to be called in the main thread."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _noted)
    return reading


def serve(
    path: Path, keys: Mapping[str, PrivateKey], *, stop: Iterable[int] = (), ready: Callable[[], None] | None = None
) -> None:
    """Answer workers on the unix socket `path` until one of the descriptors in `stop` is readable or at its end.

    A pipe whose other end only the parent holds, given in `stop`, ends the signer with its parent. `ready` is called once
    connections are taken. What had arrived before the stop is answered. Raises ConfigError when the socket can't be made
    or its directory is open to others.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(_listening(path))
        stack.callback(_unlink, path, path.stat().st_ino)
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(listener, selectors.EVENT_READ)
        stops = set(stop)
        for descriptor in stops:
            selector.register(descriptor, selectors.EVENT_READ)
        if ready is not None:
            ready()
        workers = _loop(selector, listener, stops, {name.encode(): key for name, key in keys.items()})
        for worker in workers:
            stack.enter_context(worker.socket)
            worker.farewell()


def _loop(
    selector: selectors.BaseSelector, listener: socket.socket, stops: set[int], keys: Mapping[bytes, PrivateKey]
) -> "set[_Worker]":
    """Serve until a stop; returns the workers that are still connected."""
    workers: set[_Worker] = set()
    while True:
        found = selector.select()
        for key, events in found:
            if key.fileobj is listener:
                worker = _accepted(listener, keys)
                if worker is not None:
                    workers.add(worker)
                    selector.register(worker.socket, selectors.EVENT_READ, worker)
            elif isinstance(worker := key.data, _Worker):
                if worker.turn(events):
                    selector.modify(worker.socket, worker.interest, worker)
                else:
                    workers.discard(worker)
                    selector.unregister(worker.socket)
                    worker.socket.close()
        if any(key.fd in stops for key, _ in found):
            return workers


class _Worker:
    """One worker's connection: its jobs in, their answers out."""

    def __init__(self, connection: socket.socket, keys: Mapping[bytes, PrivateKey]) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._keys = keys
        self._reader = FrameReader()
        self._unsent = bytearray()

    @property
    def interest(self) -> int:
        """What to wait for: answers that won't leave are waited for, and too many of them stop the reading."""
        reading = selectors.EVENT_READ if len(self._unsent) < _UNREAD_LIMIT else 0
        return reading | (selectors.EVENT_WRITE if self._unsent else 0)

    def turn(self, events: int) -> bool:
        """Do what the socket is ready for; false when the connection is over."""
        try:
            if events & selectors.EVENT_WRITE:
                self._flush()
            return self._take() if events & selectors.EVENT_READ else True
        except (OSError, WireError):
            return False

    def farewell(self) -> None:
        """Answer what has arrived, say that nothing more will be, and send it all."""
        with suppress(OSError, WireError):
            self._take()
            self.socket.settimeout(_GOODBYE_S)
            self.socket.sendall(self._unsent + answers_frame(FAREWELL, ()))

    def _take(self) -> bool:
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return True
        done = 0
        for frame in self._reader.feed(data):
            jobs = jobs_of(frame)
            self._unsent += answers_frame(frame.number, [self._answer(*job) for job in jobs])
            done += len(jobs)
            if done >= _TOGETHER:
                self._flush()
                done = 0
        self._flush()
        return bool(data)

    def _answer(self, name: bytes, digest: bytes) -> bytes | str:
        key = self._keys.get(name)
        return f"no such key: {name[:_NAME_SHOWN]!r}" if key is None else key.sign(digest)

    def _flush(self) -> None:
        with suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]


def _accepted(listener: socket.socket, keys: Mapping[bytes, PrivateKey]) -> _Worker | None:
    """The next worker; None when it left again before we came, or no descriptor is free for it."""
    with suppress(OSError):
        return _Worker(listener.accept()[0], keys)
    return None


def _listening(path: Path) -> socket.socket:
    """A listening socket that only we may connect to; it takes its place at once, so that a replacement leaves no gap."""
    _require_private(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)
        listener.bind(str(fresh))
        fresh.chmod(0o600)
        listener.listen()
        listener.setblocking(False)
        fresh.rename(path)
    except OSError as error:
        listener.close()
        raise ConfigError(str(path), "", f"no socket can be made here: {error}") from error
    return listener


def _require_private(directory: Path) -> None:
    try:
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError as error:
        raise ConfigError(str(directory), "", error.strerror or "not a directory") from error
    if mode & 0o077:
        raise ConfigError(str(directory), "", f"mode {mode:04o}: others may reach the signers; chmod 0700")


def _unlink(path: Path, inode: int) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:  # otherwise a successor has taken the place
            path.unlink()


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has told `serve`; a handler must exist, or the signal would kill."""
