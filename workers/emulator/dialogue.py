"""The receiving side of SMTP as a pure machine: octets in, octets and events out.

RFC 5321, with SIZE (1870), PIPELINING (2920), CHUNKING (3030), STARTTLS (3207), 8BITMIME (6152) and SMTPUTF8 (6531).

The rules it keeps:
- commands end in CRLF and in nothing else, and only CRLF.CRLF ends content, so nothing can be smuggled in;
- what arrived in clear behind STARTTLS is thrown away (RFC 3207 section 4.2), and so is everything behind a reply that closes;
- every command has exactly one reply, in order, however many came in one packet.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from workers.emulator import replies
from workers.emulator.answers import Answer
from workers.emulator.answers import answer as reply
from workers.emulator.ledger import Taken
from workers.emulator.strikes import Does, Point, Struck
from workers.emulator.visit import Visit

_COMMAND_OCTETS = 4_096
_MISTAKES = 20  # commands that make no sense, before the connection is ended
_PATH = re.compile(rb"(?i)(FROM|TO): ?<([^<>\r\n]*)>((?: [^ ]+)*) *")
_DOT = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTls:
    """The 220 is in the output: send it, shake hands, then call `tls_started`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message the receiver took; its 250 is in the output and nothing is lost any more."""

    taken: Taken
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A strike comes before the next reply: send `before`, do what the strike does, then call `resume`."""

    before: bytes
    struck: Struck


Event = StartTls | Message | Held


class _Reading(Enum):
    COMMAND = auto()
    CONTENT = auto()  # behind DATA
    CHUNK = auto()  # behind BDAT
    HANDSHAKE = auto()
    NOTHING = auto()  # a reply has closed the connection


