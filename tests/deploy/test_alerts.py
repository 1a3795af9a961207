"""deploy/prometheus: its files are what Prometheus takes, and each alert fires of its cause, and nothing else does."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sender.metrics import Metrics
from tests.deploy.causes import CAUSES, Cause
from tests.deploy.promtool import MINUTES, PROMETHEUS, Expected, hold, run
from tests.deploy.traffic import healthy

pytestmark = pytest.mark.integration

RULES, ALERTS = ((PROMETHEUS / name).read_text() for name in ("rules.yml", "alerts.yml"))
NAMES = re.findall(r"- alert: (\w+)", ALERTS)
_LOOKS = range(0, MINUTES, 10)
_FIRING = 'sum without (alertstate) (ALERTS{alertstate="firing"})'


def test_prometheus_takes_the_configuration_and_all_it_loads() -> None:
    said = run("check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    assert f"{len(NAMES)} rules found" in said
    assert f"{RULES.count('record:')} rules found" in said


def test_alertmanager_takes_what_we_suggest() -> None:
    command = ["amtool", "check-config", str(PROMETHEUS / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_fires_of_a_healthy_fleet(tmp_path: Path) -> None:
    hold(tmp_path, healthy(), [(minute, _FIRING, []) for minute in _LOOKS])


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.alert)
def test_an_alert_fires_of_its_cause_and_no_other_does(cause: Cause, tmp_path: Path) -> None:
    labels = {"alertname": cause.alert, "severity": cause.severity, "job": "penstock", **cause.labels}
    words = ",".join(f'{name}="{value}"' for name, value in labels.items())
    others = f'ALERTS{{alertstate="firing",alertname!="{cause.alert}"}}'
    expected: list[tuple[int, str, Expected]] = [(minute, others, []) for minute in _LOOKS]
    hold(tmp_path, {**healthy(), **cause.series}, [*expected, (cause.at, _FIRING, [{"labels": f"{{{words}}}", "value": 1}])])


def test_each_alert_has_a_cause() -> None:
    assert sorted(cause.alert for cause in CAUSES) == sorted(NAMES)


def test_each_alert_says_how_bad_it_is_and_where_its_runbook_is() -> None:
    readme = (PROMETHEUS / "README.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n\n(.+?)\n(?=\n|\Z)", readme, re.MULTILINE | re.DOTALL))
    for text in re.split(r"\n\n? +- alert: ", ALERTS)[1:]:
        name = text.split("\n", 1)[0]
        assert re.search(r"labels: \{severity: (critical|warning)\}", text), name
        for annotation in ("summary", "description"):
            assert re.search(rf'^ +{annotation}: ".+"$', text, re.MULTILINE), f"{name} has no {annotation}"
        assert f'runbook: "deploy/prometheus/README.md#{name.lower()}"' in text
        assert "penstock " in sections[name], f"{name}: its runbook names no command to look with"
    assert sections.keys() == set(NAMES)


def _exposed() -> Iterator[str]:
    """Every name that a scrape of ours can bring."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    for family in Metrics().registry.collect():
        yield from (family.name + ending for ending in endings[family.type])


def test_rules_and_alerts_name_metrics_that_exist() -> None:
    recorded = set(re.findall(r"record: (\S+)", RULES))
    expressions = re.sub(r"^ *(#|- alert|summary|description|runbook).*", "", RULES + ALERTS, flags=re.MULTILINE)
    used = set(re.findall(r"[a-z_]+:[a-z_]+:\w+", expressions))
    assert used <= recorded, used - recorded
    scraped = set(re.findall(r"(?<![\w:])penstock_\w+(?![\w:])", expressions))
    assert len(scraped) > 10
    assert scraped <= set(_exposed()), scraped - set(_exposed())


def test_what_is_recorded_is_named_by_its_level_its_metric_and_its_operation() -> None:
    for name in re.findall(r"record: (\S+)", RULES):
        assert re.fullmatch(r"[a-z_]+:penstock_[a-z_]+:[a-z]\w+", name), name
