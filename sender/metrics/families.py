"""How metrics are declared: each once, with the values its labels may take and the processes that tell it.

What is declared here is also the table that operators read (`declared`). What happens once a message costs a dictionary
look-up and an addition: the children of a labelled metric are kept.

No label ever carries a recipient's domain: receivers without a profile share the label "other". Callers pass the label, and
the families here hold to it: a name that looks like a rolled-up domain, or one receiver too many, is counted under "other".
All other labels are of us: sources and pools are those of sources.toml, rules those of config/receivers;
the rest is enumerated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sender.metrics.exposition import Exposition
from sender.metrics.tally import Count, Snapshot, Spread, Tally

Kind = TypeVar("Kind")
Made = TypeVar("Made", covariant=True)
Collects = TypeVar("Collects", bound=Collector)

OTHER = "other"
RECEIVERS_KEPT = 200  # labels for this many receivers; shipped profiles are far fewer


@dataclass(frozen=True, slots=True)
class Label:
    """A label and, in words, the values it may take."""

    name: str
    values: str


SOURCE = Label("source", "a name of `sources.toml`")
RECEIVER = Label("receiver", "a profile's name, or `other`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One metric, as it was declared."""

    name: str
    kind: str  # counter, gauge or histogram
    text: str
    labels: Sequence[Label]
    by: str  # the roles whose processes tell it


class _Family(Protocol[Made]):
    """What has a child for each set of label values."""

    def labels(self, *values: str) -> Made: ...


class Receivers:
    """Which receivers have a label of their own: the first so many that were named, and never a domain."""

    def __init__(self) -> None:
        self._seen: set[str] = {OTHER}

    def label(self, receiver: str) -> str:
        if receiver in self._seen:
            return receiver
        if receiver.startswith("~") or len(self._seen) > RECEIVERS_KEPT:
            return OTHER
        self._seen.add(receiver)
        return receiver

    def summed(self, values: Mapping[tuple[str, str], float]) -> dict[tuple[str, ...], float]:
        """The same by their labels, the receiver's being the second: what shares them is added up."""
        totals: dict[tuple[str, ...], float] = {}
        for (first, receiver), value in values.items():
            key = first, self.label(receiver)
            totals[key] = totals.get(key, 0) + value
        return totals


class Children(dict[tuple[str, ...], Kind], Generic[Kind]):
    """A family's children by their label values, made on first use and kept.

    `place` is that of the receiver's label, if it has one: the only label whose values come from outside.
    """

    def __init__(self, family: _Family[Kind], place: int | None, receivers: Receivers) -> None:
        super().__init__()
        self._family, self._place, self._receivers = family, place, receivers

    def __missing__(self, labels: tuple[str, ...]) -> Kind:
        key = self._kept(labels)
        if key != labels:
            return self[key]  # `labels` itself is not stored: the look-up table stays bounded too
        child = self[key] = self._family.labels(*key)
        return child

    def _kept(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The label values that these are counted under."""
        place = self._place
        if place is None:
            return labels
        return (*labels[:place], self._receivers.label(labels[place]), *labels[place + 1 :])


class Families:
    """Where the metrics of one process are declared."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.receivers = Receivers()
        self.declared: list[Declared] = []
        self._registry = registry
        self.exposition = Exposition()
        # Memory, CPU and descriptors: running out of descriptors shows here first.
        self._kept(ProcessCollector(registry=registry))

    def counter(self, name: str, text: str, *labels: Label, by: str) -> Children[Counter]:
        """A counter that any thread may add to."""
        names = self._declare(name, "counter", text, labels, by)
        return self._children(self._kept(Counter(name, text, names, registry=self._registry)), names)

    def tally(self, name: str, text: str, *labels: Label, by: str) -> Children[Count]:
        """A counter of what may happen to every message: the event loop's thread alone adds to it."""
        names = self._declare(name, "counter", text, labels, by)
        return self._children(self._kept(Tally(name, text, names, registry=self._registry)), names)

    def level(self, name: str, text: str, *labels: Label, by: str) -> Children[Count]:
        """A gauge that rises and falls by one: the event loop's thread alone tells it."""
        names = self._declare(name, "gauge", text, labels, by)
        return self._children(self._kept(Tally(name, text, names, registry=self._registry, gauge=True)), names)

    def gauge(self, name: str, text: str, *labels: Label, by: str) -> Children[Gauge]:
        """A gauge that any thread may set."""
        names = self._declare(name, "gauge", text, labels, by)
        return self._children(self._kept(Gauge(name, text, names, registry=self._registry)), names)

    def snapshot(self, name: str, text: str, *labels: Label, by: str) -> Snapshot:
        """A gauge whose series are all told at once; until then there is none, and not a 0 that nobody has measured."""
        names = self._declare(name, "gauge", text, labels, by)
        return self._kept(Snapshot(name, text, names, registry=self._registry))

    def histogram(self, name: str, text: str, buckets: Sequence[float], *, by: str) -> Histogram:
        """A histogram that any thread may add to."""
        self._declare(name, "histogram", text, (), by)
        return self._kept(Histogram(name, text, buckets=buckets, registry=self._registry))

    def spread(self, name: str, text: str, label: Label, buckets: Sequence[float], *, by: str) -> Spread:
        """Histograms of what may happen to every message: the event loop's thread alone adds to them."""
        self._declare(name, "histogram", text, (label,), by)
        return self._kept(Spread(name, text, label.name, buckets, registry=self._registry))

    def _kept(self, family: Collects) -> Collects:
        self.exposition.add(family)
        return family

    def _declare(self, name: str, kind: str, text: str, labels: Sequence[Label], by: str) -> Sequence[str]:
        self.declared.append(Declared(name=name, kind=kind, text=text, labels=labels, by=by))
        return [label.name for label in labels]

    def _children(self, family: _Family[Kind], names: Sequence[str]) -> Children[Kind]:
        place = names.index(RECEIVER.name) if RECEIVER.name in names else None
        return Children(family, place, self.receivers)
