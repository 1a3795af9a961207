"""A real Prometheus scrapes a real fleet: every process answers, every rule and panel finds its series, nothing is wrong."""

import time
from pathlib import Path

import pytest
import trio

from grafana.asking import Asker, Span
from grafana.dashboards.all import JSON
from grafana.picture.page import picture
from grafana.reading import Dashboard, read
from sender.settings import load
from tests.prometheus import Prometheus
from tests.scenarios.freezing import frozen
from tests.scenarios.stage import PATIENT_S, eventually, readers, stage
from workers.demo.prometheus import prometheus

pytestmark = pytest.mark.integration

_SPARE = 7  # of the ports that a stage keeps for its fleet, the last: six are scraped
_DASHBOARDS = [read(path) for path in sorted(JSON.glob("*.json"))]
_CONSUMER = '\n[[consumer]]\nname = "file"\nkind = "file"\n'
_ARTEFACTS = Path(__file__).parent.parent / "artefacts" / "grafana"


async def _silent(server: Prometheus) -> set[str]:
    """The recording rules that return nothing."""
    recorded = {rule["name"] for rule in await server.rules() if rule["type"] == "recording"}
    return recorded - {each["metric"]["__name__"] for each in await server.series('{__name__=~".+:penstock_.+"}')}


def _empty(dashboard: Dashboard, asker: Asker) -> set[str]:
    """The queries of panels that return no series, and the variables that have nothing to choose from."""
    found = {query.where for shown in asker.shown(dashboard) for query, series in shown.answers if not series}
    values = asker.values(dashboard)
    return found | {query.where for query in dashboard.variables if not asker.choices(query.expression, values)}


async def _every_panel_shows_something(url: str, since: float) -> None:
    """As Grafana asks, with all values of every variable; what it shows is left as pictures."""
    _ARTEFACTS.mkdir(parents=True, exist_ok=True)
    empty = {""}
    with trio.move_on_after(PATIENT_S):
        while empty:
            asker = Asker(url, Span(start=since, end=time.time(), scrape_s=1.0))
            empty = set().union(*[await trio.to_thread.run_sync(_empty, each, asker) for each in _DASHBOARDS])
    assert empty == set()
    for dashboard in _DASHBOARDS:
        svg = await trio.to_thread.run_sync(picture, dashboard, asker)  # asks for the annotations, too
        assert "no data" not in svg
        (_ARTEFACTS / f"{dashboard.name}.svg").write_text(svg)


async def test_every_process_is_scraped_and_every_rule_and_panel_returns_a_series() -> None:
    async with stage(troubles=1.0, settings=lambda text: text + _CONSUMER) as play:
        sources = play.config / "sources.toml"
        sources.write_text(sources.read_text().replace('pool = "main"\n', 'pool = "main"\nwarmup = "steady"\n', 1))
        first = load(play.config).metrics.port
        beside = play.directory / "prometheus"
        async with play.fleet(), prometheus(beside, port=first + _SPARE, first=first, consumers=True) as url:
            server, began = Prometheus(url), time.time()
            await play.submit("spring", readers(400))

            async def all_up() -> bool:
                return [each["value"][1] for each in await server.series("up")] == ["1"] * 6

            await eventually("every process answers Prometheus", all_up)

            async def all_rules() -> bool:
                healthy = {rule["health"] for rule in await server.rules()} == {"ok"}  # "unknown" before its first turn
                return healthy and not await _silent(server)

            await eventually("every rule is well, and returns a series", all_rules)
            assert await server.firing() == set()
            with frozen(play.pid("expander-0")):  # the cause of an alert that is about to fire, which a panel shows
                await _every_panel_shows_something(url, began)
