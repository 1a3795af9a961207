import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest
import trio
import trio.testing
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from sender.errors import ConfigError
from sender.metrics import Metrics
from sender.model import Step
from workers.http import Pulse, Server, serve

Asked = Callable[..., tuple[int, str]]


def well() -> str:
    return ""


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def why_not() -> dict[str, str]:
    """What the two probes answer; a test writes into it."""
    return {"healthy": "", "ready": ""}


@pytest.fixture
def server(metrics: Metrics, why_not: dict[str, str]) -> Iterator[Server]:
    with closing(serve(metrics, port=0, healthy=lambda: why_not["healthy"], ready=lambda: why_not["ready"])) as running:
        yield running


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_metrics_are_served_in_prometheus_words(server: Server, metrics: Metrics) -> None:
    metrics.step(Step.DOT, 0.07)
    status, text = ask(server.port, "/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    counts = [s.value for s in families["penstock_step_duration_seconds"].samples if s.name.endswith("_count")]
    assert 1.0 in counts
    assert not re.search(r"_created[ {]", text)


def test_metrics_speak_openmetrics_when_asked(server: Server) -> None:
    status, text = ask(server.port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert text.endswith("# EOF\n")


def test_probes_say_why_not(server: Server, why_not: dict[str, str]) -> None:
    assert ask(server.port, "/healthz") == (200, "ok\n")
    assert ask(server.port, "/readyz") == (200, "ok\n")
    why_not["ready"] = "no signer answers"
    assert ask(server.port, "/readyz") == (503, "no signer answers\n")
    assert ask(server.port, "/healthz") == (200, "ok\n")


def test_nothing_else_is_there(server: Server) -> None:
    assert ask(server.port, "/")[0] == 404
    assert ask(server.port, "/metrics/../etc")[0] == 404


async def test_the_event_loop_turns_while_a_scrape_is_written(metrics: Metrics) -> None:
    """The scrape is held up inside the registry until the loop has turned: served from the loop, neither would end."""
    turned = threading.Event()

    class Slow(Collector):
        def collect(self) -> Iterator[Metric]:
            yield GaugeMetricFamily("held", "A family that waits for the event loop.", value=float(turned.wait(10)))

    with closing(serve(metrics, port=0, healthy=well, ready=well)) as server:
        turned.set()
        metrics.exposition.add(Slow())  # which collects once
        turned.clear()
        answers: list[tuple[int, str]] = []
        async with trio.open_nursery() as nursery:

            async def scrape() -> None:
                answers.append(await trio.to_thread.run_sync(partial(ask, server.port, "/metrics")))

            nursery.start_soon(scrape)
            await trio.testing.wait_all_tasks_blocked()
            turned.set()
    assert "held 1.0" in answers[0][1]


def test_every_address_but_the_loopback_needs_a_token(metrics: Metrics) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.address: 0\.0\.0\.0 is not the loopback"):
        serve(metrics, address="0.0.0.0", port=0, healthy=well, ready=well)
    with pytest.raises(ConfigError, match="is not an IP address"):
        serve(metrics, address="everywhere", port=0, healthy=well, ready=well)


def test_the_token_guards_every_page(metrics: Metrics) -> None:
    with closing(serve(metrics, port=0, healthy=well, ready=well, token="s3cret")) as server:
        assert ask(server.port, "/metrics")[0] == 401
        assert ask(server.port, "/readyz", Authorization="Bearer wrong")[0] == 401
        assert ask(server.port, "/readyz", Authorization="Bearer s3cret")[0] == 200


def test_a_taken_port_is_a_configuration_error(server: Server, metrics: Metrics) -> None:
    with pytest.raises(ConfigError, match=f"can't listen on 127.0.0.1 port {server.port}"):
        serve(metrics, port=server.port, healthy=well, ready=well)


def test_clients_that_hold_on_do_not_add_up(metrics: Metrics) -> None:
    """Eight requests are served at a time: the ninth is hung up on, and one that ends makes room."""
    hold, held = threading.Event(), threading.Semaphore(0)

    def slow() -> str:
        held.release()
        hold.wait(60)
        return ""

    with closing(serve(metrics, port=0, healthy=well, ready=slow)) as server:
        waiting = [threading.Thread(target=ask, args=(server.port, "/readyz")) for _ in range(8)]
        for thread in waiting:
            thread.start()
        for _ in waiting:
            assert held.acquire(timeout=60)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(server.port, "/healthz")
        hold.set()
        for thread in waiting:
            thread.join()


async def test_pulse_tells_a_stuck_loop(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    pulse = Pulse(clock=trio.current_time)
    nursery.start_soon(pulse.beat)
    await trio.sleep(60)
    assert pulse.why_dead() == ""
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await trio.sleep(60)
    assert pulse.why_dead() in {f"the event loop has not turned for {seconds} s" for seconds in (60, 61)}
