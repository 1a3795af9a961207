"""A dashboard's file read as Grafana reads it: its panels, their queries, and what stands for the variables.

Used by whatever has to ask Prometheus what Grafana would ask: the tests, and the pictures.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question to Prometheus: of a panel, of a variable's choices, or of an annotation."""

    where: str  # "fleet: Delivered (A)", for whoever has to find it
    expression: str
    legend: str = ""
    reference: str = ""
    is_instant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel that shows something; rows have no queries and are none."""

    title: str
    kind: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    queries: tuple[Query, ...]
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One file."""

    name: str
    title: str
    raw: Mapping[str, Any]

    @property
    def panels(self) -> list[Panel]:
        return [_panel(self.name, each) for each in self.raw["panels"] if each["type"] != "row"]

    @property
    def variables(self) -> list[Query]:
        """What fills the choices of each variable that asks Prometheus; `reference` is its name."""
        return [
            Query(where=f"{self.name}: ${each['name']}", expression=each["query"], reference=each["name"])
            for each in self.raw["templating"]["list"]
            if each["type"] == "query"
        ]

    @property
    def annotations(self) -> list[Query]:
        return [
            Query(where=f"{self.name}: {each['name']}", expression=each["expr"], legend=each["titleFormat"])
            for each in self.raw["annotations"]["list"]
        ]

    @property
    def queries(self) -> Iterator[Query]:
        """Those of the panels."""
        for panel in self.panels:
            yield from panel.queries


def read(path: Path) -> Dashboard:
    """The dashboard in this file."""
    raw = json.loads(path.read_text())
    return Dashboard(name=path.stem, title=raw["title"], raw=raw)


def substituted(expression: str, values: Mapping[str, str]) -> str:
    """The expression with each variable's value in its place, as `$name` and as `${name}`; KeyError for an unknown one."""
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], expression)


def used(expression: str) -> set[str]:
    """The variables in an expression, built-in ones too."""
    return {found[1] or found[2] for found in _VARIABLE.finditer(expression)}


def _panel(name: str, raw: Mapping[str, Any]) -> Panel:
    grid = raw["gridPos"]
    return Panel(
        title=raw["title"],
        kind=raw["type"],
        unit=raw["fieldConfig"]["defaults"].get("unit", ""),
        x=grid["x"],
        y=grid["y"],
        width=grid["w"],
        height=grid["h"],
        queries=tuple(_query(f"{name}: {raw['title']}", each) for each in raw["targets"]),
        raw=raw,
    )


def _query(where: str, raw: Mapping[str, Any]) -> Query:
    return Query(
        where=f"{where} ({raw['refId']})",
        expression=raw["expr"],
        legend=raw["legendFormat"],
        reference=raw["refId"],
        is_instant=raw["instant"],
    )
