"""What we remember about mail hosts: which addresses are dead, whose TLS is broken, who may be pipelined how far.

Memory only: nothing here does I/O, `now` is an argument and every table is bounded. What is forgotten costs one more try.
"""

from collections import OrderedDict
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from sender.model import Pipelining

T = TypeVar("T")

_ORDER = (Pipelining.LOCKSTEP, Pipelining.GROUP, Pipelining.CHAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsOptions:
    size: int = 10_000  # entries per table
    dead_s: float = 30.0  # after the first failed connect; each further one doubles it
    max_dead_s: float = 600.0
    jitter: float = 0.25  # of the pause, so that a returning host is not met by everybody at once
    tls_broken_s: float = 3_600.0
    anomaly_s: float = 3_600.0
    chain_after: int = 3  # good messages before a host may be chained to


@dataclass(slots=True)
class _Death:
    until: float
    failures: int


@dataclass(slots=True)
class _Pipe:
    good: int = 0
    lockstep_until: float = 0.0


class _Bounded(Generic[T]):
    """A dict that forgets what was touched longest ago."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[str, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> T | None:
        return self._items.get(key)

    def put(self, key: str, item: T) -> None:
        self._items[key] = item
        self._items.move_to_end(key)
        if len(self._items) > self._size:
            self._items.popitem(last=False)

    def drop(self, key: str) -> None:
        self._items.pop(key, None)


class Hosts:
    """A process's memory of the hosts it talks to. Death is known per source: a receiver may drop packets of one alone."""

    def __init__(self, options: HostsOptions, rng: Random) -> None:
        self._options, self._rng = options, rng
        self._deaths: _Bounded[_Death] = _Bounded(options.size)
        self._broken_tls: _Bounded[float] = _Bounded(options.size)
        self._pipes: _Bounded[_Pipe] = _Bounded(options.size)

    def __repr__(self) -> str:
        return f"<Hosts {len(self._deaths)} dead, {len(self._broken_tls)} with broken TLS, {len(self._pipes)} pipes>"

    def is_dead(self, source: str, address: str, now: float) -> bool:
        """True while connecting from this source to this address is not worth a try."""
        death = self._deaths.get(f"{source} {address}")
        return death is not None and now < death.until

    def note_dead(self, source: str, address: str, now: float) -> float:
        """A connect failed: returns until when the address counts as dead. Failures meanwhile change nothing."""
        key = f"{source} {address}"
        death = self._deaths.get(key) or _Death(until=0.0, failures=0)
        if now >= death.until:
            death.failures += 1
            pause_s = min(self._options.dead_s * 2 ** (death.failures - 1), self._options.max_dead_s)
            death.until = now + pause_s * self._rng.uniform(1 - self._options.jitter, 1 + self._options.jitter)
        self._deaths.put(key, death)
        return death.until

    def note_alive(self, source: str, address: str) -> None:
        """A connect succeeded."""
        self._deaths.drop(f"{source} {address}")

    def is_tls_broken(self, host: str, now: float) -> bool:
        """True while a handshake with this host is not worth a try; asked only where clear text is allowed."""
        until = self._broken_tls.get(host)
        return until is not None and now < until

    def note_tls_broken(self, host: str, now: float) -> None:
        """The host offered STARTTLS and could not do it."""
        self._broken_tls.put(host, now + self._options.tls_broken_s)

    def note_tls_works(self, host: str) -> None:
        self._broken_tls.drop(host)

    def pipelining(self, host: str, cap: Pipelining, now: float) -> Pipelining:
        """How far ahead a session with this host may send: what it has earned, and no more than `cap`."""
        pipe = self._pipes.get(host) or _Pipe()
        if now < pipe.lockstep_until:
            earned = Pipelining.LOCKSTEP
        else:
            earned = Pipelining.CHAIN if pipe.good >= self._options.chain_after else Pipelining.GROUP
        return min(earned, cap, key=_ORDER.index)

    def note_good(self, host: str, messages: int = 1) -> None:
        """Messages were accepted with every reply in its place."""
        pipe = self._pipes.get(host) or _Pipe()
        pipe.good = min(pipe.good + messages, self._options.chain_after)
        self._pipes.put(host, pipe)

    def note_anomaly(self, host: str, now: float) -> None:
        """A reply was out of place or out of form: back to one command at a time, then earn it again."""
        self._pipes.put(host, _Pipe(good=0, lockstep_until=now + self._options.anomaly_s))
