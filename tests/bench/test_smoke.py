"""The benchmarks on the real thing, small: whatever they stand on may change, and they still measure."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.bench import delivery, steady, telling, webhook
from tests.bench.peers import bench
from tests.bench.peers.contender import Contender
from tests.bench.peers.lineup import CONTENDERS
from tests.bench.receiving import compile_sink, receiving_side
from tests.bench.rig import Case, Spent

pytestmark = pytest.mark.integration

_WORK = Case(name="smoke", sign="rsa-sha256", tls=True, messages=300)


def test_the_engine_sends_all_and_tells_what_each_of_its_processes_took(tmp_path: Path) -> None:
    contender = _prepared("Penstock", tmp_path)
    spent = contender.measure(replace(_WORK, appendfsync="always"), tmp_path)
    _assert_all_arrived(spent)
    assert {"delivery 0", "delivery 1", "signer 0", "expander 0", "scheduler 0", "supervisor", "store"} == set(spent.peak_mb)
    figures = delivery.figures(spent, 300.0)
    assert figures["delivery_us"] > 0
    assert figures["signer_us"] > 0
    assert 0 < figures["reply_p50_ms"] <= figures["reply_p99_ms"]
    assert 0 < figures["messages_per_s"] >= figures["settled_per_s"]


def test_postfix_sends_all_and_its_processes_are_counted(tmp_path: Path) -> None:
    contender = _prepared("Postfix + opendkim", tmp_path)
    spent = contender.measure(_WORK, tmp_path)
    _assert_all_arrived(spent)
    figures = bench.figures(spent, contender.own, 300.0)
    assert figures["messages_per_s"] > 0
    assert figures["postfix_us"] > 0
    assert figures["opendkim_us"] > 0
    assert figures["cpu_in_s"] == (figures["postfix_us"] + figures["opendkim_us"]) / 300.0


async def test_a_load_is_measured_once_its_connections_stand_and_however_much_waits_behind_it() -> None:
    few = steady.Load(name="few", lanes=3, connections=2, messages=300, queued=900, delivery=1, warm=60)
    figures = await steady.measure(few)
    assert figures["delivery_us"] > 0
    assert figures["cpu_us"] > figures["signer_us"] > 0
    assert figures["delivery_peak_mb"] > 0
    assert figures["reply_p99_ms"] > 0
    hosted = steady.Load(name="hosted", lanes=1, domains=10, messages=200, delivery=1, warm=20)
    assert (await steady.measure(hosted))["settled_per_s"] > 0


def test_each_part_of_what_is_told_of_a_message_has_its_price() -> None:
    rows = {row.case: row.median("cpu_us") or 0.0 for row in telling.run(200)}
    *parts, whole, line = rows.values()
    assert whole == sum(parts)
    assert min(line, *(cost for name, cost in rows.items() if "store" not in name)) > 0  # that is a difference of two


def test_a_webhooks_receiver_that_is_down_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_RATE": 200, "_SETTLE_S": 0.5, "_CATCH_UP_S": 30.0}.items():
        monkeypatch.setattr(webhook, name, value)
    rows = {row.case: row for row in webhook.run(1.0, 3.0)}
    assert rows["all in all"].median("lost") == 0
    assert all((row.median("rate_per_s") or 0.0) > 0 for case, row in rows.items() if case != "all in all")


def _prepared(name: str, home: Path) -> Contender:
    """One that is installed here; the others come from registries, which no test asks."""
    contender = next(one for one in CONTENDERS if one.name == name)
    contender.prepare(home)
    return contender


def _assert_all_arrived(spent: Spent) -> None:
    assert spent.sink["messages"] == spent.sink["recipients"] == spent.messages == _WORK.messages
    assert spent.sink["handshakes"] == spent.sink["connections"]


async def test_the_receiving_side_ends_with_the_last_message_it_was_to_take(tmp_path: Path) -> None:
    """Also where the connection ends in the same breath."""
    case = Case(name="one")
    dialog = b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n"
    with receiving_side(case, tmp_path, compile_sink(tmp_path), "-n", "1") as sink:
        stream = await trio.open_tcp_stream(case.place.sink, case.place.port)
        await stream.send_all(dialog)
        with trio.fail_after(20):
            assert await trio.to_thread.run_sync(sink.wait) == 0
        await stream.aclose()
