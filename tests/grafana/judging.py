"""What is wrong with a dashboard, in words: all that Grafana would show as an empty or misplaced panel without a word."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry

from grafana.reading import Dashboard, Panel, used
from sender.metrics import Metrics

ROOT = Path(__file__).parent.parent.parent
_SCHEMA = Draft202012Validator(json.loads((Path(__file__).parent / "schema.json").read_text()))
_COLUMNS = 24

_BUILT_IN = {"__rate_interval", "__url_time_range", "__value"}
_OF_PROMETHEUS = {"up", "ALERTS", "ALERTS_FOR_STATE"}
# What is no name of a series: strings, matchers, ranges, lists of labels, and the label that `label_values` is asked for.
_ASIDE = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|ignoring|without|group_left|group_right) ?\([^)]*\)|, \w+\)$', re.DOTALL
)
_WORD = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_OPERATORS = {"Inf", "group_left", "or", "and", "unless", "offset", "ignoring", "on", "by", "bool"}


def faults(dashboard: Dashboard, uids: set[str]) -> list[str]:
    """All that is wrong with it; `uids` are those of all dashboards."""
    return sorted({*_schema(dashboard), *_grid(dashboard), *_names(dashboard), *_columns(dashboard), *_links(dashboard, uids)})


def known_metrics() -> set[str]:
    """Every name that a query may have: samples of our registry, recording rules, and what Prometheus tells itself."""
    registry = CollectorRegistry()
    Metrics(registry)
    names = set(_OF_PROMETHEUS)
    for family in registry.collect():
        names |= {sample.name for sample in family.samples} | {family.name}
        names |= {
            family.name + ending
            for ending in {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [])
        }
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
    return names | set(re.findall(r"- record: (\S+)", rules))


def metrics_in(expression: str) -> set[str]:
    """The names of series in an expression."""
    words = _WORD.findall(_ASIDE.sub(" ", expression))
    return set(words) - _OPERATORS


def _schema(dashboard: Dashboard) -> Iterator[str]:
    for error in _SCHEMA.iter_errors(dashboard.raw):
        yield f"{error.json_path}: {error.message[:200]}"


def _grid(dashboard: Dashboard) -> Iterator[str]:
    raw = dashboard.raw["panels"]
    for first, second in combinations(raw, 2):
        if _overlap(first["gridPos"], second["gridPos"]):
            yield f"{first['title']} and {second['title']} overlap"
    for panel in raw:
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > _COLUMNS:
            yield f"{panel['title']} is wider than the page"
    for number, times in Counter(panel["id"] for panel in raw).items():
        if times > 1:
            yield f"{times} panels have the id {number}"


def _overlap(first: dict[str, int], second: dict[str, int]) -> bool:
    beside = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
    below = first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
    return not (beside or below)


def _names(dashboard: Dashboard) -> Iterator[str]:
    """Variables that nobody defines or uses, and metrics that nobody has."""
    defined = {each["name"] for each in dashboard.raw["templating"]["list"]}
    asked = [*dashboard.queries, *dashboard.variables, *dashboard.annotations]
    known = known_metrics()
    for query in asked:
        for name in used(query.expression) - defined - _BUILT_IN:
            yield f"{query.where}: no variable ${name}"
        for name in metrics_in(query.expression) - known:
            yield f"{query.where}: no metric {name}"
    for name in defined - {"datasource"} - {name for query in dashboard.queries for name in used(query.expression)}:
        yield f"no panel uses ${name}"


def _columns(dashboard: Dashboard) -> Iterator[str]:
    """A table's overrides and order speak of columns; a legend, of labels that the query keeps."""
    for panel in dashboard.panels:
        if panel.kind == "table":
            titles = set(_renamed(panel.raw).values())
            spoken = [each["matcher"]["options"] for each in panel.raw["fieldConfig"]["overrides"]]
            spoken += [each["displayName"] for each in panel.raw["options"]["sortBy"]]
            yield from (f"{panel.title}: no column {name}" for name in spoken if name not in titles)
        yield from _legends(panel)


def _renamed(panel: Mapping[str, Any]) -> dict[str, str]:
    names: dict[str, str] = next(
        each["options"]["renameByName"] for each in panel["transformations"] if each["id"] == "organize"
    )
    return names


def _legends(panel: Panel) -> Iterator[str]:
    for query in panel.queries:
        for label in re.findall(r"{{(\w+)}}", query.legend):
            if "by (" in query.expression and label not in query.expression:
                yield f"{panel.title}: the query has no label {label}"
    if panel.kind == "timeseries" and not all(query.legend for query in panel.queries):
        yield f"{panel.title}: a line without a name"


def _links(dashboard: Dashboard, uids: set[str]) -> Iterator[str]:
    for uid in re.findall(r"/d/([\w-]+)", json.dumps(dashboard.raw)):
        if uid not in uids:
            yield f"a link leads to {uid}, which is no dashboard"
