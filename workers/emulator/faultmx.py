"""A receiver that plays faults and scripts, one per connection, and counts the copies it kept."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from workers.emulator.certificates import Authority
from workers.emulator.channel import Channel, accept, listen
from workers.emulator.faults import FAULTS, Act, Close, Deafness, Fault, Flood, Late, Moment, Say, Silence, Trickle
from workers.emulator.script import Content, Expect, Script, Tls, Unexpected, parse

_MESSAGE_OCTETS = 64 * 1024 * 1024

_FLOOD_OCTETS = 16_384


class _Over(Exception):
    """The connection has reached its end, by the plan or by the other side's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A message this receiver kept, whatever it said about it."""

    rcpt: str
    content: bytes
    connection: int  # counts from 1


class FaultMx:
    """The server's side of it: what each connection plays, and what came of it."""

    def __init__(self, plays: Sequence[Fault | Script], host: str, authority: Authority | None) -> None:
        self._plays = plays
        self._host = host
        self._authority = authority
        self.address = ("", 0)
        self.copies: list[Copy] = []
        self.connections = 0
        self.mistakes: list[Unexpected] = []  # what a script did not expect

    def __repr__(self) -> str:
        return f"<FaultMx {self._host} at {self.address} connections={self.connections} copies={len(self.copies)}>"

    async def serve(self, channel: Channel) -> None:
        """Play one connection to its end."""
        self.connections += 1
        play = self._plays[min(self.connections, len(self._plays)) - 1]
        conversation = _Conversation(channel, self._host, self._authority, self.copies, self.connections)
        try:
            with contextlib.suppress(_Over, OSError, ssl.SSLError):
                if isinstance(play, Fault):
                    await conversation.play_fault(play)
                else:
                    await conversation.play_script(play)
        except Unexpected as mistake:
            self.mistakes.append(mistake)
        finally:
            channel.close()


