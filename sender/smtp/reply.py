"""Octets to replies (RFC 5321 section 4.2): bounded in length and in number of lines, and safe to print.

A line ends with LF, with or without CR before it: some receivers leave the CR out and every large MTA reads them. Nothing
else is forgiven: a line that is not a code, a space or hyphen and text is an error, as is a code that changes within a reply.
"""

import re
from functools import lru_cache

from sender.model import Reply

KEPT_CHARS = 1_000  # of one line; RFC 5321 section 4.5.3.1.5 allows 512 octets
_SHORT = 512  # octets, RFC 5321 section 4.5.3.1.5; of longer lines none is kept
_KNOWN_REPLIES = 1_024  # of a process: sessions hear the same few lines over and over, beside queue ids that never come back
_ENHANCED = re.compile(r"#?(([245])\.\d{1,3}\.\d{1,3})(?: +|$)")  # RFC 2034 section 4; IronPort writes "#5.1.0"


class ReplyError(ValueError):
    """What came is not a reply, or more of one than we are ready to hold."""


class ReplyParser:
    """Give it octets as they come, however they are split, and take replies as they complete."""

    def __init__(self, *, max_bytes: int = 65_536, max_lines: int = 100) -> None:
        self._max_bytes, self._max_lines = max_bytes, max_lines
        self._short = min(_SHORT, max_bytes // 4)  # all of it as escapes, four characters an octet, stays below max_bytes
        self._buffer = b""
        self._start = 0  # where the unread part of the buffer begins
        self._scanned = 0  # no line end before here
        self._code = b""
        self._texts: list[bytes] = []  # the lines so far of an unfinished reply
        self._size = 0  # octets in them, line ends included

    @property
    def pending(self) -> bool:
        """Whether octets are held that no reply taken so far accounts for."""
        return self._start < len(self._buffer) or bool(self._texts)

    def feed(self, data: bytes) -> None:
        if self._start == len(self._buffer):
            self._buffer, self._start, self._scanned = data, 0, 0
        else:
            self._buffer = self._buffer[self._start :] + data
            self._scanned -= self._start
            self._start = 0

    def take(self) -> Reply | None:
        """The next whole reply, or None when more octets are needed. Raises ReplyError for what can't become a reply."""
        while (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            line = self._buffer[self._start : end]
            self._start = self._scanned = end + 1
            known = _known(line) if len(line) <= self._short and not self._texts else None
            reply = known or self._line(line)
            if reply is not None:
                return reply
        self._scanned = len(self._buffer)
        if self._size + self._scanned - self._start > self._max_bytes:
            raise self._too_long()
        return None

    def _line(self, line: bytes) -> Reply | None:
        self._size += len(line) + 1
        if self._size > self._max_bytes:
            raise self._too_long()
        if not _well_formed(line):
            raise ReplyError(f"not a reply: {_printable(line, 80)!r}")
        code, more = line[:3], line[3:4] == b"-"
        if self._texts and code != self._code:
            raise ReplyError(f"the code changes within a reply: {_printable(line, 80)!r} after {self._code.decode()}")
        if len(self._texts) == self._max_lines:
            raise ReplyError(f"a reply of more than {self._max_lines} lines")
        text = line[4:].removesuffix(b"\r")
        self._code = code
        self._texts.append(text)
        return None if more else self._finish()

    def _too_long(self) -> ReplyError:
        return ReplyError(f"a reply of more than {self._max_bytes} octets")

    def _finish(self) -> Reply:
        room = self._max_bytes  # escapes make text longer than what came
        lines: list[str] = []
        for text in self._texts:
            lines.append(_printable(text, min(KEPT_CHARS, room)))
            room -= len(lines[-1])
        self._texts, self._size = [], 0
        return _reply(int(self._code), lines)


@lru_cache(maxsize=_KNOWN_REPLIES)
def _known(line: bytes) -> Reply | None:
    """The reply that this short line is all of; None where it is none, or only the first line of one."""
    if not _well_formed(line) or line[3:4] == b"-":
        return None
    return _reply(int(line[:3]), [_printable(line[4:].removesuffix(b"\r"), KEPT_CHARS)])


def _well_formed(line: bytes) -> bool:
    """A code, and a space or hyphen where text follows."""
    code = line[:3]
    return len(code) == 3 and code.isdigit() and b"200" <= code <= b"599" and line[3:4] in (b" ", b"-", b"", b"\r")


def _reply(code: int, lines: list[str]) -> Reply:
    """Take the enhanced code (RFC 3463) off the lines, when its class agrees with the code as RFC 2034 section 4 asks."""
    found = _ENHANCED.match(lines[0])
    if found is None or int(found[2]) != code // 100:
        return Reply(code=code, lines=tuple(lines))
    enhanced = found[1]
    others = [_without(enhanced, line) for line in lines[1:]] if len(lines) > 1 else ()
    return Reply(code=code, enhanced=enhanced, lines=(lines[0][found.end() :], *others))


def _without(enhanced: str, line: str) -> str:
    found = _ENHANCED.match(line)
    return line[found.end() :] if found is not None and found[1] == enhanced else line


def _printable(text: bytes, limit: int) -> str:
    """At most `limit` characters, with whatever is not printable UTF-8 shown as an escape."""
    shown = text[: limit + 4].decode("utf-8", "backslashreplace")
    if not shown.isprintable():
        shown = shown.replace("\t", " ")
        shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
    return shown if len(text) <= limit and len(shown) <= limit else shown[: max(limit - 1, 0)] + "…"[:limit]
