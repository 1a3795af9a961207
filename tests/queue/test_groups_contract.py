"""Groups of readers of the events, on every backend."""

import operator
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio

from sender.errors import BackendError
from sender.model import State
from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from sender.queue.groups import Entry, Failure, GroupStanding, Lag, Reading, Start, Wish
from sender.queue.keys import Partition
from tests.queue.feeding import QUEUED_AT, filled, leased, settlement, told

BOTH = (Start.BEGINNING, Start.NOW)


async def read(queue: Queue, group: str, reader: str, *, entries: int = 100, beats: Sequence[str] = ()) -> list[Reading]:
    """From all streams; `beats` are those that have stood still."""
    streams = await queue.open_group(group, Start.BEGINNING)
    stale = [*beats, *[""] * (streams - len(beats))]
    wishes = [Wish(stream=number, entries=entries, stands_still=stale[number]) for number in range(streams)]
    return list(await queue.read_group(group, reader, wishes))


def texts(readings: Sequence[Reading]) -> list[str]:
    return [line[13:-2].decode() for reading in readings for entry in reading.entries for line in entry.lines]


def ids(readings: Sequence[Reading]) -> dict[int, list[str]]:
    return {reading.stream: [entry.id for entry in reading.entries] for reading in readings}


async def test_a_group_is_given_what_was_told_before_it_began_or_only_what_comes_after(queue: Queue) -> None:
    await told(queue, "a", "b")
    for start in BOTH:
        assert await queue.open_group(start, start) >= 1
        assert await queue.open_group(start, Start.BEGINNING) >= 1, "it is there already, and stays as it was"
    await told(queue, "c")
    assert texts(await read(queue, Start.BEGINNING, "r1")) == ["a", "b", "c"]
    assert texts(await read(queue, Start.NOW, "r1")) == ["c"]


async def test_what_is_not_acknowledged_is_given_again_before_anything_new(queue: Queue) -> None:
    await told(queue, "a", "b", "c")
    first = await read(queue, "files", "r1", entries=2)
    assert texts(first) == ["a", "b"]
    assert await read(queue, "files", "r1", entries=2) == first
    assert await queue.acknowledge("files", "r1", ids(first)) == 2
    assert await queue.acknowledge("files", "r1", ids(first)) == 0, "told again it changes nothing"
    assert await queue.acknowledge("files", "r1", {}) == 0
    assert texts(await read(queue, "files", "r1", entries=2)) == ["c"]


async def test_what_is_acknowledged_in_part_is_given_again_in_part(queue: Queue) -> None:
    await told(queue, "a", "b", "c")
    (reading,) = [some for some in await read(queue, "files", "r1") if some.entries]
    await queue.acknowledge("files", "r1", {reading.stream: [reading.entries[0].id]})
    assert texts(await read(queue, "files", "r1")) == ["b", "c"]


async def test_events_that_were_told_together_are_one_entry(queue: Queue) -> None:
    await filled(queue, 1)
    (lease,) = await leased(queue, 1)
    lines = (b'{"v":1,"id":"a"}', b'{"v":1,"id":"b"}')
    await queue.settle([settlement(lease, final=[(0, State.DELIVERED)], events=lines)], QUEUED_AT)
    (entry,) = [entry for reading in await read(queue, "files", "r1") for entry in reading.entries]
    assert entry == Entry(id=entry.id, lines=lines)


async def test_one_reader_holds_a_stream_and_others_see_it_beat(queue: Queue) -> None:
    await told(queue, "a")
    mine = await read(queue, "files", "r1", entries=0)
    assert [reading.beat for reading in mine] == [""] * len(mine)
    assert texts(mine) == [], "it has only beaten"
    theirs = await read(queue, "files", "r2")
    assert texts(theirs) == []
    assert {reading.beat for reading in theirs} == {"1 r1"}
    await read(queue, "files", "r1")
    assert {reading.beat for reading in await read(queue, "files", "r2")} == {"2 r1"}


