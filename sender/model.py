"""The nouns every layer shares: values without behaviour, one meaning each.

Nothing here does I/O or knows the time. A name used in code, metrics, configuration, command line and dashboards means
what this file says it means. What is made for every message is a msgspec Struct, made in a tenth of the time of a frozen
dataclass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct


class Step(StrEnum):
    """Where in the SMTP dialogue we are; also the label of the latency histogram."""

    CONNECT = "CONNECT"
    GREETING = "GREETING"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    TLS = "TLS"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "DOT"
    RSET = "RSET"
    QUIT = "QUIT"


class Verdict(StrEnum):
    """What an attempt came to for its envelope."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    UNSENT = "unsent"  # not tried: costs no attempt and does not age the retry curve


class Scope(StrEnum):
    """How far the blame for a refusal reaches."""

    RECIPIENT = "recipient"  # settle this envelope; the session goes on
    MESSAGE = "message"  # counted against the campaign
    SESSION = "session"  # drop the connection; unsent envelopes are released
    LANE = "lane"  # pause the lane, shrink its window
    DOMAIN = "domain"  # the From or DKIM domain, on every source
    CONFIG = "config"  # stop and alert: retrying can't help


class Category(StrEnum):
    """Why a receiver answered as it did: the label operators group refusals by."""

    ACCEPTED = "accepted"
    AUTHENTICATION = "authentication"
    BLOCK = "block"
    CONNECTION_LIMIT = "connection_limit"
    CONTENT = "content"
    FULL_MAILBOX = "full_mailbox"
    GREYLIST = "greylist"
    NETWORK = "network"
    POLICY = "policy"
    PROTOCOL = "protocol"
    RATE = "rate"
    ROUTING = "routing"
    SYSTEM = "system"
    UNKNOWN_USER = "unknown_user"
    OTHER = "other"


class State(StrEnum):
    """The final states. Every recipient of a campaign ends in exactly one; their sum is the campaign's recipients."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    INVALID = "invalid"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Mark(StrEnum):
    """What a finished attempt counts as in the statistics of its lane; `sender.policy.marks` decides."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BLOCKED = "blocked"
    BOUNCED = "bounced"
    UNKNOWN_USER = "unknown_user"
    DOMAIN = "domain"  # refused because of the From or DKIM domain: that is judged, the lane is not
    NEUTRAL = "neutral"  # refused for reasons that are not the lane's: greylisting, a full mailbox, a system that fails
    DOUBTED = "doubted"  # its end of data went out and no answer came: nobody is judged
    LIMITED = "limited"  # a connection limit or the network: nobody is judged, and no unit is used
    TURNED_AWAY = "turned_away"  # the door was shut on the source before any MAIL: the lane is judged, and no unit is used

    @property
    def uses(self) -> bool:
        """Whether the attempt has used up a unit of its caps: the receiver answered for the envelope, or may have it."""
        return self is not Mark.LIMITED and self is not Mark.TURNED_AWAY


class Choice(StrEnum):
    """Which of a campaign's ready packs a lane takes: how it stands to the warmup of its pool at its receiver."""

    OLDEST = "oldest"  # nobody there warms up
    ENGAGED = "engaged"  # it warms up: the most engaged recipients first, and none below its plan's minimum
    REST = "rest"  # it is warm beside some that warm up: the least engaged first, and others as far as `spill` permits


class TlsPolicy(StrEnum):
    """What a receiver's sessions ask of STARTTLS."""

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"  # encrypt when offered, whatever the certificate says (RFC 7435)
    REQUIRED = "required"  # encrypt or defer; the certificate is not judged
    VERIFIED = "verified"  # encrypt, to a certificate that names the MX and chains to a trusted root


class Pipelining(StrEnum):
    """How much a session sends before it waits, where the receiver offers PIPELINING (RFC 2920)."""

    LOCKSTEP = "lockstep"  # one command, one reply
    GROUP = "group"  # MAIL, RCPT and DATA together
    CHAIN = "chain"  # the next transaction's group travels with this one's end of data; BDAT where CHUNKING is offered


class Reply(Struct, frozen=True, kw_only=True):
    """One SMTP reply (RFC 5321 section 4.2): its lines joined, bounded and made printable.

    `lines` carry neither the code nor control characters, so any of them can be logged, counted or shown as it stands.
    """

    code: int
    enhanced: str | None = None  # "5.1.1" (RFC 3463), when the receiver gave one
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.lines[0] if len(self.lines) == 1 else " ".join(self.lines)

    def __str__(self) -> str:
        code, text = f"{self.code} {self.enhanced}" if self.enhanced else str(self.code), self.text
        return f"{code} {text}" if text else code


