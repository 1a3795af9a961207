"""The long tail: any number of domains, each with an MX host of a name of its own, behind a handful of addresses.

Nothing of them is kept. The first word of a name says what becomes of mail to it:

    tail-17.example      it is taken
    tarpit-17.example    it would be taken, at hosts of another name: a strike can hold these up and no others
    mute-17.example      the connection is never answered
    servfail-17.example  the name server fails
    silent-17.example    the name server does not answer

Their MX is mx.tail-17.example and so on. Numbers have up to seven digits.
"""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from workers.emulator.behaviour import Behaviour, Offers, Trust
from workers.emulator.world import Host

TAIL = "tail"
HOSTS = (
    Host(name="any.tail.example", address="127.77.200.1", preference=10),
    Host(name="any.tarpit.example", address="127.77.200.2", preference=10),
)
MUTE_ADDRESS = "127.77.200.3"

# Without TLS, and without limits: what is tried with a hundred thousand domains is the sender, and this has to keep up.
BEHAVIOUR = Behaviour(
    offers=Offers(starttls=False),
    trust=Trust(judged_from=1_000_000_000, complaints_from=1_000_000_000),
    connections=0,
    messages_per_connection=0,
)

_ADDRESSES = {b"tail": HOSTS[0].address, b"tarpit": HOSTS[1].address, b"mute": MUTE_ADDRESS}
_DOMAIN = re.compile(r"(?:tail|tarpit)-[0-9]{1,7}\.example")
# A query with one question and nothing before it: id, flags, counts, then [mx.]<word>-<number>.example, type, class IN.
_QUERY = re.compile(
    rb"(..)([\x00-\x07].)\x00\x01\x00\x00\x00\x00..((?:\x02mx)?)"
    rb"[\x06-\x10](tail|tarpit|mute|servfail|silent)-[0-9]{1,7}\x07example\x00(..)\x00\x01",
    re.DOTALL,
)
_A, _MX = b"\x00\x01", b"\x00\x0f"
_QUESTION_AT = 12  # RFC 1035 section 4.1.1: where the header ends
_ITS_NAME = b"\xc0\x0c"  # section 4.1.4: the name of the question
_TTL_S = 300
_OK, _SERVFAIL = 0x00, 0x02
_FILLERS = 2


def takes(domain: str) -> bool:
    """Whether mail to this domain comes in at `HOSTS`."""
    return _DOMAIN.fullmatch(domain) is not None


def answer(query: bytes) -> bytes | None:
    """The reply to a question about the tail, b"" where there is to be none; None for all other questions.

    Octets in, octets out: a hundred thousand domains cost three questions each.
    """
    found = _QUERY.match(query)
    if found is None:
        return None
    identity, flags, mx, word, kind = found.groups()
    if word == b"silent":
        return b""
    record, code = b"", _SERVFAIL if word == b"servfail" else _OK
    if code == _OK and mx and kind == _A:
        record = _record(_A, socket.inet_aton(_ADDRESSES[word]))
    elif code == _OK and not mx and kind == _MX:
        record = _record(_MX, b"\x00\x0a\x02mx" + _ITS_NAME)
    header = identity + bytes((0x84 | flags[0] & 1, 0x80 | code)) + struct.pack(">4H", 1, bool(record), 0, 0)
    return header + query[_QUESTION_AT : found.end()] + record


def _record(kind: bytes, data: bytes) -> bytes:
    return _ITS_NAME + kind + struct.pack(">HIH", 1, _TTL_S, len(data)) + data


@contextmanager
def mute(port: int) -> Iterator[None]:
    """While the block runs, a connection to `MUTE_ADDRESS` is neither taken nor refused: its first packet is dropped.

    A listener whose queue is full and never read does that, on Linux.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((MUTE_ADDRESS, port))
        listener.listen(0)
        for _ in range(_FILLERS):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect((MUTE_ADDRESS, port))
        yield


def domains(word: str, count: int) -> Iterator[str]:
    """The first so many domains of a kind."""
    return (f"{word}-{number}.example" for number in range(count))
