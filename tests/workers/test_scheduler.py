"""The scheduler: due ones return, the dead give back, and after the store was away nobody is taken for dead too soon."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.metrics import Metrics
from sender.queue.base import OWNER_LIFE_S
from sender.queue.memory import MemoryQueue
from sender.settings import load
from tests.rig import clock
from workers.process import Process
from workers.scheduler import schedule


class Diary(MemoryQueue):
    """Notes when it was asked for what; away when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked: list[tuple[str, float]] = []

    async def promote(self, now: float, limit: int) -> int:
        return await self._note("promote")

    async def reclaim(self, now: float) -> int:
        return await self._note("reclaim")

    async def _note(self, what: str) -> int:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise BackendError("the store is away")
        self.asked.append((what, trio.current_time()))
        return 0

    def times(self, what: str) -> list[float]:
        return [at for asked, at in self.asked if asked == what]


class Wall:
    """The wall clock, which somebody may set; it stands in for the module `time`."""

    def __init__(self) -> None:
        self.set_by_s = 0.0

    def time(self) -> float:
        return clock() + self.set_by_s


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr("workers.scheduler.time", made)
    return made


@asynccontextmanager
async def scheduling(queue: Diary) -> AsyncIterator[Process]:
    logger = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    process = Process(name="scheduler-0", settings=load(), queue=queue, metrics=Metrics(), log=logger, draining=trio.Event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(schedule, process)
        yield process
        process.draining.set()


async def test_due_ones_come_back_at_once_and_silence_is_judged_only_after_a_life(
    autojump_clock: MockClock, wall: Wall
) -> None:
    queue = Diary()
    async with scheduling(queue) as process:
        await trio.sleep(OWNER_LIFE_S - 0.5)
        assert process.ready
        assert len(queue.times("promote")) > 50
        assert queue.times("reclaim") == []
        await trio.sleep(10)
        assert 8 <= len(queue.times("reclaim")) <= 11


@pytest.mark.parametrize("trouble", ["the store was away", "the wall clock was set", "the wall clock was set back"])
async def test_after_trouble_owners_get_their_time_to_say_that_they_live(
    autojump_clock: MockClock, wall: Wall, trouble: str
) -> None:
    queue = Diary()
    async with scheduling(queue):
        await trio.sleep(20)
        assert queue.times("reclaim")
        match trouble:
            case "the store was away":
                queue.away = True
                await trio.sleep(30)
                queue.away = False
            case "the wall clock was set":
                wall.set_by_s = 3_600.0
            case _:
                wall.set_by_s = -3_600.0
        back = trio.current_time()
        await trio.sleep(30)
        assert min(at for at in queue.times("promote") if at > back) < back + 0.5
        assert back + OWNER_LIFE_S - 0.5 <= min(at for at in queue.times("reclaim") if at > back) < back + OWNER_LIFE_S + 1


async def test_draining_ends_it_at_once(autojump_clock: MockClock, wall: Wall) -> None:
    with trio.fail_after(1):
        async with scheduling(Diary()):
            await trio.sleep(0.5)
