"""The queue and the store as the scheduler measures them every two seconds."""

from collections.abc import Mapping

from sender.metrics.families import RECEIVER, Families, Label

_BY = "scheduler"


class Depth:
    """Shows what waits, and where it is kept."""

    def declare_depth(self, families: Families) -> None:
        self._receivers = families.receivers
        self._ready_seen: set[tuple[str, ...]] = set()
        self._ready = families.snapshot(
            "penstock_queue_ready_envelopes",
            "Envelopes waiting for a lane, that it may have now.",
            Label("pool", "a pool of `sources.toml`"),
            RECEIVER,
            by=_BY,
        )
        self._held = families.snapshot(
            "penstock_queue_held_envelopes",
            "Envelopes that are not ready.",
            Label(
                "state",
                "leased: a worker has them; later: they wait for their next attempt; aside: their campaign is paused, or waits"
                " for its start, its hours or its rate",
            ),
            by=_BY,
        )
        self._oldest = families.snapshot(
            "penstock_queue_oldest_seconds",
            "Age of the oldest envelope waiting.",
            Label("what", "ready: for a lane; due: its retry time has passed, and it is not yet ready again"),
            by=_BY,
        )
        self._dead = families.snapshot(
            "penstock_queue_dead_entries", "Inbox entries that could not be used and are kept.", by=_BY
        )
        self._declare_store(families)

    def _declare_store(self, families: Families) -> None:
        server = Label("server", "host:port or socket of each server of the store that takes writes")
        texts = {
            "memory_bytes": "Memory that counts towards the store's limit.",
            "memory_limit_bytes": "The store's maxmemory; 0 where it has none.",
            "delayed_fsyncs": "Times the store waited for a slow disk, since its start.",
            "well": "1 where nothing of the store needs an operator, 0 otherwise.",
        }
        self._store = {name: families.snapshot(f"penstock_store_{name}", text, server, by=_BY) for name, text in texts.items()}

    def queue(
        self,
        ready: Mapping[tuple[str, str], int],
        *,
        aside: int,
        leased: int,
        later: int,
        oldest_ready_s: float,
        oldest_due_s: float,
        dead: int,
    ) -> None:
        """The queue as it stands: `ready` is by pool and receiver label, and what it no longer names becomes 0."""
        totals = self._receivers.summed(ready)
        self._ready_seen |= totals.keys()
        self._ready.show({key: totals.get(key, 0) for key in self._ready_seen})
        self._held.show({("leased",): leased, ("later",): later, ("aside",): aside})
        self._oldest.show({("ready",): oldest_ready_s, ("due",): oldest_due_s})
        self._dead.show({(): dead})

    def store(self, servers: Mapping[str, Mapping[str, float]]) -> None:
        """The store as it stands: "memory_bytes", "memory_limit_bytes", "delayed_fsyncs" and "well" by server."""
        for name, snapshot in self._store.items():
            snapshot.show({(server,): figures[name] for server, figures in servers.items()})
