"""What the kernel knows of TCP connections: who has octets that nobody has read yet (proc_pid_net(5))."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ESTABLISHED, LISTENS = "01", "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One end of a connection over IPv4, from this end's point of view."""

    ends: str  # which one it is
    port: int
    peer_port: int
    state: str
    unread: int  # octets; of one that listens: connections that nobody has accepted yet


def connections() -> Iterator[Connection]:
    """All of this machine."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        port, peer_port = (int(end.rpartition(":")[2], 16) for end in (local, remote))
        unread = int(queues.rpartition(":")[2], 16)
        yield Connection(ends=f"{local} {remote}", port=port, peer_port=peer_port, state=state, unread=unread)
