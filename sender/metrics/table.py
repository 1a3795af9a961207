"""The table of all metrics for people, out of their declarations: deploy/prometheus/METRICS.md."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from sender.metrics import Metrics
from sender.metrics.families import Declared, Label

_SHARED_BY = 3  # metrics; a label that so many have is explained once

_HEAD = """\
# Metrics

Written by `make metrics` from the declarations in [sender/metrics](../../sender/metrics); a test fails where the two differ.
Every process shows the names of all; values come only from the roles in the last column. Names end in their unit,
counters in `_total`; times are in seconds. A histogram has `_bucket`, `_sum` and `_count`. Where a gauge has no series,
nobody has measured it, or what it told of is gone.

The number of series is bounded: sources, pools, rules and consumers are those of the configuration, receivers those
with a profile (at most 200; the rest share `other`), campaigns the 50 that moved last, and everything else is listed.
No recipient's address or domain is ever a label.
"""


def page() -> str:
    """The whole page."""
    metrics = Metrics()
    uses = Counter(label for each in metrics.declared for label in each.labels).most_common()
    shared = {label.name: label for label, count in reversed(uses) if count >= _SHARED_BY}.values()
    return "\n".join([_HEAD, *_labels(shared), "", *_rows(metrics.declared, shared), *_process(metrics), ""])


def _labels(shared: Collection[Label]) -> Iterator[str]:
    yield "| label | its values, unless a row says otherwise |"
    yield "| --- | --- |"
    yield from sorted(f"| `{label.name}` | {label.values} |" for label in shared)


def _rows(declared: Sequence[Declared], shared: Collection[Label]) -> Iterator[str]:
    yield "| metric | type | labels | meaning | told by |"
    yield "| --- | --- | --- | --- | --- |"
    for each in declared:
        labels = "; ".join(
            f"`{label.name}`" if label in shared else f"`{label.name}` ({label.values})" for label in each.labels
        )
        yield f"| `{each.name}` | {each.kind} | {labels} | {each.text} | {each.by} |"


def _process(metrics: Metrics) -> Iterator[str]:
    """What prometheus_client tells of any process."""
    for family in metrics.registry.collect():
        if family.name.startswith("process_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            yield f"| `{name}` | {family.type} | | {family.documentation} | every process with a port |"
