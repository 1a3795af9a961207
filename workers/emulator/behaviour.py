"""How a receiver decides, as data: its limits, what it offers, how it forms and loses trust in a source.

Every share is drawn from a hash of the world's seed and the recipient, never from a clock or a generator: the same address
has the same fate in every run.
"""

import zlib
from dataclasses import dataclass, field

from workers.emulator.answers import ORDINARY, Answers

# What makes any receiver here refuse a message as spam: the line the anti-spam world agreed on for tests.
SPAM_MARK = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What the answer to EHLO lists."""

    pipelining: bool = True
    chunking: bool = False
    eight_bit: bool = True
    smtputf8: bool = False
    starttls: bool = True
    size: int = 35_882_577  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How a source's reputation is made and lost.

    Nothing is judged before `judged_from` recipients. A source may send `first_day` messages on its first day and `growth`
    times its best day after that; 0 means that volume is not judged. Past a threshold it is deferred for `defer_s`; each
    further offence doubles that, and the third blocks it for `block_s`. Offences are forgiven one per `forgive_s`.
    """

    judged_from: int = 100
    first_day: int = 0
    growth: float = 2.0
    unknown_share: float = 0.20
    complaint_share: float = 0.003  # Gmail, Yahoo and Orange all draw the line at 0.3 %
    memory_s: float = 86_400.0  # half-life of what is remembered about unknown users and complaints
    defer_s: float = 3_600.0
    block_s: float = 14_400.0
    forgive_s: float = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One receiver's manners. Limits are per source address, over all hosts of the receiver; 0 means no limit."""

    answers: Answers = ORDINARY
    offers: Offers = field(default_factory=Offers)
    trust: Trust = field(default_factory=Trust)
    connections: int = 20
    messages_per_connection: int = 100
    recipients_per_message: int = 100
    messages_per_s: float = 0.0
    burst: int = 50  # messages that may come at once before `messages_per_s` counts
    requires_tls: bool = False
    requires_dkim: bool = False  # that there is a signature: whether it is good shows after the answer
    greylist_s: float = 0.0  # how long a recipient's first attempt is put off; 0: not at all
    unknown_share: float = 0.0  # addresses that do not exist, beside those that say so
    full_share: float = 0.0  # mailboxes that are full, at the first attempt and every other
    hiccup_share: float = 0.0  # recipients whose first attempt meets a passing fault
    complaint_share: float = 0.0  # recipients who press the spam button
    reply_s: float = 0.0  # how long the answer to a message takes


def chance(seed: int, what: str, address: str) -> float:
    """A number in [0, 1) that depends on nothing else; `what` keeps the fates of one address independent."""
    mixed = zlib.crc32(f"{what}\0{seed}\0{address.lower()}".encode())
    # crc32 is linear: two draws for one address differ by a constant. Multiplying by an odd constant and folding breaks that.
    mixed = (mixed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 29
    mixed = (mixed * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    return (mixed >> 32) / 0x100000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """What is true of one address, whoever writes to it."""

    unknown: bool = False
    full: bool = False
    hiccups: bool = False
    complains: bool = False


def mailbox(behaviour: Behaviour, seed: int, address: str) -> Mailbox:
    """An address that begins with unknown, full, slow or angry says what it is; of the rest a share is drawn."""
    local = address.lower()
    return Mailbox(
        unknown=local.startswith("unknown") or _drawn(behaviour.unknown_share, seed, "unknown", address),
        full=local.startswith("full") or _drawn(behaviour.full_share, seed, "full", address),
        hiccups=local.startswith("slow") or _drawn(behaviour.hiccup_share, seed, "hiccup", address),
        complains=local.startswith("angry") or _drawn(behaviour.complaint_share, seed, "complaint", address),
    )


def _drawn(share: float, seed: int, what: str, address: str) -> bool:
    return share > 0 and chance(seed, what, address) < share
