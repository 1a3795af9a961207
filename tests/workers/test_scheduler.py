"""The scheduler: due ones return, the dead give back, and after the store was away nobody is taken for dead too soon."""

import structlog
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.metrics import Metrics
from sender.queue.base import OWNER_LIFE_S
from sender.queue.memory import MemoryQueue
from sender.settings import load
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


async def test_after_an_outage_owners_get_their_time_to_say_that_they_live(autojump_clock: MockClock) -> None:
    queue = Diary()
    logger = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    process = Process(name="scheduler-0", settings=load(), queue=queue, metrics=Metrics(), log=logger, draining=trio.Event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(schedule, process)
        await trio.sleep(5)
        assert process.ready
        assert 4 <= len(queue.times("reclaim")) <= 6
        assert 15 <= len(queue.times("promote")) <= 25
        queue.away = True
        await trio.sleep(30)
        queue.away = False
        back = trio.current_time()
        await trio.sleep(30)
        assert min(at for at in queue.times("promote") if at > back) < back + 0.5
        assert back + OWNER_LIFE_S - 0.5 <= min(at for at in queue.times("reclaim") if at > back) < back + OWNER_LIFE_S + 1
        process.draining.set()
