"""The scheduler: each duty at its own pace, whatever becomes of the others, and what the dead held comes back in time."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
import trio
from structlog.testing import LogCapture
from trio.testing import MockClock

from sender.errors import BackendError
from sender.metrics import Metrics
from sender.model import State
from sender.queue.base import Again
from sender.queue.control import Control
from sender.queue.memory import MemoryQueue
from sender.queue.owners import OWNER_LIFE_S
from sender.settings import load
from tests.queue.feeding import ROUTE, conserved, filled, leased, settlement
from tests.queue.warming import capped, marked
from tests.rig import EPOCH, clock
from workers.process import Process
from workers.scheduler import schedule

T = TypeVar("T")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory of the test's own, and no threads: the virtual clock would run on while one is waited for."""

    async def inline(work: Callable[..., T], *arguments: object) -> T:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("trio.to_thread.run_sync", inline)


class Diary(MemoryQueue):
    """Notes when it was asked for what, and by which time; away, or slow at one thing, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.slow: dict[str, float] = {}
        self.asked: defaultdict[str, list[float]] = defaultdict(list)
        self.given: list[float] = []

    async def promote(self, now: float, limit: int) -> int:
        self.given.append(now)
        await self._note("promote")
        return await super().promote(now, limit)

    async def reclaim(self, now: float) -> int:
        self.given.append(now)
        await self._note("reclaim")
        return await super().reclaim(now)

    async def beats(self) -> Mapping[str, int]:
        await self._note("beats")
        return await super().beats()

    async def _note(self, what: str) -> None:
        self.asked[what].append(trio.current_time())
        await trio.sleep(self.slow.get(what, 0.0))
        if self.away:
            raise BackendError("the store is away")


@asynccontextmanager
async def scheduling(queue: Diary, *, config: Path | None = None, metrics: Metrics | None = None) -> AsyncIterator[LogCapture]:
    said = LogCapture()
    process = Process(
        name="scheduler-0",
        settings=load(config),
        queue=queue,
        clock=clock,
        metrics=metrics or Metrics(),
        log=structlog.wrap_logger(None, processors=[said]),
        draining=trio.Event(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(schedule, process)
        yield said
        assert process.ready
        process.draining.set()


async def test_each_duty_has_its_own_pace_and_the_processs_clock(autojump_clock: MockClock) -> None:
    queue = Diary()
    async with scheduling(queue):
        await trio.sleep(60)
    assert 200 <= len(queue.asked["promote"]) <= 241
    assert 50 <= len(queue.asked["reclaim"]) <= 61
    assert 50 <= len(queue.asked["beats"]) <= 61
    assert all(EPOCH <= now <= EPOCH + 61 for now in queue.given)


async def test_what_is_slow_holds_up_nothing_else(autojump_clock: MockClock) -> None:
    queue = Diary()
    queue.slow = {"reclaim": 30.0}
    async with scheduling(queue):
        await trio.sleep(60)
    assert len(queue.asked["promote"]) >= 200
    assert len(queue.asked["reclaim"]) == 2


async def test_what_a_dead_owner_held_comes_back_after_its_life_and_not_before(autojump_clock: MockClock) -> None:
    queue = Diary()
    await filled(queue, 20)
    await queue.join("worker-1")
    await leased(queue, 12)
    async with scheduling(queue) as said:
        await trio.sleep(OWNER_LIFE_S - 0.5)
        assert (await queue.depth(clock())).leased == 12
        await trio.sleep(4)
        assert (await queue.depth(clock())).leased == 0
    told = {entry["event"]: entry for entry in said.entries}
    assert told["fenced"]["owner"] == "worker-1"
    assert told["reclaimed"]["envelopes"] == 12
    await conserved(queue)


async def test_what_belongs_to_no_member_comes_back_at_once(autojump_clock: MockClock) -> None:
    queue = Diary()
    await filled(queue, 20)
    await leased(queue, 12)
    async with scheduling(queue):
        await trio.sleep(0.5)
        assert (await queue.depth(clock())).leased == 0


@pytest.mark.parametrize(("source", "seconds"), [("gone", 0.0), ("local", 4 * 86_400.0)])
async def test_what_waits_for_a_source_in_vain_is_let_go(autojump_clock: MockClock, source: str, seconds: float) -> None:
    """At once where there is no such source, after the give-up age where it does not come; and the log says so."""
    queue = Diary()
    await filled(queue, 20)
    (lease,) = await leased(queue, 20)
    again = tuple(Again(position=n, envelope=one, due=0.0, source=source) for n, one in enumerate(lease.envelopes))
    await queue.settle([replace(settlement(lease), again=again)], clock())
    own = ROUTE.own(source)
    queue._owned[own] = clock() - seconds if seconds else None
    async with scheduling(queue) as said:
        await trio.sleep(1)
        assert {ready.route: ready.envelopes for ready in await queue.ready(10)} == {ROUTE: 20}
    assert [entry["envelopes"] for entry in said.entries if entry["event"] == "unbound"] == [20]


async def test_events_are_kept_as_long_as_configured(tmp_path: Path, autojump_clock: MockClock) -> None:
    (tmp_path / "penstock.toml").write_text('[events]\nkeep = "1h"\n')
    queue = Diary()
    await filled(queue, 3)
    (lease,) = await leased(queue, 3)
    for place, age_s in enumerate((3700.0, 3500.0, 10.0)):
        told = settlement(lease, final=[(place, State.DELIVERED)], events=(str(age_s).encode(),))
        await queue.settle([told], clock() - age_s)
    async with scheduling(queue, config=tmp_path):
        await trio.sleep(0.5)
        assert (await queue.events("", 10))[1] == [b"3500.0", b"10.0"]
        await trio.sleep(120)
        assert (await queue.events("", 10))[1] == [b"10.0"]


async def test_after_the_store_was_away_all_goes_on_and_the_operator_was_told_once(autojump_clock: MockClock) -> None:
    queue = Diary()
    async with scheduling(queue) as said:
        await trio.sleep(10)
        queue.away = True
        await trio.sleep(30)
        queue.away = False
        back = trio.current_time()
        await trio.sleep(5)
    for duty in ("promote", "reclaim", "beats"):
        assert min(at for at in queue.asked[duty] if at > back) < back + 1.5
    assert [entry["why"] for entry in said.entries if entry["event"] == "trouble"] == ["the store is away"]


async def test_what_a_paused_campaign_has_is_not_shown_as_ready(autojump_clock: MockClock) -> None:
    queue, metrics = Diary(), Metrics()
    await filled(queue, 20)
    await queue.set_control(Control(campaign="spring", paused=True, ended=None, by="ann@alpha", at=clock(), why="wrong link"))
    async with scheduling(queue, metrics=metrics):
        await trio.sleep(2)
        assert await leased(queue, 20) == []
        await trio.sleep(4)
    ready = metrics.registry.get_sample_value("penstock_queue_ready_envelopes", {"pool": "main", "receiver": "google"})
    aside = metrics.registry.get_sample_value("penstock_queue_held_envelopes", {"state": "aside"})
    assert (ready, aside) == (0, 20)


async def test_a_source_with_a_plan_gets_its_caps_and_is_told_of_and_counted(tmp_path: Path, autojump_clock: MockClock) -> None:
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "a.example"\nwarmup = "steady"\n')
    queue, metrics = Diary(), Metrics()
    await filled(queue, 20)
    async with scheduling(queue, config=tmp_path, metrics=metrics) as said:
        await trio.sleep(0.5)
        (lease,) = await queue.lease([capped(20)], clock())
        assert len(lease.envelopes) == 2  # a minute of the first stage
        await queue.settle([marked(lease)], clock())
        await trio.sleep(4)
    (told,) = [entry for entry in said.entries if entry["event"] == "warmup"]
    assert (told["lane"], told["what"], told["why"]) == ("s1/google", "begin", "begins at stage 1 of 34 (200 a day)")
    labels = {"source": "s1", "receiver": "google"}
    found = [
        metrics.registry.get_sample_value(f"penstock_warmup_{name}", labels)
        for name in ("stage", "cap_envelopes", "used_envelopes", "held", "stopped")
    ]
    assert found == [1, 200, 2, 0, 0]
    campaign = {"campaign": "spring", "state": "open"}
    assert metrics.registry.get_sample_value("penstock_campaign_envelopes", campaign) == 20
    gate = {**labels, "gate": "complaint"}
    assert metrics.registry.get_sample_value("penstock_warmup_gate_ratio", gate) == 0
    assert metrics.registry.get_sample_value("penstock_warmup_gate_limit_ratio", gate) == 0.001


async def test_draining_ends_it_at_once(autojump_clock: MockClock) -> None:
    with trio.fail_after(1):
        async with scheduling(Diary()):
            await trio.sleep(0.5)
