"""Counters and histograms of what happens to every message: plain additions, put into Prometheus's form when it asks.

prometheus_client's own take a lock and five calls for each addition, more than the rest of a message's bookkeeping together.
These are added to by one thread alone, the event loop's; whoever serves /metrics reads them from another.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """One counter."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def inc(self) -> None:
        self.total += 1


class Tally(Collector):
    """A family of counters, one for each set of label values that it was asked for."""

    def __init__(self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        return self._counts.setdefault(values, Count())

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._counts.copy().items():
            family.add_metric([str(value) for value in values], count.total)
        yield family


class Distribution:
    """One histogram."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # up to each bound, and beyond the last
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Spread(Collector):
    """A family of histograms with one label."""

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float], *, registry: CollectorRegistry) -> None:
        self._name, self._text, self._label, self._bounds = name, text, label, bounds
        self._distributions: dict[str, Distribution] = {}
        registry.register(self)

    def labels(self, value: str) -> Distribution:
        return self._distributions.setdefault(value, Distribution(self._bounds))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for value, distribution in self._distributions.copy().items():
            buckets = list(zip(names, accumulate(distribution.counts.copy()), strict=True))
            family.add_metric([str(value)], buckets, distribution.total)
        yield family
