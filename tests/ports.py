"""Ports of the loopback for what a test starts: nobody else's from the moment they are given, and not only until they are used.

A program needs its port before it listens there, and one that is merely free then may be another's by that time: tests run
beside each other, and the system gives its ephemeral ports to whoever asks. So each process of tests claims a block of ports
below the ephemeral ones for as long as it lives, and gives each of them once before any comes again.
"""

import socket
from functools import cache

_HOST = "127.0.0.1"
_FIRST, _END = 20_000, 32_000  # above the demos' first ones, below the ephemeral ones
_BLOCK = 400  # the last one of them is bound, and stands for all


def free_port() -> int:
    """A port that nobody else is given, and nobody listens on."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports of that kind."""
    return _block().take(count)


class _Block:
    """The ports of this process."""

    def __init__(self) -> None:
        self._first = next(first for first in range(_FIRST, _END, _BLOCK) if _claimed(first + _BLOCK - 1))
        self._next = 0

    def take(self, count: int) -> int:
        for _ in range(_BLOCK):
            if self._next + count >= _BLOCK:
                self._next = 0
            first = self._first + self._next
            if not any(map(_is_taken, range(first, first + count))):
                self._next += count
                return first
            self._next += 1
        raise AssertionError("no free ports")


@cache
def _block() -> _Block:
    return _Block()


def _claimed(port: int) -> bool:
    """Whether it could be bound; it is then, until the process ends, and listened on by nobody."""
    claim = socket.socket()
    try:
        claim.bind((_HOST, port))
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return True
    return False
