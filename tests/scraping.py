"""What a running process serves Prometheus, read as Prometheus reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Observations up to and including each bound, over all label values; the last bound is infinity."""

    counts: Mapping[float, float]

    @property
    def count(self) -> float:
        return max(self.counts.values(), default=0.0)

    def __sub__(self, earlier: "Histogram") -> "Histogram":
        """What was observed since then."""
        return Histogram(counts={bound: count - earlier.counts.get(bound, 0.0) for bound, count in self.counts.items()})

    def __add__(self, other: "Histogram") -> "Histogram":
        bounds = self.counts.keys() | other.counts.keys()
        return Histogram(counts={bound: self.counts.get(bound, 0.0) + other.counts.get(bound, 0.0) for bound in bounds})

    def quantile(self, share: float) -> float:
        """As PromQL's histogram_quantile: within a bucket all are taken to lie evenly; NaN where there are none."""
        wanted = self.count * share
        for (below, before), (bound, count) in pairwise([(0.0, 0.0), *sorted(self.counts.items())]):
            if count >= wanted and count > before:
                return below if bound == float("inf") else below + (bound - below) * (wanted - before) / (count - before)
        return float("nan")


NOTHING = Histogram(counts={})


def value(port: int, name: str, **labels: str) -> float | None:
    """One sample of the process that serves this port of the loopback; None where it shows none."""
    for family in text_string_to_metric_families(_scraped(port)):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def histogram(port: int, name: str, **labels: str) -> Histogram:
    """One histogram of the process that serves this port of the loopback, of all children that have these labels."""
    counts: dict[float, float] = {}
    for family in text_string_to_metric_families(_scraped(port)):
        for sample in family.samples:
            if sample.name == f"{name}_bucket" and labels.items() <= sample.labels.items():
                bound = float(sample.labels["le"])
                counts[bound] = counts.get(bound, 0.0) + sample.value
    return Histogram(counts=counts)


def _scraped(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_ANSWER_S) as answer:
        text: str = answer.read().decode()
    return text