async def test_who_beats_no_more_loses_all_that_it_had(queue: Queue) -> None:
    await told(queue, "a", "b")
    dead = await read(queue, "files", "r1", entries=1)
    seen = [reading.beat for reading in await read(queue, "files", "r2")]
    await read(queue, "files", "r1", entries=0)
    assert texts(await read(queue, "files", "r2", beats=seen)) == [], "it has beaten since: it lives"
    seen = [reading.beat for reading in await read(queue, "files", "r2")]
    assert await read(queue, "files", "r2", beats=seen, entries=1) == dead
    assert await queue.acknowledge("files", "r1", ids(dead)) == 0, "they are another's now"
    assert all(reading.beat.endswith(" r2") for reading in await read(queue, "files", "r1"))
    assert await queue.acknowledge("files", "r2", ids(dead)) == 1
    assert texts(await read(queue, "files", "r2")) == ["b"]


async def test_who_ends_in_order_leaves_its_place_and_what_it_had(queue: Queue) -> None:
    await told(queue, "a")
    first = await read(queue, "files", "r1")
    await queue.let_go("files", "r2")
    assert texts(await read(queue, "files", "r2")) == [], "only the holder can let go"
    await queue.let_go("files", "r1")
    assert await read(queue, "files", "r2") == first


async def test_groups_know_nothing_of_each_other(queue: Queue) -> None:
    await told(queue, "a")
    first = await read(queue, "files", "r1")
    await queue.acknowledge("files", "r1", ids(first))
    assert texts(await read(queue, "hooks", "r1")) == ["a"]
    assert texts(await read(queue, "files", "r1")) == []


async def test_lag_counts_entries_and_how_old_the_oldest_is(queue: Queue) -> None:
    now = await queue.time()
    assert await queue.lag(["files"], now) == {}
    await queue.open_group("files", Start.NOW)
    assert await queue.lag(["files", "never"], now) == {"files": Lag()}
    await told(queue, "a", "b", "c")
    behind = (await queue.lag(["files"], now + 100.0))["files"]
    assert behind.entries == 3
    assert behind.oldest_s >= 90.0
    first = await read(queue, "files", "r1", entries=2)
    assert (await queue.lag(["files"], now + 100.0))["files"] == behind, "given is not acknowledged"
    await queue.acknowledge("files", "r1", ids(first))
    behind = (await queue.lag(["files"], now + 100.0))["files"]
    assert (behind.entries, behind.oldest_s >= 90.0) == (1, True)
    await queue.acknowledge("files", "r1", ids(await read(queue, "files", "r1")))
    assert await queue.lag(["files"], now + 100.0) == {"files": Lag()}


async def test_what_was_forgotten_is_behind_nobody_any_more(queue: Queue) -> None:
    await queue.open_group("files", Start.NOW)
    await told(queue, "a", "b", "c")
    await queue.forget_events(await queue.time() + 1.0)
    await told(queue, "d")
    assert (await queue.lag(["files"], QUEUED_AT))["files"].entries == 1


async def standing(queue: Queue, name: str, now: float) -> GroupStanding | None:
    return next((group for group in await queue.groups(now) if group.name == name), None)


async def test_whoever_looks_sees_where_each_group_stands(queue: Queue) -> None:
    now = await queue.time()
    assert await queue.groups(now) == []
    streams = await queue.open_group("files", Start.NOW)
    await queue.open_group("hooks", Start.NOW)
    idle = GroupStanding(name="files", ours=True, entries=0, events=0)
    assert await queue.groups(now) == [idle, replace(idle, name="hooks")]
    await told(queue, "a", "b", "c")
    await queue.tell("s1/google", [b'{"v":1,"id":"d"}', b'{"v":1,"id":"e"}'])
    await read(queue, "files", "r1", entries=1)
    found = await standing(queue, "files", now + 100.0)
    assert found is not None
    assert (found.entries, found.events, found.exact) == (4, 5, True)
    assert found.under_way == (1 if streams == 1 else 2), "one of each stream that has any"
    assert found.oldest_s >= 90.0
    assert {name: len(beats) for name, beats in found.readers.items()} == {"r1": streams}
    before = found.readers["r1"]
    await read(queue, "files", "r1", entries=0)
    after = await standing(queue, "files", now)
    assert after is not None
    assert all(map(operator.ne, before, after.readers["r1"])), "who lives has beaten on each stream"
    await queue.let_go("files", "r1")
    assert (await queue.groups(now))[0].readers == {}


