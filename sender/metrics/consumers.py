"""Who follows the events, by consumer: a name of the configuration, so that the label is bounded."""

from sender.metrics.families import Families, Label

_BY = "consumer"
_CONSUMER = Label("consumer", "a name of `penstock.toml`")
_OUTCOMES = ("done", "retried", "dead")


class Consumers:
    """Shows how far consumers are behind, and counts what they were given."""

    def declare_consumers(self, families: Families) -> None:
        self._lag_entries = families.gauge(
            "penstock_consumer_lag_entries",
            "Entries of the events streams that a consumer has not acknowledged.",
            _CONSUMER,
            by=_BY,
        )
        self._lag_seconds = families.gauge(
            "penstock_consumer_lag_seconds",
            "How long ago the oldest of them was stored; 0 where there is none.",
            _CONSUMER,
            by=_BY,
        )
        self._lost_entries = families.counter(
            "penstock_consumer_lost_entries_total",
            "Entries that were gone before a consumer had dealt with them.",
            _CONSUMER,
            by=_BY,
        )
        self._given = families.counter(
            "penstock_consumer_events_total",
            "Events given to a consumer.",
            _CONSUMER,
            Label(
                "outcome", "done; retried: it could not be taken, and is tried again; dead: given up, and kept for an operator"
            ),
            by=_BY,
        )

    def consumer_known(self, consumer: str) -> None:
        """It is there, and all its counters with it: one that begins with its first increase shows none."""
        self._lost_entries[(consumer,)].inc(0)
        for outcome in _OUTCOMES:
            self._given[consumer, outcome].inc(0)

    def consumer_lag(self, consumer: str, *, entries: int, seconds: float) -> None:
        """How far it is behind."""
        self._lag_entries[(consumer,)].set(entries)
        self._lag_seconds[(consumer,)].set(seconds)

    def consumer_lost(self, consumer: str, entries: int) -> None:
        """So many had gone before it read them."""
        self._lost_entries[(consumer,)].inc(entries)

    def consumer_events(self, consumer: str, outcome: str, count: int) -> None:
        """So many events ended this way: "done", "retried" or "dead"."""
        self._given[consumer, outcome].inc(count)
