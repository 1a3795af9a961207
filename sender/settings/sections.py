"""What each table of penstock.toml and sources.toml may hold. `config/README.md` documents every key here; a test compares."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sender.model import Step
from sender.schema import Seconds

_MINUTE = 60.0
_HOUR = 3600.0
_DAY = 86400.0

NO_WARMUP = "none"  # what stands where a plan could be named
DEFAULT_WARMUP = "default"  # the receivers for which a source names no plan of their own

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1)]
ConsumerName = Annotated[
    str,
    Meta(pattern=r"\A[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z", description="lower-case letters, digits and '-', at most 32"),
]


class IpPreference(StrEnum):
    """Which addresses of an MX host are tried, and which of them first."""

    PREFER_IPV6 = "prefer_ipv6"
    PREFER_IPV4 = "prefer_ipv4"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Redis(Struct, frozen=True, kw_only=True):
    url: str = ""  # "" starts an embedded Valkey of our own
    partitions: Annotated[int, Meta(ge=1, le=1024)] = 16
    durable: bool = False  # a submission is confirmed when no crash or failover can take it back


class Fleet(Struct, frozen=True, kw_only=True):
    host: str = ""  # "" is this machine's host name
    delivery: Annotated[int, Meta(ge=1, le=256)] = 2
    signers: Annotated[int, Meta(ge=1, le=256)] = 2
    runtime_dir: str = ""
    state_dir: str = ""
    drain_s: Seconds = Seconds(30)


class Net(Struct, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    dns_port: Port = 53
    smtp_port: Port = 25
    ip: IpPreference = IpPreference.PREFER_IPV6
    allow_targets: tuple[str, ...] = ()
    connect_timeout: Seconds = Seconds(30)
    ca_file: str = ""


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long to wait for each reply; the defaults are the floors of RFC 5321 section 4.5.3.2 where it names one."""

    greeting: Seconds = Seconds(5 * _MINUTE)
    ehlo: Seconds = Seconds(5 * _MINUTE)
    starttls: Seconds = Seconds(2 * _MINUTE)
    tls: Seconds = Seconds(_MINUTE)
    mail: Seconds = Seconds(5 * _MINUTE)
    rcpt: Seconds = Seconds(5 * _MINUTE)
    data: Seconds = Seconds(2 * _MINUTE)
    dot: Seconds = Seconds(10 * _MINUTE)
    rset: Seconds = Seconds(20)
    quit: Seconds = Seconds(5)


class Delivery(Struct, frozen=True, kw_only=True):
    pack_size: Annotated[int, Meta(ge=1, le=1000)] = 200
    ahead: Count = 1_000_000
    lookahead: Annotated[int, Meta(ge=1, le=10_000)] = 64
    sessions: Annotated[int, Meta(ge=1, le=50_000)] = 2_000


class Retry(Struct, frozen=True, kw_only=True):
    curve: Annotated[tuple[Seconds, ...], Meta(min_length=1)] = (
        Seconds(5 * _MINUTE),
        Seconds(15 * _MINUTE),
        Seconds(30 * _MINUTE),
        Seconds(_HOUR),
        Seconds(2 * _HOUR),
        Seconds(4 * _HOUR),
    )
    jitter: Annotated[float, Meta(ge=0, le=0.9)] = 0.2
    give_up: Seconds = Seconds(4 * _DAY)
    in_doubt_tries: Annotated[int, Meta(ge=1, le=10)] = 2
    scale: Annotated[float, Meta(gt=0, le=1)] = 1.0


class Journal(Struct, frozen=True, kw_only=True):
    fsync: Literal["never", "second", "always"] = "second"


class Metrics(Struct, frozen=True, kw_only=True):
    address: str = "127.0.0.1"
    port: Port = 9464
    token: str = ""  # what a scraper must say as its bearer token; needed off the loopback
    targets_file: str = ""  # where `penstock run` tells Prometheus (file_sd) which processes there are; empty: nowhere


