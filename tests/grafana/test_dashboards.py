"""The dashboards: the committed files are what their source says, and nothing is wrong with any."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from grafana.dashboards.all import JSON, files
from grafana.reading import Dashboard, read, substituted
from sender.metrics import Metrics
from tests.grafana.judging import ROOT, faults, metrics_in

DASHBOARDS = [read(path) for path in sorted(JSON.glob("*.json"))]
UIDS = {each.raw["uid"] for each in DASHBOARDS}


def test_the_committed_files_are_what_the_source_says() -> None:
    committed = {path.name: path.read_text() for path in JSON.iterdir()}
    assert committed == files(), "run make dashboards"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_nothing_is_wrong_with_a_dashboard(dashboard: Dashboard) -> None:
    assert faults(dashboard, UIDS) == []


def test_each_dashboard_has_an_address_of_its_own() -> None:
    assert len(UIDS) == len(DASHBOARDS)


def test_every_metric_of_the_engine_is_on_a_panel_by_itself_or_by_a_rule() -> None:
    shown = {name for dashboard in DASHBOARDS for query in dashboard.queries for name in metrics_in(query.expression)}
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
    registry = CollectorRegistry()
    Metrics(registry)
    families = {family.name for family in registry.collect() if family.name.startswith("penstock_")}
    assert {name for name in families if name not in rules and not any(one.startswith(name) for one in shown)} == set()


def test_every_recording_rule_is_on_a_panel_or_in_an_alert() -> None:
    """What nobody reads is work for Prometheus at each evaluation."""
    shown = {name for dashboard in DASHBOARDS for query in dashboard.queries for name in metrics_in(query.expression)}
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    recorded = re.findall(r"- record: (\S+)", (ROOT / "deploy/prometheus/rules.yml").read_text())
    assert [name for name in recorded if name not in shown and name not in alerts] == []


Change = Callable[[dict[str, Any]], None]


def _first(raw: dict[str, Any], kind: str) -> dict[str, Any]:
    panel: dict[str, Any] = next(each for each in raw["panels"] if each["type"] == kind)
    return panel


def _target(raw: dict[str, Any], expression: str) -> None:
    _first(raw, "timeseries")["targets"][0]["expr"] = expression


PLANTED: list[tuple[str, Change, str]] = [
    ("a key that Grafana does not know", lambda raw: raw["panels"][0].update(unti="s"), "'unti' was unexpected"),
    ("no unit", lambda raw: raw["panels"][0]["fieldConfig"]["defaults"].pop("unit"), "'unit' is a required property"),
    ("no description", lambda raw: raw["panels"][0].pop("description"), "'description' is a required property"),
    ("an empty description", lambda raw: raw["panels"][0].update(description=""), "is too short"),
    ("a unit that is none", lambda raw: raw["panels"][0]["fieldConfig"]["defaults"].update(unit="sec"), "'sec' is not one of"),
    ("an id twice", lambda raw: raw["panels"][1].update(id=1), "2 panels have the id 1"),
    ("one panel over another", lambda raw: raw["panels"][1]["gridPos"].update(x=0), "overlap"),
    ("a panel beside the page", lambda raw: raw["panels"][1]["gridPos"].update(x=21, w=4, y=900), "wider than the page"),
    ("an unknown variable", lambda raw: _target(raw, 'up{job=~"$jobs"}'), "no variable $jobs"),
    (
        "an unknown metric",
        lambda raw: _target(raw, "sum by (outcome) (penstock_atempts_total)"),
        "no metric penstock_atempts_total",
    ),
    ("an unknown rule", lambda raw: _target(raw, 'job:penstock_dns:ratio{job="x"} > 0'), "no metric job:penstock_dns:ratio"),
    (
        "a data source of somebody's own",
        lambda raw: raw["panels"][0]["datasource"].update(uid="P1809F7CD0C75ACF3"),
        "was expected",
    ),
    (
        "a column that is none",
        lambda raw: _first(raw, "table")["options"]["sortBy"][0].update(displayName="Age"),
        "no column Age",
    ),
    (
        "a legend by a label that the query drops",
        lambda raw: _first(raw, "timeseries")["targets"][0].update(legendFormat="{{pool}}"),
        "the query has no label pool",
    ),
    ("a line without a name", lambda raw: _first(raw, "timeseries")["targets"][0].update(legendFormat=""), "without a name"),
    (
        "a variable that no panel uses",
        lambda raw: raw["templating"]["list"].append({**raw["templating"]["list"][1], "name": "campaign"}),
        "no panel uses $campaign",
    ),
    (
        "a link to nowhere",
        lambda raw: raw.update(description=raw["description"] + " /d/penstock-none"),
        "leads to penstock-none",
    ),
]


@pytest.mark.parametrize(("change", "why"), [pytest.param(change, why, id=name) for name, change, why in PLANTED])
def test_a_planted_fault_is_found(change: Change, why: str) -> None:
    dashboard = next(each for each in DASHBOARDS if each.name == "fleet")
    raw = deepcopy(dict(dashboard.raw))
    change(raw)
    found = faults(Dashboard(name="fleet", title="Fleet", raw=raw), UIDS)
    assert any(why in fault for fault in found), found


def test_names_of_series_are_told_from_what_surrounds_them() -> None:
    assert metrics_in('sum by (job) (rate(a_total{job=~"$job"}[5m])) or b:c:sum offset 1m > on (x) group_left(y) d') == {
        "a_total",
        "b:c:sum",
        "d",
    }
    assert metrics_in('label_values(a_total{job=~"$job"}, receiver)') == {"a_total"}


def test_variables_are_put_in_their_places() -> None:
    assert substituted('x{job=~"$job"}[$__rate_interval]', {"job": "(a|b)", "__rate_interval": "4s"}) == 'x{job=~"(a|b)"}[4s]'
    with pytest.raises(KeyError):
        substituted("x{$pool}", {"job": "a"})


def test_provisioning_agrees_with_what_it_leads_to() -> None:
    grafana, prometheus = ROOT / "grafana", ROOT / "deploy/prometheus/prometheus.yml"
    source = (grafana / "provisioning/datasources/penstock.yaml").read_text()
    interval = re.search(r"scrape_interval: (\w+)", prometheus.read_text())
    assert interval
    assert f"timeInterval: {interval[1]} " in source
    path = re.search(r"path: (\S+)", (grafana / "provisioning/dashboards/penstock.yaml").read_text())
    assert path
    assert f"cp grafana/json/*.json {path[1]}/" in (grafana / "README.md").read_text()
