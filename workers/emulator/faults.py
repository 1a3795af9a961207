"""What a broken receiver does, one fault each: at some moment of the dialogue, something other than the ordinary reply.

Data only; `faultmx` plays it. The texts are octets as they go on the wire, right line ends or wrong ones included.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Moment(Enum):
    """Where in a connection a fault strikes."""

    CONNECT = auto()
    EHLO = auto()
    STARTTLS = auto()
    TLS = auto()  # where the handshake would be
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    DOT = auto()  # the end of data, or of the last BDAT chunk
    QUIT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Say this instead of the ordinary reply; `closes` hangs up behind it."""

    text: bytes
    closes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Hang up; `resets` with a reset."""

    resets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Say nothing more, but go on reading until the other side gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deafness:
    """Say nothing and read nothing more: the other side's writes fill the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Say it after a while."""

    text: bytes
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """Say it one octet at a time."""

    text: bytes
    every_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """Say it over and over, without end."""

    text: bytes


Act = Say | Close | Silence | Deafness | Late | Trickle | Flood


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The moments that go wrong; all others are those of a good receiver."""

    acts: Mapping[Moment, Act] = field(default_factory=dict)
    takes: bool = True  # whether a message whose end of data was read is kept, and so counts as a copy
    starttls: bool = False
    pipelining: bool = True
    chunking: bool = False
    wrong_name: bool = False  # the certificate is for another host
    unknown_issuer: bool = False  # the certificate is signed by an authority nobody knows


def _at(moment: Moment, act: Act, *, takes: bool = True, starttls: bool = False) -> Fault:
    return Fault(acts={moment: act}, takes=takes, starttls=starttls)


_BUSY = b"421 4.3.2 Service shutting down\r\n"
_DOT_OK = b"250 2.0.0 Ok: queued\r\n"
_M = Moment

FAULTS: Mapping[str, Fault] = {
    "none": Fault(),
    # Connecting and greeting
    "connect-close": _at(_M.CONNECT, Close()),
    "connect-reset": _at(_M.CONNECT, Close(resets=True)),
    "connect-silence": _at(_M.CONNECT, Silence()),
    "connect-421": _at(_M.CONNECT, Say(text=_BUSY, closes=True)),
    "connect-554": _at(_M.CONNECT, Say(text=b"554 5.7.1 No mail from you\r\n", closes=True)),
    "connect-trickle": _at(_M.CONNECT, Trickle(text=b"220 slow.example ESMTP\r\n")),
    "connect-endless": _at(_M.CONNECT, Flood(text=b"220-and another thing\r\n")),
    "connect-long-line": _at(_M.CONNECT, Flood(text=b"x" * 65_536)),
    "connect-garbage": _at(_M.CONNECT, Say(text=b"SSH-2.0-OpenSSH_9.2\r\n")),
    "ehlo-500": _at(_M.EHLO, Say(text=b"500 5.5.1 What?\r\n")),  # an old host: HELO works
    "ehlo-421": _at(_M.EHLO, Say(text=_BUSY, closes=True)),
    "ehlo-endless": _at(_M.EHLO, Flood(text=b"250-X-MORE\r\n")),
    "ehlo-mixed-codes": _at(_M.EHLO, Say(text=b"250-one.example\r\n550 two.example\r\n")),
    # TLS
    "starttls-454": _at(_M.STARTTLS, Say(text=b"454 4.7.0 TLS not available\r\n"), starttls=True),
    "starttls-close": _at(_M.STARTTLS, Close(), starttls=True),
    "starttls-inject": _at(_M.STARTTLS, Say(text=b"220 2.0.0 Ready\r\n250 2.0.0 Injected\r\n"), starttls=True),
    "tls-silence": _at(_M.TLS, Silence(), starttls=True),
    "tls-garbage": _at(_M.TLS, Say(text=b"this is not a handshake\r\n"), starttls=True),
    "tls-close": _at(_M.TLS, Close(), starttls=True),
    "tls-wrong-name": Fault(starttls=True, wrong_name=True),
    "tls-unknown-issuer": Fault(starttls=True, unknown_issuer=True),
    # The envelope
    "mail-421": _at(_M.MAIL, Say(text=_BUSY, closes=True)),
    "mail-550-close": _at(_M.MAIL, Say(text=b"550 5.7.1 Rejected\r\n", closes=True)),
    "mail-close": _at(_M.MAIL, Close()),
    "mail-silence": _at(_M.MAIL, Silence()),
    "mail-four-digits": _at(_M.MAIL, Say(text=b"2200 Ok\r\n")),
    "rcpt-421": _at(_M.RCPT, Say(text=_BUSY, closes=True)),
    "rcpt-550": _at(_M.RCPT, Say(text=b"550 5.1.1 No such user\r\n")),
    "rcpt-554-close": _at(_M.RCPT, Say(text=b"554 5.7.1 Rejected\r\n", closes=True)),
    "rcpt-surplus": _at(_M.RCPT, Say(text=b"250 2.1.5 Ok\r\n250 2.1.5 Ok again\r\n")),
    "rcpt-garbage-first": _at(_M.RCPT, Say(text=b"this is no reply\r\n250 2.1.5 Ok\r\n")),
    "rcpt-refused-354": Fault(
        acts={_M.RCPT: Say(text=b"550 5.1.1 No such user\r\n"), _M.DATA: Say(text=b"354 Go ahead\r\n")}, takes=False
    ),
    "data-421": _at(_M.DATA, Say(text=_BUSY, closes=True)),
    "data-250": _at(_M.DATA, Say(text=b"250 2.0.0 Ok\r\n")),
    "data-451": _at(_M.DATA, Say(text=b"451 4.3.0 Not now\r\n")),
    "data-close": _at(_M.DATA, Close()),
    "data-deaf": Fault(acts={_M.DATA: Say(text=b"354 Go ahead\r\n"), _M.DOT: Deafness()}, takes=False),
    # The dot. Where the message is kept all the same, a second attempt makes a second copy.
    "dot-close": _at(_M.DOT, Close()),
    "dot-reset": _at(_M.DOT, Close(resets=True)),
    "dot-silence": _at(_M.DOT, Silence()),
    "dot-late": _at(_M.DOT, Late(text=_DOT_OK, after_s=900.0)),
    "dot-421": _at(_M.DOT, Say(text=_BUSY, closes=True), takes=False),
    "dot-451-kept": _at(_M.DOT, Say(text=b"451 4.3.0 Try again\r\n")),
    "dot-451": _at(_M.DOT, Say(text=b"451 4.3.0 Try again\r\n"), takes=False),
    "dot-550": _at(_M.DOT, Say(text=b"550 5.7.1 Spam\r\n"), takes=False),
    "dot-garbage": _at(_M.DOT, Say(text=b"queued I guess\r\n")),
    "dot-garbage-dropped": _at(_M.DOT, Say(text=b"queued I guess\r\n"), takes=False),
    "dot-354": _at(_M.DOT, Say(text=b"354 Go ahead\r\n"), takes=False),
    "dot-surplus": _at(_M.DOT, Say(text=_DOT_OK + b"250 2.0.0 Twice\r\n")),
    "dot-endless": _at(_M.DOT, Flood(text=b"250-and so on\r\n")),
    "dot-trickle": _at(_M.DOT, Trickle(text=_DOT_OK)),
    "dot-250-close": _at(_M.DOT, Say(text=_DOT_OK, closes=True)),
    "dot-bare-lf": _at(_M.DOT, Say(text=b"250 2.0.0 Ok\n")),
    "quit-silence": _at(_M.QUIT, Silence()),
    "quit-close": _at(_M.QUIT, Close()),
}