class _Conversation:
    def __init__(self, channel: Channel, host: str, authority: Authority | None, copies: list[Copy], number: int) -> None:
        self._channel = channel
        self._host, self._authority = host, authority
        self._copies, self._number = copies, number
        self._buffer = b""
        self._rcpts: list[str] = []
        self._chunks = b""

    async def play_fault(self, fault: Fault) -> None:
        """An ordinary dialogue but for the moments the fault names."""
        await self._act(fault, Moment.CONNECT, f"220 {self._host} ESMTP\r\n")
        tls = False
        while True:
            line = await self._line()
            verb = line.partition(b" ")[0].upper()
            if verb == b"EHLO":
                await self._act(fault, Moment.EHLO, self._extensions(fault, tls=tls))
            elif verb == b"STARTTLS":
                tls = await self._starttls(fault)
            elif verb == b"MAIL":
                self._rcpts, self._chunks = [], b""
                await self._act(fault, Moment.MAIL, "250 2.1.0 Ok\r\n")
            elif verb == b"RCPT":
                self._rcpts.append(line[line.find(b"<") + 1 : line.rfind(b">")].decode("utf-8", "replace"))
                await self._act(fault, Moment.RCPT, "250 2.1.5 Ok\r\n")
            elif verb == b"DATA":
                await self._data(fault)
            elif verb == b"BDAT":
                await self._bdat(fault, line)
            elif verb == b"QUIT":
                await self._act(fault, Moment.QUIT, "221 2.0.0 Bye\r\n")
                await self._channel.finish()
                return
            else:
                known = verb in (b"HELO", b"RSET", b"NOOP")
                await self._channel.send(b"250 2.0.0 Ok\r\n" if known else b"500 5.5.2 Unknown command\r\n")

    def _extensions(self, fault: Fault, *, tls: bool) -> str:
        offered = ["SIZE 35882577", "8BITMIME", "ENHANCEDSTATUSCODES"]
        offered += ["PIPELINING"] * fault.pipelining + ["CHUNKING"] * fault.chunking
        offered += ["STARTTLS"] * (fault.starttls and not tls)
        return "".join(f"250-{line}\r\n" for line in (self._host, *offered[:-1])) + f"250 {offered[-1]}\r\n"

    async def _starttls(self, fault: Fault) -> bool:
        await self._act(fault, Moment.STARTTLS, "220 2.0.0 Ready\r\n")
        said = _said(fault, Moment.STARTTLS)
        if said and not said.startswith(b"220"):
            return False
        if Moment.TLS in fault.acts:
            await self._act(fault, Moment.TLS, "")
            raise _Over
        await self._handshake("elsewhere.example" if fault.wrong_name else self._host, unknown=fault.unknown_issuer)
        return True

    async def _handshake(self, name: str, *, unknown: bool = False) -> None:
        assert self._authority is not None, "a play with TLS needs an authority"
        self._buffer = b""
        context = self._authority.unrelated(name) if unknown else self._authority.context(name)
        await self._channel.start_tls(context)

    async def _data(self, fault: Fault) -> None:
        await self._act(fault, Moment.DATA, "354 Go ahead\r\n")
        said = _said(fault, Moment.DATA)
        if said and not said.startswith(b"354"):
            return
        if isinstance(fault.acts.get(Moment.DOT), Deafness):
            await trio.sleep_forever()
        content = await self._content()
        await self._end_of_data(fault, content)

    async def _bdat(self, fault: Fault, line: bytes) -> None:
        _, size, *last = line.split()
        while len(self._buffer) < int(size):
            await self._more()
        self._chunks += self._buffer[: int(size)]
        self._buffer = self._buffer[int(size) :]
        if last:
            await self._end_of_data(fault, self._chunks)
        else:
            await self._channel.send(b"250 2.0.0 Ok\r\n")

    async def _end_of_data(self, fault: Fault, content: bytes) -> None:
        if fault.takes:
            self._keep(content)
        await self._act(fault, Moment.DOT, "250 2.0.0 Ok: queued\r\n")

    def _keep(self, content: bytes) -> None:
        self._copies.extend(Copy(rcpt=rcpt, content=content, connection=self._number) for rcpt in self._rcpts)

    async def play_script(self, script: Script) -> None:
        """Say and expect exactly what is written; raises Unexpected where the other side departs from it."""
        for line in script:
            if isinstance(line, Expect):
                heard = await self._line()
                if not line.matches(heard):
                    raise Unexpected(line.pattern, heard)
                if heard.upper().startswith(b"RCPT"):
                    self._rcpts = [heard[heard.find(b"<") + 1 : heard.rfind(b">")].decode("utf-8", "replace")]
            elif isinstance(line, Content):
                self._keep(await self._content())
            elif isinstance(line, Tls):
                await self._handshake(self._host)
            else:
                await self._do(line)
        await self._channel.finish()

    async def _act(self, fault: Fault, moment: Moment, ordinary: str) -> None:
        act = fault.acts.get(moment)
        if act is None:
            await self._channel.send(ordinary.encode())
        else:
            await self._do(act)

    async def _do(self, act: Act) -> None:
        channel = self._channel
        if isinstance(act, Say):
            await channel.send(act.text)
            if act.closes:
                await channel.finish()
                raise _Over
        elif isinstance(act, Close):
            if act.resets:
                channel.reset()
            raise _Over
        elif isinstance(act, Silence):
            while await channel.receive():
                pass
            raise _Over
        elif isinstance(act, Deafness):
            await trio.sleep_forever()
        elif isinstance(act, Late):
            await trio.sleep(act.after_s)
            await channel.send(act.text)
        elif isinstance(act, Trickle):
            for place in range(len(act.text)):
                await channel.send(act.text[place : place + 1])
                await trio.sleep(act.every_s)
        else:
            await self._flood(act)

    async def _flood(self, act: Flood) -> None:
        block = act.text * max(1, _FLOOD_OCTETS // len(act.text))
        while True:
            await self._channel.send(block)
            await trio.lowlevel.checkpoint()

    async def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            await self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    async def _content(self) -> bytes:
        while b"\r\n.\r\n" not in b"\r\n" + self._buffer:
            await self._more()
        content, _, self._buffer = (b"\r\n" + self._buffer).partition(b"\r\n.\r\n")
        return content[2:].removeprefix(b".").replace(b"\r\n.", b"\r\n") + b"\r\n"

    async def _more(self) -> None:
        data = await self._channel.receive()
        if not data or len(self._buffer) > _MESSAGE_OCTETS:
            raise _Over
        self._buffer += data


def _said(fault: Fault, moment: Moment) -> bytes:
    """What the fault says at that moment; b"" when it leaves the ordinary reply or says nothing."""
    act = fault.acts.get(moment)
    return act.text if isinstance(act, Say | Late | Trickle) else b""


@asynccontextmanager
async def fault_mx(
    *plays: str | Fault,
    host: str = "mx.fault.example",
    address: str = "127.77.200.1",
    port: int = 0,
    authority: Authority | None = None,
) -> AsyncIterator[FaultMx]:
    """Run a receiver whose n-th connection plays the n-th fault, and all further ones the last.

    A play is a name from FAULTS, a Fault, or a script (see `script`) given as text of more than one line. KeyError for a
    name that is neither. Plays with TLS need an authority.
    """
    mx = FaultMx([_read(play) for play in plays] or [FAULTS["none"]], host, authority)
    with listen(address, port) as listener:
        mx.address = (address, listener.getsockname()[1])
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                while True:
                    nursery.start_soon(mx.serve, await accept(listener))

            nursery.start_soon(serve)
            yield mx
            nursery.cancel_scope.cancel()


def _read(play: str | Fault) -> Fault | Script:
    if isinstance(play, Fault):
        return play
    return parse(play) if "\n" in play else FAULTS[play]
