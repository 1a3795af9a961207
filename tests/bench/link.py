"""A distance on one machine: two network namespaces, and a link between them that holds every packet for a while.

netem would do this, where kernels have it. `python -m tests.bench.link NAME HOLD_MS` is the link:

1. It makes the namespaces NAME-near and NAME-far, and gives each one of two TUN devices and an address.
2. It says "ready". What it reads from one device it writes to the other, so many milliseconds later, in order.
3. When its standard input closes, be it that whoever started it was killed, it removes the namespaces.

It needs root. `link` starts it, and sees to it that nothing stays.
"""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

NEAR, FAR = "198.18.0.1", "198.18.0.2"  # from the network for benchmarks (RFC 2544)

_TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
_PACKET_OCTETS = 65_536
_AT_ONCE = 64  # packets taken from one device before the other has its turn
_HELD_MOST = 8_192  # packets on their way; what comes beyond is lost, as on any line


class LinkError(Exception):
    """There can be no link here; says why in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that is up; each end is what goes before a command that is to run there."""

    near: tuple[str, ...]
    far: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Line:
    """One direction: packets come out in order, `hold_s` after they went in."""

    hold_s: float
    _held: deque[tuple[float, bytes]] = field(default_factory=deque)

    def put(self, packet: bytes, now: float) -> None:
        if len(self._held) < _HELD_MOST:
            self._held.append((now + self.hold_s, packet))

    def due(self, now: float) -> Iterator[bytes]:
        """Those whose time has come."""
        while self._held and self._held[0][0] <= now:
            yield self._held.popleft()[1]

    def wait_s(self, now: float) -> float:
        """How long until the next is due; infinity where none is held."""
        return max(0.0, self._held[0][0] - now) if self._held else float("inf")


@contextmanager
def link(round_trip_ms: float) -> Iterator[Link]:
    """A link of so long a round trip while the block runs; raises LinkError where there can be none."""
    if os.geteuid() != 0:
        raise LinkError("network namespaces need root")
    if not _TUN.exists():
        raise LinkError(f"this kernel offers no {_TUN}")
    name, pipe = f"bench{os.getpid()}", subprocess.PIPE
    command = [sys.executable, "-m", "tests.bench.link", name, str(round_trip_ms / 2)]
    try:
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            if process.stdout.readline() != "ready\n":
                raise LinkError(f"no link: {process.stderr.read().strip()[-300:]}")
            near, far = (("nsenter", f"--net=/run/netns/{one}") for one in _names(name))
            yield Link(near=near, far=far)
    finally:
        _remove(name)  # it has done so itself, unless it was killed


def _names(name: str) -> tuple[str, str]:
    return f"{name}-near", f"{name}-far"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


def _remove(name: str) -> None:
    for namespace in _names(name):
        if Path(f"/run/netns/{namespace}").exists():
            _ip("netns", "del", namespace)


def _device(name: str, namespace: str, address: str) -> int:
    """A TUN device, up in its namespace; the descriptor that stands for its wire."""
    wire = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(wire, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    _ip("link", "set", name, "netns", namespace)
    _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", name)
    _ip("-n", namespace, "link", "set", name, "up", "txqueuelen", "2000")
    return wire


def _forward(wires: tuple[int, int], hold_s: float) -> None:
    """Carry packets both ways until standard input closes."""
    lines = {wire: Line(hold_s=hold_s) for wire in wires}  # by the wire they come from
    stdin = sys.stdin.fileno()
    other = dict(zip(wires, reversed(wires), strict=True))
    while True:
        now = time.monotonic()
        wait_s = min(1.0, *(line.wait_s(now) for line in lines.values()))
        readable, _, _ = select.select([*wires, stdin], [], [], wait_s)
        if stdin in readable:
            return
        for wire in readable:
            _take(wire, lines[wire])
        for wire, line in lines.items():
            for packet in line.due(time.monotonic()):
                with suppress(OSError):  # a full device loses it, as any line might
                    os.write(other[wire], packet)


def _take(wire: int, line: Line) -> None:
    for _ in range(_AT_ONCE):
        try:
            line.put(os.read(wire, _PACKET_OCTETS), time.monotonic())
        except BlockingIOError:
            return


def main(name: str, hold_ms: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for namespace in _names(name):
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        near, far = (
            _device(f"{name}{end}", namespace, address)
            for end, namespace, address in zip("nf", _names(name), (NEAR, FAR), strict=True)
        )
        print("ready", flush=True)
        _forward((near, far), hold_ms / 1000)
    finally:
        _remove(name)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
