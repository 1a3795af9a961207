"""The SMTP machine over a stream: what it has to say is written, what comes back is fed to it, each within its time.

Deadlines follow RFC 5321 section 4.5.3.2. A reply's time begins when everything before it has been written and read, and
covers the whole reply: a byte now and then gains nothing. Writing has a deadline of its own, renewed by every block the
kernel takes. While a write is stuck we listen too: a receiver may refuse in the middle of the content and never read the rest.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import trio

from sender.errors import TransportError, TransportKind
from sender.model import Step
from sender.net.stream import Stream
from sender.smtp.client import Client
from sender.smtp.event import Event

Observe = Callable[[Step, float], None]

_NOTHING = memoryview(b"")
_BLOCK = 65_536  # octets that must go within the write deadline
_SLACK = 0.01  # of a reply's time: it may be longer by so much
_DRAIN_S = 1.0  # how long a full socket buffer is ordinary: only then is it worth two waits at a time


class Conversation:
    """Machine, stream and clock. `turn` and `start_tls` are called inside `timed`.

    Raises TransportError and RemoteProtocolError; either is its end.
    """

    def __init__(
        self, machine: Client, stream: Stream, deadlines: Mapping[Step, float], write_s: float, observe: Observe
    ) -> None:
        self.machine, self.stream = machine, stream
        self._deadlines, self._write_s, self._observe = deadlines, write_s, observe
        self._unsent = _NOTHING
        self.heard_at = trio.current_time()  # when octets came last
        self._since: float | None = None  # when the wait for the reply that is due next began
        self._scope = trio.CancelScope()
        self._overdue = ""  # what to say when the scope's deadline passes

    @property
    def unsent(self) -> int:
        """Octets that the machine handed out and the kernel has not taken."""
        return len(self._unsent)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """One scope for any number of turns, its deadline moved along: a scope for each costs 15 µs of every message."""
        with trio.CancelScope() as self._scope:
            yield
        if self._scope.cancelled_caught:
            raise TransportError(self.machine.step, TransportKind.TIMEOUT, self._overdue)

    async def turn(self) -> list[Event]:
        """Write all there is, then wait for octets and feed them to the machine: what they came to."""
        step = self.stream.step = self.machine.step
        if not self._unsent:
            self._unsent = memoryview(self.machine.data_to_send())
        data = await self._write() if self._unsent else None
        return self._feed(step, await self._read(step) if data is None else data)

    async def start_tls(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None) -> None:
        """Do the handshake that the machine asked for, then let it go on."""
        began = trio.current_time()
        self._limit(began + self._deadlines[Step.TLS], "validation-failure: no end of the handshake")
        await self.stream.start_tls(context, host, session)
        self._observe(Step.TLS, trio.current_time() - began)
        self._since = None
        self.machine.tls_started()

    async def _write(self) -> bytes | None:
        """Write until done, or until the peer says something meanwhile: then that, with the rest still unsent."""
        deadline, block = 0.0, 0
        while True:
            taken = self.stream.send_nowait(self._unsent)
            self._unsent = self._unsent[taken:]
            if not self._unsent:
                self._unsent = _NOTHING  # an empty rest would keep all that was written until there is more to write
                return None
            block -= taken
            if block <= 0:
                deadline, block = trio.current_time() + self._write_s, _BLOCK
            if taken:
                continue
            data = await self._unblocked(deadline)
            if data is not None:
                return data

    async def _unblocked(self, deadline: float) -> bytes | None:
        """Wait for room to write, or for what the peer says before there is any."""
        self._limit(deadline, f"the receiver took no data in {self._write_s:g} s")
        with trio.move_on_after(_DRAIN_S):
            await self.stream.wait_writable()
            return None
        data = self.stream.receive_nowait()
        if data is None:
            await self.stream.wait_either()
            data = self.stream.receive_nowait()
        return data

    async def _read(self, step: Step) -> bytes:
        if self._since is None:
            self._since = trio.current_time()
        limit_s = self._deadlines[step]
        self._limit(self._since + limit_s, _no_reply(limit_s), slack_s=limit_s * _SLACK)
        return await self.stream.receive_some()

    def _limit(self, deadline: float, overdue: str, slack_s: float = 0.0) -> None:
        """End the wait then, or up to `slack_s` later: most waits are short, and to move the deadline for each is not free."""
        self._overdue = overdue
        if not deadline <= self._scope.deadline <= deadline + slack_s:
            self._scope.deadline = deadline + slack_s

    def _feed(self, step: Step, data: bytes) -> list[Event]:
        if not data:
            raise TransportError(step, TransportKind.CLOSED, "connection closed")
        self.heard_at = trio.current_time()
        events = self.machine.receive(data)
        if events or self.machine.step is not step:  # a whole reply came: the next one's time begins
            if self._since is not None:
                self._observe(step, self.heard_at - self._since)
            self._since = None
        return events


@cache
def _no_reply(limit_s: float) -> str:
    return f"no reply in {limit_s:g} s"
