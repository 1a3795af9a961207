"""Where everything is kept in Redis: the names of all keys, and which partition a route belongs to.

Each key has one hash tag, and all keys of one tag live on one node of a Redis Cluster: `{inbox}` for what everybody
shares, `{fleet}` for heartbeats, a campaign's own id for its inbox, `{pNN}` for a partition. No script touches two tags.
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
FINISHED = "penstock:{inbox}:finished"  # zset: campaign -> when its last recipient was seen to be final
LAYOUT = "penstock:{inbox}:layout"
OWNERS = "penstock:{fleet}:owners"


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
    def all(self) -> tuple[str, ...]:
        return (self.spec, self.rows, self.seen, self.done, self.progress, self.staged)


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


class Layout:
    """How many partitions there are; fixed for the life of a store, because routes would no longer be found."""

    def __init__(self, partitions: int) -> None:
        self.partitions = tuple(Partition(number) for number in range(partitions))

    def of(self, route: Route) -> Partition:
        return self._bucket(str(route))

    def home(self, campaign: str) -> Partition:
        """Where recipients are counted that never had a route."""
        return self._bucket(campaign)

    def _bucket(self, text: str) -> Partition:
        return self.partitions[crc32(text.encode()) % len(self.partitions)]

    def __str__(self) -> str:
        return f"version {LAYOUT_VERSION}, {len(self.partitions)} partitions"
