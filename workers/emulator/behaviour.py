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


# How much more than it is used to a receiver takes in a day, by what it is used to: iPost's rule for warming up (double below
# 50,000, then 50, 20 and 10 % more), the one published rule that says how large a step may be at which volume.
GROWTH = ((50_000, 2.0), (100_000, 1.5), (250_000, 1.2), (10**12, 1.1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How a source's reputation is made and lost.

    A receiver is used to the mean of a source's last `used_days` sending days. It takes `growth` times that in a day,
    `first_day` messages in any case, and `hour_share` of it in an hour; 0 for `first_day` means that volume is not judged.
    What is more is slowed, but for a trickle. Who goes on nevertheless, up to `insistence` of the day's measure, commits an
    offence; so does who writes to too many unknown users, or whose readers complain too much. Less of that keeps volume from
    growing. An offence defers for `defer_s` and halves what the receiver is used to; each further one defers for longer,
    `defer_grows` times, and the third blocks for `block_s`. Offences are forgiven one per `forgive_s`. After `idle_days`
    without mail only `idle_keeps` of what it was used to is left.
    """

    judged_from: int = 100  # recipients, before unknown users are judged
    complaints_from: int = 2_000  # messages, before complaints are: Momentum's sweeps need as many attempts
    first_day: int = 0
    growth: tuple[tuple[int, float], ...] = GROWTH
    used_days: int = 3  # iPost: hold each step for 3 to 4 mailing days
    hour_share: float = 1 / 3  # Free's 100 an hour for a new source, of the 300 that it gets here on its first day
    insistence: float = 0.25
    slowed_earns: float = 0.25  # of what a day's growth would have earned, had nothing been slowed: ours
    unknown_share: float = 0.05  # Braze reviews at 3 to 5 % bounces
    complaint_share: float = 0.003  # Gmail, Yahoo and Orange all draw the line at 0.3 %
    complaint_unease: float = 0.001  # and Gmail asks for less than 0.1 %
    memory_s: float = 172_800.0  # half-life of what is remembered of unknown users and complaints: Free's fade in 24 to 48 h
    defer_s: float = 3_600.0
    defer_grows: float = 2.0  # Yahoo: [TSS04] 2 h, [TSS05] 4 h
    block_s: float = 86_400.0  # Free's blocks lift within a day
    forgive_s: float = 604_800.0  # Gmail: mitigation is back after 7 days below the line
    idle_days: int = 30  # SendGrid warms an address anew that was idle for longer
    idle_keeps: float = 0.25


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
