"""Where everything is kept in Redis: the names of all keys, and which partition a route belongs to.

Each key has one hash tag, and all keys of one tag live on one node of a Redis Cluster: `{inbox}` for what everybody
shares, `{fleet}` for owners, `{suppress}` for suppressions, `{warmup}` for what stands of it and `{warmup:<account>}` for each
shared account, a campaign's own id for its inbox, `{pNN}` for a partition. No script touches two tags.
"""

from dataclasses import dataclass
from zlib import crc32

from sender.model import Route

LAYOUT_VERSION = 1

CAMPAIGNS = "penstock:{inbox}:campaigns"
DEAD = "penstock:{inbox}:dead"
KNOWN = "penstock:{inbox}:known"
OPEN = "penstock:{inbox}:open"
ENDED = "penstock:{inbox}:ended"  # zset: campaign without more to expand -> when to look whether it is finished
FINISHED = "penstock:{inbox}:finished"  # zset: campaign -> when its last recipient was seen to be final; see lua/old.lua
SCHEDULED = "penstock:{inbox}:scheduled"  # set: unfinished campaigns with start, windows, deadline or rate
CONTROL = "penstock:{inbox}:control"  # hash: see lua/control.lua
LAYOUT = "penstock:{inbox}:layout"
MEMBERS = "penstock:{fleet}:members"
FENCED = "penstock:{fleet}:fenced"
REPORTERS = "penstock:{fleet}:reporters"  # owners that say what their lanes do
LANE_HOLDS = "penstock:{fleet}:holds"  # hash: "source/receiver", either of them "*", to an operator's word
SUPPRESSED = "penstock:{suppress}:all"  # hash: see lua/suppress.lua
SUPPRESSED_OF = "penstock:{suppress}:list:"  # and a list's name: the same for that list
SUPPRESSION_LISTS = "penstock:{suppress}:lists"
SUPPRESSION_EXPIRY = "penstock:{suppress}:expiring"
SUPPRESSION_NEWS = "penstock:{suppress}:news"
SUPPRESSION_TOLD = "penstock:{suppress}:told"
SUPPRESSION_MARK = "penstock:{suppress}:mark"  # string: under which key its digests are made
PROGRESS = "penstock:{warmup}:progress"  # hash: see lua/change_progress.lua
AUDIT = "penstock:{warmup}:audit"  # stream: the same
AUDIT_TOLD = "penstock:{warmup}:told"  # text: the last entry of it that the events have heard of
ACCOUNTS = "penstock:{warmup}:accounts"  # set: shared accounts that have had a cap


def account(name: str) -> str:
    """What a shared account counts."""
    return f"penstock:{{warmup:{name}}}:account"


def lanes(owner: str) -> str:
    """What an owner's lanes do."""
    return f"penstock:{{fleet}}:lanes:{owner}"


@dataclass(frozen=True, slots=True)
class CampaignKeys:
    """What belongs to one campaign alone."""

    campaign: str

    @property
    def spec(self) -> str:
        return f"penstock:{{{self.campaign}}}:spec"

    @property
    def rows(self) -> str:
        return f"penstock:{{{self.campaign}}}:rows"

    @property
    def seen(self) -> str:
        return f"penstock:{{{self.campaign}}}:seen"

    @property
    def done(self) -> str:
        return f"penstock:{{{self.campaign}}}:done"

    @property
    def progress(self) -> str:
        return f"penstock:{{{self.campaign}}}:progress"

    @property
    def staged(self) -> str:
        return f"penstock:{{{self.campaign}}}:staged"

    @property
    def rate(self) -> str:
        return f"penstock:{{{self.campaign}}}:rate"

    def fates(self, segment: int) -> str:
        return f"penstock:{{{self.campaign}}}:fates:{segment}"

    @property
    def all(self) -> tuple[str, ...]:
        return (self.spec, self.rows, self.seen, self.done, self.progress, self.staged, self.rate)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: a fixed bucket of routes; `prefix` starts all its keys (lua/route.lua lists them)."""

    number: int

    @property
    def prefix(self) -> str:
        return f"penstock:{{p{self.number:02}}}:"

    def key(self, name: str) -> str:
        return self.prefix + name

    def count(self, campaign: str) -> str:
        return f"{self.prefix}count:{campaign}"

    def of(self, campaign: str) -> tuple[str, ...]:
        """The keys that forget.lua declares: all that can be left of a campaign of which nothing waits."""
        own = tuple(self.key(f"{name}:{campaign}") for name in ("count", "where", "later", "aside"))
        return (*own, *map(self.key, ("holds", "budget", "asides", "due")))

    def doubts(self, campaign: str) -> tuple[str, str, str, str]:
        """The keys that scripts about parked envelopes declare."""
        return self.key(f"doubts:{campaign}"), self.key("doubted"), self.key("waiting"), self.count(campaign)


class Layout:
    """How many partitions there are; fixed for the life of a store, because routes would no longer be found."""

    def __init__(self, partitions: int) -> None:
        self.partitions = tuple(Partition(number) for number in range(partitions))

    def of(self, route: Route) -> Partition:
        """A source's own route lies beside the one that it shares."""
        return self._bucket(str(route.shared))

    def home(self, campaign: str) -> Partition:
        """Where recipients are counted that never had a route."""
        return self._bucket(campaign)

    def _bucket(self, text: str) -> Partition:
        return self.partitions[crc32(text.encode()) % len(self.partitions)]

    def __str__(self) -> str:
        return f"version {LAYOUT_VERSION}, {len(self.partitions)} partitions"
