"""A reader's place in a group: who may read, for how long, and who takes over from whom."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.queue.groups import Reading, Start, Wish
from sender.queue.memory import MemoryQueue
from sender.queue.owners import BEAT_S, FENCED_AFTER_S, OWNER_LIFE_S
from tests.queue.feeding import told
from workers.consumers.tenure import Tenure

MINE, THEIRS = "host/mine", "host/theirs"


class Shaky(MemoryQueue):
    """A store that is away when the test says so."""

    away = False

    async def read_group(self, group: str, reader: str, wishes: Sequence[Wish]) -> Sequence[Reading]:
        if self.away:
            raise BackendError("the store is away")
        return await super().read_group(group, reader, wishes)


@pytest.fixture
def queue() -> Shaky:
    return Shaky()


def tenure(queue: Shaky, reader: str = MINE) -> Tenure:
    return Tenure(queue, "log", reader, Start.BEGINNING)


async def beaten(one: Tenure, seconds: float) -> None:
    """It beats for so long, as it should."""
    end = trio.current_time() + seconds
    while trio.current_time() < end:
        await one.beat()
        await trio.sleep(min(BEAT_S, end - trio.current_time()))


def holder(queue: Shaky) -> str:
    return queue._groups["log"].reader


async def test_as_long_as_it_beats_a_term_goes_on(queue: Shaky, autojump_clock: MockClock) -> None:
    mine = tenure(queue)
    await mine.beat()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beaten, mine, 5 * FENCED_AFTER_S)
        with mine.term([0]):
            await trio.sleep(4 * FENCED_AFTER_S)


async def test_what_was_taken_over_is_stopped_with_the_next_beat(queue: Shaky, autojump_clock: MockClock) -> None:
    mine = tenure(queue)
    await mine.beat()

    async def work() -> None:
        with mine.term([0]):
            queue._groups["log"].reader = THEIRS
            await trio.sleep(2 * BEAT_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beaten, mine, 30.0)
        with pytest.raises(BackendError, match="another reader may have its streams"):
            await work()
        with pytest.raises(BackendError, match="another reader has its streams"), mine.term([0]):
            raise AssertionError("it is not ours")
        nursery.cancel_scope.cancel()


async def test_only_a_beat_that_stood_still_for_a_whole_life_is_taken_over(queue: Shaky, autojump_clock: MockClock) -> None:
    await told(queue, "a")
    theirs, mine = tenure(queue, THEIRS), tenure(queue)
    await theirs.beat()
    await beaten(mine, OWNER_LIFE_S - 1.0)
    await theirs.beat()
    await beaten(mine, OWNER_LIFE_S)
    assert holder(queue) == THEIRS
    await beaten(mine, 3 * BEAT_S)
    assert holder(queue) == MINE
    assert [reading.stream for reading in await mine.read({0: 9}) if reading.entries] == [0]


async def test_who_has_not_looked_for_long_begins_to_watch_anew(queue: Shaky, autojump_clock: MockClock) -> None:
    """Both may have stood still together: their host was asleep."""
    theirs, mine = tenure(queue, THEIRS), tenure(queue)
    await theirs.beat()
    await mine.beat()
    await trio.sleep(2 * OWNER_LIFE_S)
    await beaten(mine, OWNER_LIFE_S - 1.0)
    assert holder(queue) == THEIRS
    await beaten(mine, 3 * BEAT_S)
    assert holder(queue) == MINE


async def test_what_was_seen_before_the_store_was_away_counts_no_more(queue: Shaky, autojump_clock: MockClock) -> None:
    """The other one could not beat either."""
    theirs, mine = tenure(queue, THEIRS), tenure(queue)
    await theirs.beat()
    await beaten(mine, OWNER_LIFE_S - 3.0)
    queue.away = True
    with pytest.raises(BackendError):
        await mine.beat()
    queue.away = False
    await beaten(mine, OWNER_LIFE_S - 1.0)
    assert holder(queue) == THEIRS
    await beaten(mine, 3 * BEAT_S)
    assert holder(queue) == MINE