async def test_what_lately_failed_is_kept_for_whoever_looks(queue: Queue) -> None:
    await queue.open_group("hooks", Start.NOW)
    for at in (QUEUED_AT, QUEUED_AT + 0.25):
        await queue.note_failure("hooks", Failure(at=at, why="it answered 503"))
    found = await standing(queue, "hooks", QUEUED_AT)
    assert found is not None
    assert found.failed == Failure(at=QUEUED_AT + 0.25, why="it answered 503")
    assert found.readers == {}, "no reader is called so"


async def test_where_there_is_much_behind_events_are_told_about(client: Client, valkey_url: str) -> None:
    queue = await open_queue(valkey_url, partitions=1)
    await queue.open_group("files", Start.NOW)
    for number in range(50):
        await queue.tell("s1/google", [b"{}"] * (2 if number % 2 else 4))
    found = await standing(queue, "files", 0.0)
    assert found is not None
    assert (found.entries, found.events, found.exact) == (50, 150, False)
    await queue.aclose()


async def test_groups_of_other_programs_are_seen_as_well(client: Client, valkey_url: str) -> None:
    queue = await open_queue(valkey_url, partitions=2)
    await queue.open_group("files", Start.NOW)
    keys = [Partition(number).key("events") for number in range(2)]
    await client.run([("XGROUP", "CREATE", key, "loader", "$") for key in keys])
    for place in range(3):
        await queue.tell(f"s{place}/google", [b'{"v":1,"id":"a"}', b'{"v":1,"id":"b"}'])
    await client.run([("XREADGROUP", "GROUP", "loader", "w7", "COUNT", 1, "STREAMS", key, ">") for key in keys])
    found = await standing(queue, "loader", await queue.time() + 60.0)
    assert found is not None
    assert (found.ours, found.entries, found.events, set(found.readers)) == (False, 3, 6, {"w7"})
    assert found.under_way in (1, 2)
    assert found.oldest_s > 50.0
    await queue.aclose()


async def test_whoever_peeks_reads_on_from_a_place_of_his_own_and_moves_no_group(queue: Queue) -> None:
    await queue.open_group("files", Start.BEGINNING)
    await told(queue, "a")
    places = dict(await queue.ends())
    assert texts(await queue.peek(places, 10)) == []
    await told(queue, "b", "c")
    first = await queue.peek(places, 1)
    assert texts(first) == ["b"]
    places.update((reading.stream, reading.entries[-1].id) for reading in first if reading.entries)
    assert texts(await queue.peek(places, 10)) == ["c"]
    assert texts(await read(queue, "files", "r1")) == ["a", "b", "c"]


async def test_events_are_forgotten_by_their_age(queue: Queue) -> None:
    await told(queue, "a", "b")
    assert await queue.forget_events(QUEUED_AT - 1.0) == 0
    assert await queue.forget_events(await queue.time() + 1.0) == 2
    assert await queue.forget_events(await queue.time() + 1.0) == 0
    assert (await queue.events("", 10))[1] == []


