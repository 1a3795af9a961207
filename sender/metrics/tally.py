"""Kinds of metrics of our own: plain additions, and pictures that are replaced as a whole, in Prometheus's form when it asks.

prometheus_client's counters take a lock and five calls for each addition, more than the rest of a message's bookkeeping
together; and its gauges keep whatever they were ever told. These are told by one thread alone, the event loop's; whoever
serves /metrics reads them from another.

Lanes have so many series that writing them out is work too: what stands before a value is the same in every scrape, and kept.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from sender.model import Envelope

_go_string: Callable[[float], str] = floatToGoString  # the library declares no types for it
_TEXTS_SPARE = 1_000  # texts of series that are gone, beyond as many as there are series


class Count:
    """One counter; or a gauge that rises and falls."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def inc(self, amount: int = 1) -> None:
        self.total += amount

    def dec(self) -> None:
        self.total -= 1


class _Texts(dict[tuple[str, ...], str]):
    """What stands before the value, by label values: the name and its labels, escaped."""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        super().__init__()
        self._name, self._labels = name, labels

    def __missing__(self, values: tuple[str, ...]) -> str:
        pairs = sorted(zip(self._labels, values, strict=True))
        labels = ",".join(f'{label}="{_escaped(str(value))}"' for label, value in pairs)
        text = self[values] = f"{self._name}{{{labels}}} " if labels else f"{self._name} "
        return text


class Tally(Collector):
    """A family of counters, or of gauges that rise and fall, one for each set of label values that it was asked for."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry, gauge: bool = False
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._gauge = gauge
        self._counts: dict[tuple[str, ...], Count] = {}
        self._texts = _Texts(name, labels)
        registry.register(self)

    def labels(self, *values: str) -> Count:
        return self._counts.setdefault(values, Count())

    def lines(self, *, openmetrics: bool = False) -> Iterator[str]:
        """The family in Prometheus' text format, or in that of OpenMetrics."""
        name = self._name.removesuffix("_total") if openmetrics else self._name
        yield from _head(name, self._text, "gauge" if self._gauge else "counter")
        texts = self._texts
        for values, count in self._counts.copy().items():
            yield f"{texts[values]}{_number(count.total)}\n"

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        kind = GaugeMetricFamily if self._gauge else CounterMetricFamily
        family = kind(self._name, self._text, labels=self._labels)
        for values, count in self._counts.copy().items():
            family.add_metric([str(value) for value in values], count.total)
        yield family


class Distribution:
    """One histogram."""

    __slots__ = ("_bounds", "_whose", "_worst", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # up to each bound, and beyond the last
        self.total = 0.0
        self._worst, self._whose = 0.0, ""

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def observe_of(self, value: float, envelope: Envelope) -> None:
        """The same; the envelope with the largest value since the last scrape is an example for whoever looks for one."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value
        if value > self._worst:
            self._worst, self._whose = value, envelope.id

    def example(self) -> tuple[int, Exemplar] | None:
        """The worst since this was last asked, and in which bucket it is."""
        value, whose = self._worst, self._whose
        self._worst, self._whose = 0.0, ""
        return (bisect_left(self._bounds, value), Exemplar({"envelope": whose}, value)) if whose else None


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
        names = [*map(_go_string, self._bounds), "+Inf"]
        for value, distribution in self._distributions.copy().items():
            buckets: list[Any] = list(zip(names, accumulate(distribution.counts.copy()), strict=True))
            if (example := distribution.example()) is not None:
                buckets[example[0]] += (example[1],)  # shown in OpenMetrics, the text format has no place for it
            family.add_metric([str(value)], buckets, distribution.total)
        yield family


class Snapshot(Collector):
    """A family of gauges that is told as a whole: what is not named any more is gone, and before it is told there is nothing.

    A scrape sees the picture before or the one after, never half of one.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._values: Mapping[tuple[str, ...], float] = {}
        self._texts = _Texts(name, labels)
        registry.register(self)

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """From now on these, by their label values, and no others; the caller changes them no more."""
        self._values = values

    def lines(self, *, openmetrics: bool = False) -> Iterator[str]:
        """The family in Prometheus' text format, or in that of OpenMetrics."""
        yield from _head(self._name, self._text, "gauge")
        values, texts = self._values, self._texts
        for key, value in values.items():
            yield f"{texts[key]}{_number(value)}\n"
        if len(texts) > 2 * len(values) + _TEXTS_SPARE:
            self._texts = _Texts(self._name, self._labels)  # of series that are gone

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for values, value in self._values.items():
            family.add_metric([str(each) for each in values], value)
        yield family


def _head(name: str, text: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {text}\n", f"# TYPE {name} {kind}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """As floatToGoString writes it; nearly all are small."""
    if -1e6 < value < 1e6:
        return repr(float(value))
    return _go_string(value)
