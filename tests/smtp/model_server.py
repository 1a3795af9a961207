"""A receiver that keeps RFC 5321, 2920 and 3030 to the letter and decides by the numbers it is given what to refuse.

It is the strictest reading where the RFCs leave room: a transaction stays open until an end of data that it granted, or
RSET, so that a MAIL behind a refused RCPT is a 503 and whatever follows would be added to the wrong transaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Taken:
    sender: str
    rcpt: str
    content: bytes


class ModelServer:
    """Feed it what the client writes; `answer` gives the replies, `taken` what it accepted for delivery."""

    def __init__(self, choices: Iterator[int]) -> None:
        self._choices = choices  # 0 accepts, 1 refuses for now, 2 refuses for good, 3 says 421 and closes
        self._buffer = b""
        self._content: list[bytes] | None = None  # the lines since 354
        self._sender: str | None = None
        self._rcpts: list[str] = []
        self.closed = False
        self.taken: list[Taken] = []

    def answer(self, data: bytes) -> bytes:
        self._buffer += data
        replies = []
        while not self.closed and (reply := self._next()) is not None:
            replies.append(reply)
        return b"".join(replies)

    def _next(self) -> bytes | None:
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            return None
        if self._content is None and line.startswith(b"BDAT "):
            size = int(line.split()[1])
            if len(rest) < size:
                return None
            self._buffer = rest[size:]
            return self._take(rest[:size]) if self._rcpts else b"503 5.5.1 Need RCPT\r\n"
        self._buffer = rest
        if self._content is None:
            return self._command(line)
        if line != b".":
            self._content.append(line.removeprefix(b".") + b"\r\n")
            return b""
        content, self._content = b"".join(self._content), None
        return self._take(content) if self._rcpts else self._end(b"554 5.5.1 No valid recipients\r\n")

    def _command(self, line: bytes) -> bytes:
        match line[:4]:
            case b"RSET":
                return self._end(b"250 2.0.0 Ok\r\n")
            case b"MAIL" if self._sender is not None:
                return b"503 5.5.1 Nested MAIL\r\n"
            case b"RCPT" if self._sender is None:
                return b"503 5.5.1 Need MAIL\r\n"
            case b"DATA" if self._sender is None:
                return b"503 5.5.1 Need MAIL\r\n"
            case b"DATA" if not self._rcpts and next(self._choices):
                return b"554 5.5.1 No valid recipients\r\n"
        if line[:4] != b"DATA" or self._rcpts:
            refusal = self._refusal()
            if refusal:
                return refusal
        address = line.partition(b"<")[2].partition(b">")[0].decode()
        match line[:4]:
            case b"MAIL":
                self._sender = address
            case b"RCPT":
                self._rcpts.append(address)
            case b"DATA":
                self._content = []
                return b"354 Go ahead\r\n"
        return b"250 2.1.0 Ok\r\n"

    def _refusal(self) -> bytes:
        match next(self._choices):
            case 1:
                return b"450 4.2.0 Later\r\n"
            case 2:
                return b"550-5.1.1 Not\r\n550 5.1.1 here\r\n"
            case 3:
                self.closed = True
                return b"421 4.3.2 Closing\r\n"
            case _:
                return b""

    def _take(self, content: bytes) -> bytes:
        refusal = self._refusal()
        if not refusal:
            assert self._sender is not None
            self.taken += [Taken(self._sender, rcpt, content) for rcpt in self._rcpts]
        return self._end(refusal or b"250 2.0.0 Queued\r\n")

    def _end(self, reply: bytes) -> bytes:
        self._sender, self._rcpts = None, []
        return reply
