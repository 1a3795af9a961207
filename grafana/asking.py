"""What a dashboard asks of Prometheus, asked: variables as Grafana fills them, and one answer for each query."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from grafana.reading import Dashboard, Panel, Query, substituted

_ANSWER_S = 30.0
_POINTS = 160  # of a line: about as many as a panel has pixels to tell apart
_NAME = re.compile(r"{{\s*(\w+)\s*}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line or one row: its labels, the name that the legend gives it, and its values by Unix time, oldest first."""

    labels: Mapping[str, str]
    name: str
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        return self.points[-1][1]

    @property
    def most(self) -> float:
        return max((value for _, value in self.points if value == value), default=float("nan"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is shown of time: Unix seconds, and the seconds between Prometheus's scrapes."""

    start: float
    end: float
    scrape_s: float

    @property
    def step(self) -> float:
        return max(self.scrape_s, (self.end - self.start) / _POINTS)

    @property
    def built_in(self) -> dict[str, str]:
        """What Grafana puts for its own variables: a rate sees four scrapes at the least."""
        seconds = max(4 * self.scrape_s, self.step + self.scrape_s)
        return {"__rate_interval": f"{seconds:.0f}s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A panel with its data: for each query what it returned."""

    panel: Panel
    answers: Sequence[tuple[Query, Sequence[Series]]]

    @property
    def series(self) -> list[Series]:
        return [each for _, found in self.answers for each in found]


@dataclass(slots=True)
class Asker:
    """One Prometheus, one span of time, one choice for each variable."""

    url: str
    span: Span
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)  # variables with a choice of one's own; others: all

    def shown(self, dashboard: Dashboard) -> list[Shown]:
        """Every panel with what its queries return."""
        values = self.values(dashboard)
        return [
            Shown(panel=panel, answers=[(query, self._answer(query, values)) for query in panel.queries])
            for panel in dashboard.panels
        ]

    def marks(self, dashboard: Dashboard) -> list[tuple[str, Sequence[Series]]]:
        """What each annotation found, with its colour."""
        values = self.values(dashboard)
        return [
            (raw["iconColor"], self._answer(query, values))
            for raw, query in zip(dashboard.raw["annotations"]["list"], dashboard.annotations, strict=True)
        ]

    def values(self, dashboard: Dashboard) -> dict[str, str]:
        """What stands for each variable: of several values, one regular expression that matches each."""
        values = self.span.built_in
        for raw in dashboard.raw["templating"]["list"]:
            if raw["type"] == "query":
                name = raw["name"]
                values[name] = _any_of(self.chosen[name]) if name in self.chosen else self._all(raw, values)
        return values

    def choices(self, query: str, values: Mapping[str, str]) -> list[str]:
        """The values that a variable may take, as `label_values(SELECTOR, LABEL)` says."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found, query
        answer = self._ask(
            f"label/{found[2]}/values", **{"match[]": substituted(found[1], values), "start": str(self.span.start)}
        )
        return [str(value) for value in answer]

    def _all(self, raw: Mapping[str, Any], values: Mapping[str, str]) -> str:
        if not raw["includeAll"]:
            return re.escape(next(iter(self.choices(raw["query"], values)), ""))
        return str(raw["allValue"]) if "allValue" in raw else _any_of(self.choices(raw["query"], values))

    def _answer(self, query: Query, values: Mapping[str, str]) -> list[Series]:
        expression = substituted(query.expression, values)
        if query.is_instant:
            found = self._ask("query", query=expression, time=str(self.span.end))["result"]
        else:
            span = {"start": str(self.span.start), "end": str(self.span.end), "step": str(self.span.step)}
            found = self._ask("query_range", query=expression, **span)["result"]
        return [_series(query.legend, each) for each in found]

    def _ask(self, what: str, **words: str) -> Any:
        url = f"{self.url}/api/v1/{what}?{urlencode(words)}"
        try:
            with urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310 - the address is an argument of the command
                return json.load(answer)["data"]
        except HTTPError as answer:
            with answer:
                raise ValueError(f"Prometheus refuses {words}: {json.load(answer)['error']}") from None


def _any_of(values: Sequence[str]) -> str:
    return "(" + "|".join(re.escape(value) for value in values) + ")"


def _series(legend: str, raw: Mapping[str, Any]) -> Series:
    labels = raw["metric"]
    name = _NAME.sub(lambda found: labels.get(found[1], ""), legend).strip()
    points = raw["values"] if "values" in raw else [raw["value"]]
    return Series(labels=labels, name=name, points=[(float(at), float(value)) for at, value in points])
