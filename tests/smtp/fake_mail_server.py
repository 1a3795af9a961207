"""A scripted receiver that reads the cases of the NO STARTTLS study and answers as they say.

A case names what differs from a well-behaved receiver: the greeting, the capabilities in clear and inside TLS, the reply to
STARTTLS, replies to other commands, commands that are not known.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    greeting: str
    capabilities: tuple[str, ...]
    capabilities_tls: tuple[str, ...]
    starttls: str
    transition: bool  # whether the receiver goes on to the handshake after its reply to STARTTLS
    replies: dict[str, str]
    hidden: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, *, with_comments: bool = False) -> "Case":
        """`with_comments` plays the settings that the file carries commented out, as its later steps."""
        text = path.read_text()
        text = re.sub(r"^(\s*)//(?=\w+:)", r"\1", text, flags=re.MULTILINE) if with_comments else text
        text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        replies = dict(_strings_in_pairs(_setting(text, "override_response", r"\{(.*?)\}")))
        return cls(
            greeting=_string(_setting(text, "greeting", r"(\".*?\"),?$")) or "220 mx.example ESMTP\r\n",
            capabilities=_capabilities(_setting(text, "capabilities", r"\[(.*?)\],\s*(?:\w+:|$)")),
            capabilities_tls=_capabilities(_setting(text, "capabilities_tls", r"\[(.*?)\],\s*(?:\w+:|$)")),
            starttls=_string(_setting(text, "stls_response", r"(\".*?\"),?$")) or "220 Ready\r\n",
            transition="stls_make_transition: false" not in text,
            replies={verb.upper(): reply for verb, reply in replies.items()},
            hidden=tuple(verb.upper() for verb in _STRING.findall(_setting(text, "hide_commands", r"\[(.*?)\]"))),
        )


class FakeMailServer:
    """Answers what the client writes, and remembers whether a message came and whether MAIL came in clear."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._in_data = False
        self.encrypted = False
        self.mail_in_clear = False
        self.messages = 0

    def greeting(self) -> bytes:
        return self._case.greeting.encode()

    def answer(self, data: bytes) -> bytes:
        return b"".join(self._line(line) for line in data.split(b"\r\n")[:-1])

    def _line(self, line: bytes) -> bytes:
        if self._in_data:
            if line != b".":
                return b""
            self._in_data = False
            self.messages += 1
            return b"250 Ok\r\n"
        return self._command(line.split(b" ")[0].decode().upper()).encode()

    def _command(self, verb: str) -> str:
        self.mail_in_clear |= verb == "MAIL" and not self.encrypted
        if verb in self._case.replies:
            return self._case.replies[verb]
        if verb in self._case.hidden:
            return "500 Command not known\r\n"
        self._in_data = verb == "DATA"
        match verb:
            case "EHLO":
                offered = self._case.capabilities_tls if self.encrypted else self._case.capabilities
                lines = ["mx.example", *offered]
                return "".join(f"250{' ' if place == len(lines) else '-'}{line}\r\n" for place, line in enumerate(lines, 1))
            case "STARTTLS":
                return self._case.starttls
            case "DATA":
                return "354 Go ahead\r\n"
            case "QUIT":
                return "221 Bye\r\n"
            case _:
                return "250 Ok\r\n"


def _setting(text: str, name: str, value: str) -> str:
    found = re.search(rf"^\s*{name}:\s*{value}", text, flags=re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _string(quoted: str) -> str:
    return quoted[1:-1].replace("\\r", "\r").replace("\\n", "\n").replace('\\"', '"')


def _strings_in_pairs(text: str) -> list[tuple[str, str]]:
    return [(verb, _string(reply)) for verb, reply in re.findall(r'"(\w+)":\s*("(?:[^"\\]|\\.)*")', text)]


def _capabilities(text: str) -> tuple[str, ...]:
    """StartTLS, and AUTH with all its mechanisms on one line, which may be a thousand octets."""
    mechanisms = re.findall(r"\w[\w-]*", re.sub(r"Auth|Other", "", "".join(re.findall(r"Auth\(\[.*?\]\)", text, re.DOTALL))))
    auth = (f"AUTH {' '.join(mechanisms)}",) if mechanisms else ()
    return (*auth, "STARTTLS") if "StartTLS" in text else auth