class Log(Struct, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Events(Struct, frozen=True, kw_only=True):
    keep: Seconds = Seconds(7 * _DAY)  # as long as a finished campaign's id is known


class FileConsumer(Struct, frozen=True, kw_only=True):
    """Events as JSON lines in files of a host."""

    name: ConsumerName
    kind: Literal["file"]
    start: Literal["beginning", "now"] = "beginning"
    directory: str = ""  # "" is events/ in the state directory
    rotate_mb: Annotated[int, Meta(ge=1, le=100_000)] = 100
    rotate_every: Seconds = Seconds(_DAY)  # 0: by size alone
    keep_files: Annotated[int, Meta(ge=1, le=100_000)] = 100  # beside the one that is written


class WebhookConsumer(Struct, frozen=True, kw_only=True):
    """Events by HTTP POST, signed as Standard Webhooks says."""

    name: ConsumerName
    kind: Literal["webhook"]
    url: str
    start: Literal["beginning", "now"] = "beginning"
    secret_file: str = ""  # lines of whsec_..., the newest first
    secret_env: str = ""  # or the environment variable that has them
    format: Literal["array", "lines"] = "array"
    batch_events: Annotated[int, Meta(ge=1, le=10_000)] = 500
    batch_kb: Annotated[int, Meta(ge=1, le=16_384)] = 1024
    connections: Annotated[int, Meta(ge=1, le=64)] = 4
    timeout: Seconds = Seconds(20)
    retry_most: Seconds = Seconds(_MINUTE)
    give_up: Seconds = Seconds(_HOUR)
    directory: str = ""  # of what was given up; "" is events/ in the state directory
    allow_private: bool = False
    ca_file: str = ""


Consumer = FileConsumer | WebhookConsumer
CONSUMERS: dict[str, type[Consumer]] = {"file": FileConsumer, "webhook": WebhookConsumer}  # by kind


class Tokens(Struct, frozen=True, kw_only=True):
    key_file: str = ""  # "" is tokens.key in the state directory


class Suppression(Struct, frozen=True, kw_only=True):
    key_file: str = ""  # "" is suppression.key in the state directory
    automatic: bool = True  # who does not exist, says a receiver, gets no more mail


class KeyFile(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One DKIM key of an identity; the private half stays in its file, for the signer alone to open."""

    selector: str
    file: str
    algorithm: Literal["rsa-sha256", "ed25519-sha256"] = "rsa-sha256"
    from_: date | None = None  # the first day it signs; none: at once
    until: date | None = None  # the first day it no longer signs; none: never


class Identity(Struct, frozen=True, kw_only=True):
    """A domain that signs; its keys all sign, and `also` names other identities whose keys sign as well."""

    domain: str
    keys: tuple[KeyFile, ...] = ()
    message_id_domain: str = ""  # "" is the domain itself
    also: tuple[str, ...] = ()
    signed: bool = True  # false: a relay behind us signs, and mail leaves here unsigned
    warmup: str = NO_WARMUP  # a plan for the domain itself, on all sources together
    canonicalization: Literal["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"] = "relaxed/relaxed"


class SourceTable(Struct, frozen=True, kw_only=True):
    name: str
    ehlo: str
    address: str = ""
    pool: str = "main"
    host: str = ""
    warmup: str | dict[str, str] = NO_WARMUP  # a plan, or plans by receiver with one for `default`


class PenstockFile(Struct, frozen=True, kw_only=True):
    redis: Redis = Redis()
    fleet: Fleet = Fleet()
    net: Net = Net()
    timeouts: Timeouts = Timeouts()
    delivery: Delivery = Delivery()
    retry: Retry = Retry()
    journal: Journal = Journal()
    metrics: Metrics = Metrics()
    log: Log = Log()
    events: Events = Events()
    tokens: Tokens = Tokens()
    suppression: Suppression = Suppression()
    consumer: tuple[Consumer, ...] = ()
    identity: tuple[Identity, ...] = ()


class SourcesFile(Struct, frozen=True, kw_only=True):
    source: tuple[SourceTable, ...] = ()


def deadlines(timeouts: Timeouts, connect_timeout: float) -> dict[Step, float]:
    """Seconds to wait at each step of the dialogue."""
    return {
        Step.CONNECT: float(connect_timeout),
        Step.GREETING: timeouts.greeting,
        Step.EHLO: timeouts.ehlo,
        Step.STARTTLS: timeouts.starttls,
        Step.TLS: timeouts.tls,
        Step.MAIL: timeouts.mail,
        Step.RCPT: timeouts.rcpt,
        Step.DATA: timeouts.data,
        Step.DOT: timeouts.dot,
        Step.RSET: timeouts.rset,
        Step.QUIT: timeouts.quit,
    }
