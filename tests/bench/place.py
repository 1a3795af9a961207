"""Where a bench happens: the addresses of both sides, and how a program gets to the far one."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Both sides' addresses; `far` goes before a command that runs on the receiving side, where that is elsewhere."""

    sink: str
    sources: tuple[str, ...]
    far: tuple[str, ...] = ()
    port: int = 12525


def loopback() -> Place:
    """All on this host, in our own network."""
    network = own_network()
    return Place(sink=f"{network}.10", sources=(f"{network}.1", f"{network}.2"))


def own_network() -> str:
    """The first three numbers of 256 loopback addresses, by our process number: two benches at once do not meet."""
    return f"127.{80 + os.getpid() // 256 % 10}.{os.getpid() % 256}"