async def test_a_group_that_fell_behind_is_told_once_how_much_it_lost(queue: Queue) -> None:
    await queue.open_group("files", Start.NOW)
    await told(queue, "a", "b", "c")
    under_way = await read(queue, "files", "r1", entries=1)
    assert texts(under_way) == ["a"]
    await queue.forget_events(await queue.time() + 1.0)
    await told(queue, "d")
    readings = await read(queue, "files", "r1")
    assert texts(readings) == ["d"]
    assert sum(reading.lost for reading in readings) == 3, "one that it had not acknowledged, and two it never saw"
    again = await read(queue, "files", "r1")
    assert (texts(again), sum(reading.lost for reading in again)) == (["d"], 0)
    await queue.acknowledge("files", "r1", ids(again))
    assert (await queue.lag(["files"], QUEUED_AT))["files"] == Lag()


async def test_what_is_under_way_comes_before_anything_new_also_where_some_of_it_has_gone(queue: Queue) -> None:
    for text in "abcd":
        await queue.tell("s1/google", [f'{{"v":1,"id":"{text}"}}'.encode()])
        if text == "b":
            await trio.sleep(0.01)
            between = await queue.time()
            await trio.sleep(0.01)
    assert texts(await read(queue, "files", "r1")) == ["a", "b", "c", "d"]
    await queue.tell("s1/google", [b'{"v":1,"id":"e"}'])
    assert await queue.forget_events(between) == 2
    given, lost = list[str](), 0
    for _ in range(4):
        readings = await read(queue, "files", "r1", entries=2)
        given, lost = given + texts(readings), lost + sum(reading.lost for reading in readings)
        await queue.acknowledge("files", "r1", ids(readings))
    assert (given, lost) == (["c", "d", "e"], 2)


async def test_what_was_acknowledged_or_came_before_the_group_is_not_lost(queue: Queue) -> None:
    await told(queue, "a", "b")
    await queue.open_group("late", Start.NOW)
    await queue.acknowledge("files", "r1", ids(await read(queue, "files", "r1")))
    await queue.forget_events(await queue.time() + 1.0)
    for group in ("late", "files", "later"):
        assert [reading.lost for reading in await read(queue, group, "r1") if reading.lost] == []


async def test_a_group_that_is_not_there_is_trouble(queue: Queue) -> None:
    with pytest.raises(BackendError, match="group"):
        await queue.read_group("never", "r1", [Wish(stream=0, entries=1)])


async def test_a_group_that_somebody_took_away_begins_anew(client: Client, valkey_url: str) -> None:
    queue = await open_queue(valkey_url, partitions=1)
    await told(queue, "a")
    await queue.acknowledge("files", "r1", ids(await read(queue, "files", "r1")))
    await client.run([("XGROUP", "DESTROY", Partition(0).key("events"), "penstock:files")])
    with pytest.raises(BackendError, match="NOGROUP"):
        await queue.read_group("files", "r1", [Wish(stream=0, entries=1)])
    readings = await read(queue, "files", "r1")
    assert (texts(readings), [reading.lost for reading in readings]) == (["a"], [0])
    await queue.aclose()


async def test_events_of_one_subject_are_told_in_one_stream_and_in_order(queue: Queue) -> None:
    for text in ("a", "b", "c"):
        await queue.tell("s1/google", [f'{{"v":1,"id":"{text}"}}'.encode(), f'{{"v":1,"id":"{text}2"}}'.encode()])
    await queue.tell("s1/google", [])
    readings = [reading for reading in await read(queue, "files", "r1") if reading.entries]
    assert texts(readings) == ["a", "a2", "b", "b2", "c", "c2"]
    assert [len(reading.entries) for reading in readings] == [3]


async def test_what_the_audit_stream_has_is_untold_until_somebody_says_so(queue: Queue) -> None:
    await queue.tell_audit([b"a", b"b", b"c"])
    first = await queue.untold_audit(2)
    assert [body for _, body in first] == [b"a", b"b"]
    assert await queue.untold_audit(2) == first
    await queue.audit_told(first[0][0])
    assert [body for _, body in await queue.untold_audit(9)] == [b"b", b"c"]
    await queue.audit_told((await queue.untold_audit(9))[-1][0])
    assert await queue.untold_audit(9) == []
