"""What every process has beside its work: a patient way to its queue, and a word to the operator, once a minute."""

from pathlib import Path

import pytest
import structlog
import trio
from structlog.testing import LogCapture
from trio.testing import MockClock

from sender.errors import BackendError, ConfigErrors
from sender.metrics import Metrics
from sender.queue.memory import MemoryQueue
from sender.settings import load
from tests.rig import clock
from workers.places import REDIS_URL
from workers.process import Process
from workers.store import connected, open_configured_queue


@pytest.fixture
def told() -> LogCapture:
    return LogCapture()


@pytest.fixture
async def process(told: LogCapture) -> Process:
    logger = structlog.wrap_logger(None, processors=[told])
    return Process(
        name="delivery-0",
        settings=load(),
        queue=MemoryQueue(),
        clock=clock,
        metrics=Metrics(),
        log=logger,
        draining=trio.Event(),
    )


async def test_trouble_is_told_once_a_minute_each(process: Process, told: LogCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    for _ in range(10):
        process.trouble("the store is away")
        process.trouble("no signer answers")
    assert [entry["why"] for entry in told.entries] == ["the store is away", "no signer answers"]
    now += 61
    process.trouble("the store is away")
    assert len(told.entries) == 3


async def test_trouble_in_ever_other_words_does_not_fill_our_memory(process: Process) -> None:
    for number in range(5_000):
        process.trouble(f"trouble {number}")
    assert len(process._last_trouble) <= 1_001


async def test_a_role_gets_surroundings_that_count_and_tell_here(process: Process, told: LogCapture) -> None:
    around = process.surroundings()
    around.on_trouble("odd")
    assert around.metrics is process.metrics
    assert told.entries[0]["why"] == "odd"
    assert around.clock is process.clock


async def test_a_store_that_never_comes_is_given_up_in_words(tmp_path: Path, autojump_clock: MockClock) -> None:
    (tmp_path / "penstock.toml").write_text(f'[redis]\nurl = "unix://{tmp_path}/none.sock"\n')
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    with pytest.raises(BackendError, match=r"none\.sock"):
        async with connected(load(tmp_path), 2.0):
            raise AssertionError("there is no such store")
    assert trio.current_time() >= 2.0


async def test_a_command_s_configuration_is_checked_first(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("[redis]\npartitons = 3\n")
    with pytest.raises(ConfigErrors, match="partitons"):
        async with open_configured_queue(tmp_path):
            raise AssertionError("this configuration can't be used")


async def test_who_finds_no_embedded_server_is_asked_whether_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REDIS_URL, raising=False)
    (tmp_path / "penstock.toml").write_text('[fleet]\nstate_dir = "state"\n')
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    with pytest.raises(BackendError, match=r"valkey\.sock: .*; is `penstock run` running\?$"):
        async with connected(load(tmp_path), 0.0):
            raise AssertionError("there is no such store")
    monkeypatch.setenv(REDIS_URL, f"unix://{tmp_path}/told.sock")
    with pytest.raises(BackendError, match=r"told\.sock") as caught:
        async with connected(load(tmp_path), 0.0):
            raise AssertionError("there is no such store")
    assert "penstock run" not in str(caught.value)
