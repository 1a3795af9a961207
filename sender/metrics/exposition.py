"""What a scrape is answered: Prometheus' text format, or OpenMetrics where the scraper asks for it.

The library takes some 10 µs for each line, which is a second for the lanes of a large fleet. What has a series for each lane
writes itself, much faster; the rest is left to the library. The two formats differ in the heads of counters alone, and in the
end, which the library writes.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sender.metrics.tally import Snapshot, Tally


class Exposition:
    """All metrics of a process as they are read."""

    def __init__(self) -> None:
        self._written: list[Tally | Snapshot] = []
        self._others = CollectorRegistry()

    def add(self, family: Collector) -> None:
        if isinstance(family, Tally | Snapshot):
            self._written.append(family)
        else:
            self._others.register(family)

    def answer(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for who accepts this."""
        encode, content_type = choose_encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        lines = "".join(line for family in self._written for line in family.lines(openmetrics=openmetrics))
        return content_type, lines.encode() + encode(_WithoutCreated(self._others))


class _WithoutCreated(Collector):
    """A registry without the `_created` times: a second line for every series, which nothing of ours reads."""

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
