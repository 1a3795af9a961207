"""Conversations as text files, one event each: read, and played against the client machine.

    # What happens, and what must come of it.
    mode: chain                     lockstep, group (default) or chain
    tls: required                   off (default), opportunistic, required or verified
    offers: PIPELINING, SIZE 1000   greeting and EHLO have happened, with these extensions; without it they are part of the text
    messages: 2                     how many are there to send (default 1)
    message 2: eight_bit            or smtputf8, or content with escapes in quotes: "\\r\\n.hidden\\r\\n"

    S: 250 Ok                       the receiver says; lines in a row arrive together
    S~ 25                           the same without CRLF: a part of a line
    S*200: 250-more                 the same line 200 times
    C: MAIL FROM:<...>              we say; lines in a row are exactly one write; C~ is a part of a line
    = 1 DOT 250                     message 1 ended at DOT with a 250 (or: lost, lost in doubt, refused by us with a code)
    = ready                         or: starttls, no tls STEP CODE, turned away STEP CODE, goodbye, protocol error STEP
    TLS                             the handshake succeeded
    EOF                             the connection is lost; "EOF 20" when the last 20 octets of our last write never left
    QUIT, RESET, MORE 1             the caller asks for QUIT or RSET, or has one message more

What happens must be exactly what is written, in order; every message ends in exactly one result. After a protocol error the
connection is dropped by itself. `\\xNN`, `\\r`, `\\n`, `\\t` and `\\\\` are escapes.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sender.errors import RemoteProtocolError
from sender.model import Pipelining, Result, TlsPolicy, Transaction
from sender.smtp.client import Client, ClientOptions
from sender.smtp.event import Event, Finished, Goodbye, Greeted, NoTls, Ready, StartTls, TurnedAway
from sender.smtp.pipeline import Limits

_SERVER = re.compile(r"S(?:\*(\d+))?([:~]) ?(.*)")
_FLAGS = ("eight_bit", "smtputf8")


@dataclass
class Dialog:
    """One file: its headers, and its lines in order with their line numbers."""

    name: str
    about: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[int, str]] = field(default_factory=list)


def read(path: Path) -> Dialog:
    dialog = Dialog(path.stem)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        header = re.fullmatch(r"(mode|tls|offers|messages|in flight|message \d+): *(.*)", line)
        if line.startswith("#"):
            dialog.about += line.lstrip("# ") + " "
        elif header and not dialog.lines:
            dialog.headers[header[1]] = header[2]
        elif line.strip():
            dialog.lines.append((number, line))
    return dialog


def unescape(text: str) -> bytes:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def transaction(number: int, described: str = "") -> Transaction:
    """Message `number`, or what the file says of it."""
    content = f"Subject: {number}\r\n\r\nHello {number}.\r\n".encode()
    if quoted := re.search(r'"(.*)"', described):
        content = unescape(quoted[1])
    return Transaction(
        mail_from=f"bounce+{number}@out.example",
        rcpt=f"user{number}@example.com",
        head=content,
        eight_bit="eight_bit" in described,
        smtputf8="smtputf8" in described,
        tag=number,
    )


class Player:
    """Plays a dialog: what the machine does is collected as the words of the file, and compared line by line."""

    def __init__(self, dialog: Dialog) -> None:
        self._dialog = dialog
        headers = dialog.headers
        self._client = Client(
            ClientOptions(
                ehlo="out.example",
                tls=TlsPolicy(headers.get("tls", "off")),
                pipelining=Pipelining(headers.get("mode", "group")),
                limits=Limits(transactions=int(headers.get("in flight", "8"))),
            )
        )
        self._messages = deque(self._numbered(1, int(headers.get("messages", "1"))))
        self._taken: list[int] = []
        self._ended: list[int] = []
        self._happened: deque[str] = deque()
        self._written = b""
        self._previous = ""

    def play(self) -> None:
        if "offers" in self._dialog.headers:
            self._open()
        else:
            self._turn()
        for number, line in self._joined():
            try:
                self._step(line)
            except AssertionError as error:
                raise AssertionError(f"{self._dialog.name}.smtp, line {number}: {error}") from None
        self._settle("the end of the file")
        assert sorted(self._ended) == sorted(self._taken), f"taken {self._taken}, ended {self._ended}"
        assert not self._messages or not self._client.wants, f"{len(self._messages)} messages were never handed over"

    def _numbered(self, first: int, count: int) -> Iterator[Transaction]:
        for number in range(first, first + count):
            yield transaction(number, self._dialog.headers.get(f"message {number}", ""))

    def _joined(self) -> Iterator[tuple[int, str]]:
        """Consecutive S: lines as one, consecutive C: lines as one: what arrives or leaves together."""
        kept: list[str] = []
        start = 0
        for number, line in self._dialog.lines:
            if kept and not (line[0] in "SC" and line[0] == kept[0][0] and line[1] in ":*~"):
                yield start, "\n".join(kept)
                kept = []
            start = start if kept else number
            kept.append(line)
        yield start, "\n".join(kept)

    def _step(self, lines: str) -> None:
        if lines.startswith("= "):
            happened = self._happened.popleft() if self._happened else "nothing"
            assert happened == lines[2:], f"expected {lines[2:]!r}, but: {happened}"
            return
        if re.match(r"C[:~]", lines):
            expected = b"".join(unescape(line[3:]) + (b"\r\n" if line[1] == ":" else b"") for line in lines.split("\n"))
            assert not self._happened, f"unexpected: {self._happened[0]}"
            assert self._written == expected, f"wrote {self._written!r}"
            self._written = b""
            return
        self._settle(lines)
        if re.match(r"S[:*~]", lines):
            self._receive(b"".join(map(_said, lines.split("\n"))))
        else:
            self._direct(lines)
        self._turn()

    def _settle(self, now: str) -> None:
        assert not self._happened, f"before {now!r}: unexpected: {self._happened[0]}"
        assert not self._written, f"before {now!r}: unexpected write {self._written!r}"

    def _direct(self, words: str) -> None:
        word, _, argument = words.partition(" ")
        match word:
            case "TLS":
                self._client.tls_started()
            case "EOF":
                self._lost("connection closed", unsent=int(argument or "0"))
            case "QUIT":
                self._client.quit()
            case "RESET":
                self._client.reset()
            case "MORE":
                self._messages.extend(self._numbered(len(self._taken) + 1, int(argument)))
            case _:
                raise AssertionError(f"not a line of a dialog: {words!r}")

    def _receive(self, data: bytes) -> None:
        try:
            for event in self._client.receive(data):
                self._note(event)
        except RemoteProtocolError as error:
            self._happened.append(f"protocol error {error.step}")
            self._lost(str(error))

    def _lost(self, error: str, unsent: int = 0) -> None:
        for result in self._client.lost(error, unsent=unsent):
            self._end(result)

    def _turn(self) -> None:
        """Hand over what the machine wants, then take its write: what a session does between two reads."""
        while self._messages and self._client.wants > 0:
            message = self._messages.popleft()
            assert isinstance(message.tag, int)
            self._taken.append(message.tag)
            refused = self._client.send(message)
            if refused is not None:
                self._end(refused, " by us")
        self._written += self._client.data_to_send()

    def _note(self, event: Event) -> None:
        match event:
            case Finished(result):
                self._end(result)
            case TurnedAway(step, reply):
                self._happened.append(f"turned away {step} {reply.code}")
            case NoTls(step, reply):
                self._happened.append(f"no tls {step} {reply.code}")
            case Ready():
                self._happened.append("ready")
            case StartTls():
                self._happened.append("starttls")
            case Goodbye():
                self._happened.append("goodbye")
            case Greeted():
                pass

    def _end(self, result: Result, by: str = "") -> None:
        number = result.transaction.tag
        assert isinstance(number, int)
        self._ended.append(number)
        ending = str(result.reply.code) + by if result.reply else "lost in doubt" if result.in_doubt else "lost"
        self._happened.append(f"{number} {result.step} {ending}")

    def _open(self) -> None:
        offers = [offer.strip() for offer in self._dialog.headers["offers"].split(",") if offer.strip()]
        self._client.receive(b"220 mx.example ESMTP\r\n")
        assert self._client.data_to_send() == b"EHLO out.example\r\n"
        lines = ["mx.example", *offers]
        ehlo = [f"250{' ' if place == len(lines) else '-'}{line}\r\n" for place, line in enumerate(lines, 1)]
        events = self._client.receive("".join(ehlo).encode())
        assert isinstance(events[0], Ready), events
        self._turn()


def _said(line: str) -> bytes:
    found = _SERVER.fullmatch(line)
    assert found is not None, f"not a line of a dialog: {line!r}"
    return unescape(found[3] + ("\\r\\n" if found[2] == ":" else "")) * int(found[1] or "1")