class Action(StrEnum):
    """What a lane does about a refusal, beyond settling the envelope."""

    NONE = "none"
    PAUSE = "pause"
    HALVE = "halve"
    ONE_CONNECTION = "one_connection"
    MESSAGES_PER_CONNECTION = "messages_per_connection"
    HOLD_PROMOTION = "hold_promotion"
    STOP_SOURCE = "stop_source"
    STOP_DOMAIN = "stop_domain"
    PAUSE_CAMPAIGN = "pause_campaign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a reply, or its absence, means: the verdict for the envelope, and how far the blame reaches."""

    verdict: Verdict
    scope: Scope = Scope.RECIPIENT
    category: Category = Category.OTHER
    rule: str = "default"  # the name of the rule that decided
    actions: tuple[Action, ...] = ()
    pause_s: float | None = None  # how long `actions` last
    retry_s: float | None = None  # a delay the receiver named, or the rule fixed
    limit: int | None = None  # messages per connection, for that action
    pause_max_s: float | None = None  # how far `pause_s` may grow while nothing but this comes back
    in_doubt: bool = False  # the end of data was sent and no reply could be read: the receiver may have the message
    permanent: bool = False  # nobody can be reached at this address, neither by this message nor by another one
    suppress_s: float | None = None  # how long the address gets no mail because of it, where that is not for good
    shadow: "Outcome | None" = None  # what a rule that is only being tried would have made of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An outgoing IP with its EHLO name, on a host, in exactly one pool."""

    name: str
    address: str  # IPv4 or IPv6 literal that connections bind to; "" lets the system choose
    ehlo: str
    pool: str
    host: str = ""  # the host that owns the address; "" means any

    def __repr__(self) -> str:
        return f"<Source {self.name} {self.address or '*'} in {self.pool}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Pool x receiver: where ready packs wait. With a `source` it is that source's own: no other takes what waits there."""

    pool: str
    receiver: str
    source: str = ""

    @classmethod
    def read(cls, text: str) -> "Route":
        """A route from its name: neither a pool nor a source has a "/" or an "@" in its own."""
        where, _, receiver = text.partition("/")
        pool, _, source = where.partition("@")
        return cls(pool=pool, receiver=receiver, source=source)

    @property
    def shared(self) -> "Route":
        """The route that all sources of the pool take from."""
        return Route(pool=self.pool, receiver=self.receiver) if self.source else self

    def own(self, source: str) -> "Route":
        """That source's own route."""
        return Route(pool=self.pool, receiver=self.receiver, source=source)

    def __str__(self) -> str:
        own = f"@{self.source}" if self.source else ""
        return f"{self.pool}{own}/{self.receiver}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneId:
    """Source x receiver: the unit of warmup, pacing, connections and reputation."""

    source: str
    receiver: str

    def __str__(self) -> str:
        return f"{self.source}/{self.receiver}"


UNLIMITED = 1_000_000_000_000  # envelopes: the cap of a lane that is warm, so that it needs no other way through the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """How many envelopes may go in one sending day, in each of its hours and in each of its minutes, counted from its start."""

    day: int  # the sending day in its plan's zone, as `datetime.date.toordinal` numbers it
    starts: float  # Unix seconds
    ends: float  # and the first moment after it
    per_day: int
    per_hour: int
    per_minute: int

    @property
    def limits(self) -> bool:
        """Whether it holds anybody back: that of a warm lane does not."""
        return self.per_day < UNLIMITED


@dataclass(frozen=True, slots=True, kw_only=True)
class MxHost:
    name: str  # lower-case A-label without the final dot
    preference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a domain's mail goes: its MX hosts, best first; domains with the same hosts share sessions.

    No hosts is the null MX (RFC 7505): the domain takes no mail, for good.
    """

    hosts: tuple[MxHost, ...]

    @property
    def key(self) -> str:
        return ",".join(f"{host.preference}:{host.name}" for host in self.hosts)


@dataclass(slots=True, kw_only=True)
class Envelope:
    """One recipient of one campaign: the unit of queueing, retry and accounting.

    Mutable only by whoever built it from a pack; `position` is its place in the lease it came with.
    """

    campaign: str
    ordinal: int
    address: str  # local@a-label, as it goes into RCPT
    fields: Mapping[str, str] = field(default_factory=dict)  # merge fields and whatever else came with the recipient
    attempts: int = 0  # attempts that cost something: UNSENT ones do not count
    doubts: int = 0  # attempts whose end of data was sent and whose reply never came
    queued_at: float = 0.0  # Unix seconds
    tried_at: float = 0.0  # Unix seconds: when a try first came to anything, and the give-up age began; 0: not yet

    @property
    def id(self) -> str:
        return f"{self.campaign}:{self.ordinal}"

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def __repr__(self) -> str:
        return f"<Envelope {self.id} attempts={self.attempts} doubts={self.doubts}>"


class Transaction(Struct, frozen=True, kw_only=True):
    """One message ready for the wire: composed and signed, with its SMTP envelope.

    The message is `head` and then the pieces of `body`, which are shared with other messages of its campaign as far as they
    are the same. It ends with CRLF, holds only CRLF line ends and is not dot-stuffed: the client machine does that.
    """

    mail_from: str
    rcpt: str
    head: bytes  # its header fields and the empty line; all of it where there is no `body`
    body: tuple[bytes, ...] = ()
    body_size: int = 0  # octets of `body`
    eight_bit: bool = False  # content holds octets over 127: BODY=8BITMIME (RFC 6152)
    smtputf8: bool = False  # an address or a header needs RFC 6531
    fit: bool = False  # `body` is known to be as above, and to have no line that begins with a dot
    tag: object = None  # the caller's own reference, handed back untouched

    @property
    def content(self) -> bytes:
        """The message in one piece, made anew each time."""
        return b"".join((self.head, *self.body))

    @property
    def size(self) -> int:
        """Octets of the message."""
        return len(self.head) + self.body_size


class Result(Struct, frozen=True, kw_only=True):
    """How one transaction ended: the reply that decided it and at which step, or no reply at all.

    `in_doubt` is true only when the end of data had been handed to the kernel and no reply could be read for it
    (RFC 5321 section 4.5.3.2.6, RFC 1047): the receiver may have the message.
    """

    transaction: Transaction
    step: Step
    reply: Reply | None = None
    error: str = ""  # why there is no reply, in one line
    in_doubt: bool = False
    seconds: float = 0.0  # from the transaction's first octet to its reply
    withheld: bool = False  # we stopped it before its end of data: nobody has it, and no attempt was made
