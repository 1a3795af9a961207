"""The pictures: whole SVGs of every dashboard, from answers that are made up here, and values in their units."""

import json
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from xml.etree import ElementTree

import pytest

from grafana.asking import Series, Shown, Span
from grafana.dashboards.all import JSON
from grafana.picture.__main__ import main
from grafana.picture.marks import colour_of
from grafana.picture.numbers import ceiling, written
from grafana.picture.page import drawn
from grafana.reading import Dashboard, Panel, read

DASHBOARDS = [read(path) for path in sorted(JSON.glob("*.json"))]
SPAN = Span(start=0.0, end=3_600.0, scrape_s=15.0)
_LABELS = {"receiver": "google", "source": "s1", "alertname": "PenstockLoopLag", "alertstate": "firing", "gate": "block"}

Answer = Callable[[Panel], list[Series]]


def _series(name: str, *values: float, **labels: str) -> Series:
    return Series(labels=labels, name=name, points=[(600.0 * place, value) for place, value in enumerate(values)])


def _something(panel: Panel) -> list[Series]:
    return [_series("google", 1.0, 2.0, nan, inf, 0.25, **_LABELS), _series("yahoo", 3.0, **{**_LABELS, "receiver": "yahoo"})]


def _picture(dashboard: Dashboard, answer: Answer) -> str:
    shown = [Shown(panel=each, answers=[(query, answer(each)) for query in each.queries]) for each in dashboard.panels]
    return drawn(dashboard, shown, SPAN, [("red", [_series("", 1.0, 1.0)])])


def _words(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_every_panel_and_row_is_on_the_picture(dashboard: Dashboard) -> None:
    words = _words(_picture(dashboard, _something))
    assert {raw["title"] for raw in dashboard.raw["panels"]} - set(words) == set()
    assert "no data" not in words


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_a_panel_without_data_says_so(dashboard: Dashboard) -> None:
    words = _words(_picture(dashboard, lambda panel: []))
    tables = [panel for panel in dashboard.panels if panel.kind == "table"]
    assert words.count("nothing") == len(tables)
    assert words.count("no data") == len(dashboard.panels) - len(tables)


def test_a_figure_has_the_colour_of_its_threshold() -> None:
    fleet = next(each for each in DASHBOARDS if each.name == "fleet")
    calm, alarmed = _picture(fleet, lambda panel: [_series("x", 0.0)]), _picture(fleet, lambda panel: [_series("x", 1e9)])
    red = colour_of("red")
    loud = [panel for panel in fleet.panels if '"color": "red"' in json.dumps(panel.raw["fieldConfig"])]
    assert alarmed.count(f'fill="{red}"/>') - calm.count(f'fill="{red}"/>') >= len(loud) > 5


def test_a_name_from_outside_is_words_and_no_markup() -> None:
    fleet = next(each for each in DASHBOARDS if each.name == "fleet")
    hostile = "<script>"
    svg = _picture(fleet, lambda panel: [_series(hostile, 1.0, receiver=hostile)])
    assert hostile in _words(svg)
    assert "<script" not in svg


def test_a_prometheus_that_is_not_there_and_a_dashboard_that_is_none_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["http://127.0.0.1:1", "--out", str(tmp_path)])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"http://127.0.0.1:1, {tmp_path}: <urlopen error")
    with pytest.raises(SystemExit) as ended:
        main(["http://127.0.0.1:1", "--only", "flete"])
    assert ended.value.code == 2
    assert "--only flete: there are campaign, engine, fleet, receiver, warmup" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0123, "percentunit", "1.2 %"),
        (0.0, "s", "0 s"),
        (0.0042, "s", "4.2 ms"),
        (90.0, "s", "1.5 min"),
        (7_200.0, "s", "2 h"),
        (123_456.0, "short", "123 k"),
        (9_781.0, "short", "9,781"),
        (12_345.0, "suffix: /s", "12.3 k/s"),
        (10_276_045.0, "bytes", "9.8 MiB"),
        (inf, "suffix: /s", "∞"),
        (nan, "short", "-"),
        (940_000.0, "dateTimeFromNow", "1 min ago"),
    ],
)
def test_values_are_written_in_their_unit(value: float, unit: str, words: str) -> None:
    assert written(value, unit, now=1_000.0) == words


@pytest.mark.parametrize(
    ("most", "unit", "top"),
    [(0.0, "short", 1.0), (3.0, "short", 4.0), (81.0, "short", 100.0), (70.0, "s", 120.0), (3_000.0, "bytes", 4_096.0)],
)
def test_an_axis_ends_at_a_round_number(most: float, unit: str, top: float) -> None:
    assert ceiling(most, unit) == top
