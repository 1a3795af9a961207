"""How the store stands: what its servers say of themselves, what of that keeps Penstock from starting, and what is a worry.

Everything is read from INFO, which every server and every hosted one answers. Redis 7.0 and Valkey say the same names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sender.errors import ConfigError

HIGH_WATER = 0.9  # share of maxmemory from which submissions are refused: the rest is for what delivery needs to empty it
_LOSSLESS = "noeviction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One server of the store, as it stands now."""

    server: str  # its address
    master: bool
    replicas: int  # that follow it now
    aof: bool  # it keeps an append-only file
    aof_well: bool  # it could write and rewrite that file the last time it tried
    delayed_fsyncs: int  # times it waited for a slow disk since its start
    snapshot_well: bool
    used: int  # octets that count towards `limit`
    limit: int  # maxmemory; 0: none
    policy: str  # maxmemory-policy

    @property
    def share(self) -> float:
        """How full it is; 0 where it has no limit of its own."""
        return self.used / self.limit if self.limit else 0.0

    def flaw(self) -> str:
        """Why nothing may be entrusted to this server, naming the setting; "" where it is fit."""
        if not self.master:
            return f"{self.server} is a replica: name its master, or its Sentinels (redis+sentinel://)"
        if self.policy != _LOSSLESS:
            why = "it deletes queued mail when its memory is full"
            return f"{self.server} has maxmemory-policy {self.policy}: {why}; set maxmemory-policy {_LOSSLESS}"
        return ""

    def worries(self) -> Iterator[str]:
        """What an operator should look at; sending goes on."""
        if not self.aof:
            yield f"{self.server} has appendonly no: when it ends, it loses all that its last snapshot has not"
        elif not self.aof_well:
            yield f"{self.server} can't write its append-only file: look for a full disk, and at its log"
        if not self.snapshot_well:
            yield f"{self.server} could not write its last snapshot: look for a full disk, and at its log"
        if self.share >= HIGH_WATER:
            yield f"{self.server} is over {HIGH_WATER:.0%} of its maxmemory: submissions wait until delivery has drained it"

    def fullness(self) -> str:
        return f"the store is {self.share:.0%} full ({self.server}: {_mega(self.used)} of maxmemory {_mega(self.limit)})"


class Standings(Protocol):
    """The part of a queue that knows its servers."""

    async def standing(self) -> Sequence[Standing]:
        """All servers that take writes; none where the queue is this process's own memory."""


def standing(server: str, info: bytes) -> Standing:
    """Read an answer to INFO; what a server does not say is taken to be well."""
    said = fields(info)
    return Standing(
        server=server,
        master=said.get("role", "master") == "master",
        replicas=int(said.get("connected_slaves", 0)),
        aof=said.get("aof_enabled", "1") == "1",
        aof_well=all(said.get(f"aof_last_{what}_status", "ok") == "ok" for what in ("write", "bgrewrite")),
        delayed_fsyncs=int(said.get("aof_delayed_fsync", 0)),
        snapshot_well=said.get("rdb_last_bgsave_status", "ok") == "ok",
        used=int(said.get("used_memory", 0)) - int(said.get("mem_not_counted_for_evict", 0)),
        limit=int(said.get("maxmemory", 0)),
        policy=said.get("maxmemory_policy", _LOSSLESS),
    )


def fields(info: bytes) -> dict[str, str]:
    """INFO's lines by name."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines}


def check(standings: Sequence[Standing]) -> None:
    """Raises ConfigError where a server is unfit to hold a queue."""
    for each in standings:
        if why := each.flaw():
            raise ConfigError("redis", "url", why)


def _mega(octets: int) -> str:
    return f"{octets / 1_000_000:,.1f} MB"
