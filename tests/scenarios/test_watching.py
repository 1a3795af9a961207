"""What a running fleet shows Prometheus of its promptness, process by process."""

import pytest

from sender.settings import load
from tests.scenarios.stage import readers, stage
from tests.scraping import NOTHING, histogram
from workers.fleet import DELIVERY_PORT, EXPANDER_PORT, SCHEDULER_PORT

pytestmark = pytest.mark.integration


async def test_every_process_tells_how_late_its_loop_is_and_delivery_how_long_a_reply_took() -> None:
    async with stage() as play, play.fleet():
        await play.submit("spring", readers(200))
        await play.finished("spring")
        first = load(play.config).metrics.port
        for offset in (EXPANDER_PORT, SCHEDULER_PORT, DELIVERY_PORT, DELIVERY_PORT + 1):
            assert histogram(first + offset, "penstock_loop_lag_duration_seconds").count > 0
        delivery = (first + DELIVERY_PORT, first + DELIVERY_PORT + 1)
        name = "penstock_lease_to_reply_duration_seconds"
        delivered = sum((histogram(port, name, outcome="delivered") for port in delivery), NOTHING)
        assert delivered.count == await play.delivered("spring") == 200
        assert 0 < delivered.quantile(0.5) <= delivered.quantile(0.99) < 60
