"""A consumer: everything at least once, in order, and nobody else held up."""

from collections.abc import Mapping, Sequence

import pytest
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.queue.groups import Reading, Wish
from sender.queue.memory import MemoryQueue
from sender.queue.owners import FENCED_AFTER_S, OWNER_LIFE_S
from tests.consumers.world import Notes, Said, consumer, following
from tests.queue.feeding import told
from tests.rig import clock

DEAD = "host/consumer-0-1-dead"


class Shaky(MemoryQueue):
    """A store that is away when the test says so, or forgets an acknowledgement."""

    away = False
    forgets = 0  # acknowledgements that are lost, from now on

    async def read_group(self, group: str, reader: str, wishes: Sequence[Wish]) -> Sequence[Reading]:
        if self.away:
            raise BackendError("the store is away")
        return await super().read_group(group, reader, wishes)

    async def acknowledge(self, group: str, reader: str, entries: Mapping[int, Sequence[str]]) -> int:
        if self.away or self.forgets:
            self.forgets -= 1
            raise BackendError("the store is away")
        return await super().acknowledge(group, reader, entries)


@pytest.fixture
def queue() -> Shaky:
    return Shaky()


async def test_events_come_in_order_and_are_acknowledged(queue: Shaky, autojump_clock: MockClock) -> None:
    notes = Notes()
    await told(queue, *map(str, range(100)))
    async with following(queue, notes) as said:
        await trio.sleep(5)
        await told(queue, *map(str, range(100, 150)))
        await trio.sleep(5)
        assert said.value("lag_entries") == 0
        assert said.value("events_total", outcome="done") == 150
    assert notes.ids == [str(number) for number in range(150)]
    assert notes.closed


async def test_a_portion_whose_acknowledgement_is_lost_comes_again_with_its_ids(
    queue: Shaky, autojump_clock: MockClock
) -> None:
    notes = Notes()
    queue.forgets = 1
    await told(queue, "a", "b", "c")
    async with following(queue, notes):
        await trio.sleep(5)
        await told(queue, "d")
        await trio.sleep(5)
    assert notes.ids == ["a", "b", "c", "a", "b", "c", "d"]


async def test_what_a_sink_does_not_take_is_offered_again_ever_more_seldom_and_nothing_overtakes_it(
    queue: Shaky, autojump_clock: MockClock
) -> None:
    notes = Notes(fails=8)
    await told(queue, "a", "b")
    async with following(queue, notes) as said:
        await trio.sleep(20)
        await told(queue, "c")
        await trio.sleep(40)
        assert (said.value("lag_entries"), notes.ids) == (3, [])
        await trio.sleep(120)
        assert said.value("events_total", outcome="retried") == 8 * 2
        assert said.value("lag_entries") == 0
    assert notes.ids == ["a", "b", "c"]
    gaps = [round(later - earlier) for earlier, later in zip(notes.at, notes.at[1:], strict=False)]
    assert gaps[:8] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert any("no room" in trouble for trouble in said.troubles)


async def test_whoever_asks_hears_when_and_why_it_was_not_taken(queue: Shaky, autojump_clock: MockClock) -> None:
    notes = Notes(fails=2)
    async with following(queue, notes):
        await trio.sleep(5)
        assert [group.failed for group in await queue.groups(clock())] == [None]
        await told(queue, "a")
        await trio.sleep(30)
    assert notes.ids == ["a"]
    ((failed, readers),) = [(group.failed, group.readers) for group in await queue.groups(clock())]
    assert failed is not None
    assert failed.why == "no room"
    assert notes.at[1] <= failed.at - (clock() - trio.current_time()) < notes.at[2], "the last time, and not the first"
    assert readers == {}, "it has ended"


