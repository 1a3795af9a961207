"""A real Prometheus scrapes a real fleet: every process answers, every rule finds its series, and nothing is wrong."""

import pytest

from sender.settings import load
from tests.prometheus import Prometheus, prometheus
from tests.scenarios.stage import eventually, readers, stage

pytestmark = pytest.mark.integration

_SPARE = 7  # of the ports that a stage keeps for its fleet, the last: four are scraped


async def _silent(server: Prometheus) -> set[str]:
    """The recording rules that return nothing."""
    recorded = {rule["name"] for rule in await server.rules() if rule["type"] == "recording"}
    return recorded - {each["metric"]["__name__"] for each in await server.series('{__name__=~".+:penstock_.+"}')}


async def test_every_process_is_scraped_and_every_rule_returns_a_series() -> None:
    async with stage(troubles=1.0) as play:
        sources = play.config / "sources.toml"
        sources.write_text(sources.read_text().replace('pool = "main"\n', 'pool = "main"\nwarmup = "steady"\n', 1))
        first = load(play.config).metrics.port
        async with play.fleet(), prometheus(play.directory, first + _SPARE, first) as server:
            await play.submit("spring", readers(400))

            async def all_up() -> bool:
                return [each["value"][1] for each in await server.series("up")] == ["1"] * 4

            await eventually("every process answers Prometheus", all_up)

            async def all_rules() -> bool:
                return not await _silent(server)

            await eventually("every rule returns a series", all_rules)
            assert {rule["health"] for rule in await server.rules()} == {"ok"}
            assert await server.firing() == set()
