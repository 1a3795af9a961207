"""What a running fleet shows Prometheus of its promptness, process by process."""

import os
import signal
from functools import partial
from importlib.metadata import version

import pytest
import trio

from sender.settings import load
from tests.scenarios.stage import eventually, readers, stage
from tests.scraping import NOTHING, histogram, value
from workers.fleet import DELIVERY_PORT, EXPANDER_PORT, SCHEDULER_PORT, supervisor_port

pytestmark = pytest.mark.integration


async def test_every_process_tells_how_late_its_loop_is_and_delivery_how_long_a_reply_took() -> None:
    async with stage() as play, play.fleet():
        await play.submit("spring", readers(200))
        await play.finished("spring")
        first = load(play.config).metrics.port
        for offset in (EXPANDER_PORT, SCHEDULER_PORT, DELIVERY_PORT, DELIVERY_PORT + 1):
            assert histogram(first + offset, "penstock_loop_lag_duration_seconds").count > 0
            assert value(first + offset, "penstock_build_info", version=version("penstock")) == 1
            assert (value(first + offset, "penstock_store_calls_total", outcome="done") or 0) > 5
            assert histogram(first + offset, "penstock_store_call_duration_seconds").count > 5
            is_delivery = offset >= DELIVERY_PORT
            assert value(first + offset, "penstock_journal_healthy") == (1 if is_delivery else None)
            assert value(first + offset, "penstock_signer_waiting") == (0 if is_delivery else None)
        supervisor = first + supervisor_port(load(play.config))
        assert value(supervisor, "penstock_build_info", version=version("penstock")) == 1
        assert value(supervisor, "penstock_process_restarts_total", child="signer") == 0
        os.kill(play.pid("signer-0"), signal.SIGKILL)

        restarts = partial(value, supervisor, "penstock_process_restarts_total", child="signer")

        async def told() -> bool:
            return await trio.to_thread.run_sync(restarts) == 1

        await eventually("the supervisor tells of a restart", told)
        keys = "penstock_dkim_key_created_timestamp_seconds"
        (identity,) = load(play.config).identities
        label = {"domain": identity.domain, "selector": identity.keys[0].selector}
        key_file = load(play.config).path(identity.keys[0].file)
        assert value(first + SCHEDULER_PORT, keys, **label) == key_file.stat().st_mtime
        delivery = (first + DELIVERY_PORT, first + DELIVERY_PORT + 1)
        name = "penstock_lease_to_reply_duration_seconds"
        delivered = sum((histogram(port, name, outcome="delivered") for port in delivery), NOTHING)
        assert delivered.count == await play.delivered("spring") == 200
        assert 0 < delivered.quantile(0.5) <= delivered.quantile(0.99) < 60