async def test_who_dies_is_followed_by_another_and_nothing_is_lost(queue: Shaky, autojump_clock: MockClock) -> None:
    first, second = Notes(takes_s=1_000.0), Notes()
    await told(queue, "a", "b")
    life = trio.CancelScope()

    async def live() -> None:
        with life:
            await consumer(queue, first, Said(), reader=DEAD).run(trio.Event())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        await trio.sleep(3)
        async with following(queue, second):
            await trio.sleep(300)
            assert second.taken == [], "the first one is slow, and lives"
            life.cancel()  # as a crash: it lets go of nothing
            await trio.sleep(OWNER_LIFE_S - 3.0)
            assert second.taken == []
            await trio.sleep(8)
            assert second.ids == ["a", "b"]
            await told(queue, "c")
            await trio.sleep(2)
            assert second.ids == ["a", "b", "c"]


async def test_who_ends_in_order_is_followed_at_once(queue: Shaky, autojump_clock: MockClock) -> None:
    first, second = Notes(), Notes()
    await told(queue, "a")
    async with following(queue, first, reader=DEAD):
        await trio.sleep(3)
    await told(queue, "b")
    async with following(queue, second):
        await trio.sleep(1)
        assert second.ids == ["b"]
    assert first.ids == ["a"]


async def test_who_is_asked_to_end_finishes_what_is_under_way_and_begins_nothing(
    queue: Shaky, autojump_clock: MockClock
) -> None:
    notes = Notes(takes_s=5.0)
    await told(queue, *map(str, range(20)))
    async with following(queue, notes) as said:
        await trio.sleep(1)
    assert trio.current_time() == pytest.approx(5.0, abs=0.1)
    assert len(notes.taken) == said.value("events_total", outcome="done") == 8
    async with following(queue, notes):
        await trio.sleep(60)
    assert notes.ids == [str(number) for number in range(20)]


async def test_who_can_t_beat_stops_before_another_may_begin(queue: Shaky, autojump_clock: MockClock) -> None:
    notes = Notes(takes_s=60.0)
    await told(queue, "a")
    async with following(queue, notes) as said:
        await trio.sleep(3)
        queue.away = True
        await trio.sleep(FENCED_AFTER_S)
        assert any("another reader may have" in trouble for trouble in said.troubles)
        queue.away, notes.takes_s = False, 0.0
        await trio.sleep(60)
    assert notes.ids == ["a"]


async def test_a_store_that_is_away_at_the_start_is_waited_for(queue: Shaky, autojump_clock: MockClock) -> None:
    notes = Notes()
    queue.away = True
    await told(queue, "a")
    async with following(queue, notes):
        await trio.sleep(100)
        queue.away = False
        await trio.sleep(5)
        assert notes.ids == ["a"]


async def test_what_was_lost_is_counted_and_told(queue: Shaky, autojump_clock: MockClock) -> None:
    notes = Notes()
    async with following(queue, notes) as said:
        await trio.sleep(0.5)
        assert said.value("lost_entries_total") == 0
    await told(queue, "a", "b", "c")
    await queue.forget_events(await queue.time() + 1.0)
    await told(queue, "d")
    async with following(queue, notes) as said:
        await trio.sleep(5)
        assert said.value("lost_entries_total") == 3
    assert notes.ids == ["d"]
    assert any(trouble.startswith("consumer log: 3 entries were gone") for trouble in said.troubles)


async def test_how_far_it_is_behind_can_be_seen(queue: Shaky, autojump_clock: MockClock) -> None:
    await told(queue, "a", "b")
    async with following(queue, Notes(takes_s=1_000.0)) as said:
        await trio.sleep(5)
        assert said.value("lag_entries") == 2
        assert said.value("lag_seconds") is not None
        assert said.value("events_total", outcome="done") == 0


async def test_a_group_that_somebody_took_away_begins_anew(queue: Shaky, autojump_clock: MockClock) -> None:
    notes = Notes()
    await told(queue, "a")
    async with following(queue, notes):
        await trio.sleep(5)
        queue._groups.clear()
        await told(queue, "b")
        await trio.sleep(30)
    assert notes.ids == ["a", "a", "b"]


async def test_entries_of_many_events_are_read_fewer_at_once(queue: Shaky, autojump_clock: MockClock) -> None:
    notes = Notes(events=4)
    await told(queue, *map(str, range(40)))
    async with following(queue, notes):
        await trio.sleep(60)
    assert notes.ids == [str(number) for number in range(40)]
    assert len(notes.at) == 1 + (40 - 8) // 4