class Dialogue:
    """One connection, from the greeting to its end."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._reading = _Reading.COMMAND
        self._buffer = bytearray()
        self._out = bytearray()
        self._events: list[Event] = []
        self._now = 0.0
        self._tls = False
        self._extended = False  # EHLO, not HELO
        self._mistakes = 0
        self._replies = 0
        self._verbs: dict[bytes, Callable[[bytes], None]] = {
            b"EHLO": self._ehlo,
            b"HELO": self._helo,
            b"STARTTLS": self._starttls,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"BDAT": self._bdat,
            b"RSET": self._rset,
            b"NOOP": lambda _: self._say(replies.NOOP),
            b"QUIT": lambda _: self._say(replies.BYE),
            b"VRFY": lambda _: self._say(replies.NOT_HERE),
            b"EXPN": lambda _: self._say(replies.NOT_HERE),
        }
        self._greeted = False
        self._is_held = False
        self._unjudged: tuple[bytes, Answer | None] | None = None  # held up at its dot
        # The transaction, if there is one; `_begin` forgets it.
        self._open = False
        self._utf8 = False
        self._sender = ""
        self._recipients: list[str] = []
        self._chunks = bytearray()
        self._chunk_left, self._chunk_last = 0, False
        self._scanned = 0  # octets of content searched for its end
        self._too_big = False

    @property
    def closing(self) -> bool:
        """True once the last reply is in the output: send it and hang up."""
        return self._reading is _Reading.NOTHING

    def open(self, now: float) -> list[Event]:
        """The connection is there: puts the greeting, or the refusal, into the output."""
        self._say(self._struck(Point.GREETING, self._visit.arrive(now)))
        return self._take_events()

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what came from the network; never raises, whatever it is."""
        self._buffer += data
        self._now = now
        while self._step():
            pass
        return self._take_events()

    def resume(self, now: float) -> list[Event]:
        """What had to come before the reply has come: go on, with the reply and with what was read meanwhile."""
        self._is_held, self._now = False, now
        if self._unjudged is not None:
            (content, refusal), self._unjudged = self._unjudged, None
            self._judge(content, refusal)
        return self.receive(b"", now)

    def take_output(self) -> bytes:
        """What to send now; b"" when there is nothing."""
        out, self._out = bytes(self._out), bytearray()
        return out

    def tls_started(self) -> None:
        """The handshake is done: the client must greet again, and anything it said in clear is forgotten."""
        self._tls = True
        self._visit.encrypted()
        self._greeted = False
        self._begin()
        self._reading = _Reading.COMMAND

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _step(self) -> bool:
        """Handle one unit of input; False when more is needed."""
        if self._is_held:
            return False
        if self._reading is _Reading.COMMAND:
            return self._read_command()
        if self._reading is _Reading.CONTENT:
            return self._read_content()
        if self._reading is _Reading.CHUNK:
            return self._read_chunk()
        self._buffer.clear()  # in clear behind STARTTLS, or behind the last reply
        return False

    def _read_command(self) -> bool:
        end = self._buffer.find(b"\r\n", 0, _COMMAND_OCTETS)
        if end < 0:
            if len(self._buffer) >= _COMMAND_OCTETS:
                self._say(replies.ENOUGH)
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        verb, _, rest = line.partition(b" ")
        action = self._verbs.get(verb.upper())
        if action is None or b"\r" in line or b"\n" in line:
            self._mistake(replies.UNKNOWN)
        else:
            action(rest)
        return True

    def _read_content(self) -> bool:
        buffer = self._buffer
        if self._scanned == 0 and buffer.startswith(b".\r\n"):
            end, skip = -2, 3  # content without a line: the CRLF before the dot is the command's
        else:
            end, skip = buffer.find(_DOT, max(0, self._scanned - 4)), 5
            if end == -1:
                if buffer and not self._scanned:
                    self._strike(Point.CONTENT)
                self._scanned = len(buffer)
                self._bound_content()
                return False
        content = bytes(buffer[: max(0, end + 2)])
        del buffer[: max(0, end) + skip]
        self._reading = _Reading.COMMAND
        # Each line that begins with a dot carries one too many (RFC 5321 section 4.5.2).
        content = content.removeprefix(b".").replace(b"\r\n.", b"\r\n")
        self._finish(content)
        return True

    def _bound_content(self) -> None:
        """Of a message that is too big only its end is awaited."""
        if self._scanned > self._visit.behaviour.offers.size + 65_536:
            self._too_big = True
            del self._buffer[:-4]
            self._scanned = 4

    def _read_chunk(self) -> bool:
        piece = self._buffer[: self._chunk_left]
        del self._buffer[: len(piece)]
        if self._chunk_left > len(piece) > 0 and not self._chunks:
            self._strike(Point.CONTENT)
        self._chunk_left -= len(piece)
        if self._recipients and not self._too_big:
            self._chunks += piece
            self._too_big = len(self._chunks) > self._visit.behaviour.offers.size
        if self._chunk_left:
            return False
        self._reading = _Reading.COMMAND
        if not self._recipients:
            self._say(replies.SEQUENCE)
        elif self._chunk_last:
            self._finish(bytes(self._chunks))
        else:
            self._say(replies.CHUNK_OK)
        return True

    def _finish(self, content: bytes) -> None:
        if self._too_big or len(content) > self._visit.behaviour.offers.size:
            self._say(replies.TOO_BIG)
            self._begin()
            return
        refusal = self._strike(Point.DOT)
        if self._is_held:
            self._unjudged = (content, refusal)
        else:
            self._judge(content, refusal)

    def _judge(self, content: bytes, refusal: Answer | None) -> None:
        answer, taken = refusal, None
        if answer is None:
            answer, taken = self._visit.message(self._sender, tuple(self._recipients), content, self._now, tls=self._tls)
        if taken is not None:
            self._events.append(Message(taken=taken, content=content))
            answer = self._struck(Point.TAKEN, answer)
        self._say(answer)
        self._begin()

    def _ehlo(self, name: bytes) -> None:
        if not name.strip():
            self._mistake(replies.SYNTAX)
            return
        offers = self._visit.behaviour.offers
        offered = {
            f"SIZE {offers.size}": True,
            "8BITMIME": offers.eight_bit,
            "STARTTLS": offers.starttls and not self._tls,
            "ENHANCEDSTATUSCODES": True,
            "PIPELINING": offers.pipelining,
            "CHUNKING": offers.chunking,
            "SMTPUTF8": offers.smtputf8,
        }
        lines = [f"{self._visit.host} at your service, [{self._visit.source}]"]
        lines += [keyword for keyword, is_offered in offered.items() if is_offered]
        self._greet(self._struck(Point.EHLO, reply(250, "", "\n".join(lines))), extended=True)

    def _helo(self, name: bytes) -> None:
        if name.strip():
            self._greet(reply(250, "", "{host} at your service"), extended=False)
        else:
            self._mistake(replies.SYNTAX)

    def _greet(self, answer: Answer, *, extended: bool) -> None:
        self._begin()
        self._greeted, self._extended = answer.code < 400, extended
        self._say(answer)

    def _starttls(self, rest: bytes) -> None:
        if rest or not self._extended or self._tls or not self._visit.behaviour.offers.starttls:
            self._say(replies.SEQUENCE)
            return
        answer = self._struck(Point.STARTTLS, replies.READY)
        self._say(answer)
        if answer.code == replies.READY.code:
            self._events.append(StartTls())
            self._reading = _Reading.HANDSHAKE

    def _mail(self, rest: bytes) -> None:
        found = _PATH.fullmatch(rest)
        if found is None or found.group(1).upper() != b"FROM":
            self._mistake(replies.SYNTAX)
            return
        if not self._greeted or self._open:
            self._say(replies.SEQUENCE)
            return
        refusal = self._refused_parameter(found.group(3).decode("ascii", "replace"))
        address = self._address(found.group(2))
        answer = refusal or (replies.NEEDS_UTF8 if address is None else self._visit.mail(self._now, tls=self._tls))
        answer = self._struck(Point.MAIL, answer)
        self._open = answer.code < 400
        self._sender = address or ""
        self._say(answer)

    def _refused_parameter(self, parameters: str) -> Answer | None:
        offers = self._visit.behaviour.offers
        for parameter in parameters.upper().split():
            name, _, value = parameter.partition("=")
            if name == "SIZE" and value.isdigit():
                if int(value) > offers.size:
                    return replies.TOO_BIG
            elif name == "SMTPUTF8" and offers.smtputf8:
                self._utf8 = True
            elif not (name == "BODY" and (value == "7BIT" or (value == "8BITMIME" and offers.eight_bit))):
                return replies.PARAMETER
        return None

    def _rcpt(self, rest: bytes) -> None:
        found = _PATH.fullmatch(rest)
        if found is None or found.group(1).upper() != b"TO" or not found.group(2):
            self._mistake(replies.SYNTAX)
            return
        if not self._open:
            self._say(replies.SEQUENCE)
            return
        address = self._address(found.group(2))
        if address is None:
            self._say(replies.NEEDS_UTF8)
            return
        answer = self._struck(Point.RCPT, self._visit.rcpt(address, self._now, already=len(self._recipients)), [address])
        if answer.code < 400:
            self._recipients.append(address)
        self._say(answer, rcpt=address)

    def _address(self, raw: bytes) -> str | None:
        """The address as text; None when it needs SMTPUTF8 and that was not asked for, or is no text at all."""
        if raw.isascii():
            return raw.decode("ascii")
        try:
            return raw.decode() if self._utf8 else None
        except UnicodeDecodeError:
            return None

    def _data(self, rest: bytes) -> None:
        if rest or not self._recipients or self._chunks:
            self._say(replies.SEQUENCE)
            return
        answer = self._struck(Point.DATA, self._visit.behaviour.answers.data_ok)
        self._say(answer)
        if answer.code == 354:
            self._reading, self._scanned = _Reading.CONTENT, 0

    def _bdat(self, rest: bytes) -> None:
        size, _, last = rest.partition(b" ")
        if not size.isdigit() or len(size) > 12 or last.upper() not in (b"", b"LAST"):
            # What follows can't be told from commands any more.
            self._say(replies.ENOUGH)
            return
        if not self._visit.behaviour.offers.chunking:
            self._say(replies.NOT_HERE)
            return
        self._chunk_left, self._chunk_last = int(size), bool(last)
        self._reading = _Reading.CHUNK

    def _rset(self, rest: bytes) -> None:
        self._begin()
        self._say(replies.RESET)

    def _begin(self) -> None:
        """Forget the transaction, if there is one."""
        self._open = False
        self._utf8 = False
        self._sender = ""
        self._recipients = []
        self._chunks = bytearray()
        self._chunk_left, self._chunk_last = 0, False
        self._scanned = 0
        self._too_big = False

    def _mistake(self, answer: Answer) -> None:
        self._mistakes += 1
        self._say(replies.ENOUGH if self._mistakes > _MISTAKES else answer)

    def _struck(self, point: Point, answer: Answer, recipients: Sequence[str] = ()) -> Answer:
        """The answer that is due, or what a strike puts in its place."""
        return self._strike(point, recipients) or answer

    def _strike(self, point: Point, recipients: Sequence[str] = ()) -> Answer | None:
        """What a strike says here, where there is one that says something; the connection may be held up first."""
        struck = self._visit.strike(point, recipients or self._recipients)
        if struck is None:
            return None
        if struck.strike.does is not Does.NOTHING:
            self._events.append(Held(before=self.take_output(), struck=struck))
            self._is_held = True
        return struck.strike.answer

    def _say(self, answer: Answer, *, rcpt: str = "") -> None:
        self._replies += 1
        visit = self._visit
        self._out += answer.render(ip=visit.source, rcpt=rcpt, host=visit.host, queue_id=f"{visit.number:x}.{self._replies}")
        if answer.closes:
            self._reading = _Reading.NOTHING
