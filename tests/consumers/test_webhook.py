"""Webhooks: batches in order, signed, retried as they were, given up in the end and kept."""

import json
from dataclasses import replace
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from sender.queue.groups import Entry, Reading
from sender.queue.memory import MemoryQueue
from tests.consumers.hooks import KEY, deliverer, poster, webhook
from tests.consumers.receiver import OK, Receiver, Reply, Request
from tests.consumers.world import following, ids
from tests.queue.feeding import told
from tests.rig import EPOCH, clock
from workers.consumers.file import FileSink
from workers.consumers.signature import mark
from workers.consumers.sink import Outcome, Portion
from workers.consumers.webhook import Batches

pytestmark = pytest.mark.usefixtures("no_threads")


def entry(name: str, *lines: bytes) -> Entry:
    return Entry(id=name, lines=lines)


def test_batches_are_bounded_by_events_and_octets_and_entries_end_with_their_last_event() -> None:
    reading = Reading(stream=3, entries=(entry("1", b"a", b"b"), entry("2", b"c"), entry("3", b"d", b"e", b"f" * 50)))
    cut = list(Batches(lines=True, events=3, octets=20).cut(reading))
    assert [(list(portion.lines), dict(portion.entries)) for portion in cut] == [
        ([b"a", b"b", b"c"], {3: ["1", "2"]}),
        ([b"d", b"e"], {}),
        ([b"f" * 50], {3: ["3"]}),
    ]
    assert all(portion.streams == (3,) for portion in cut)
    assert list(Batches(lines=True, events=3, octets=20).cut(Reading(stream=0))) == []


@pytest.mark.parametrize(("lines", "kind"), [(False, "application/json"), (True, "application/x-ndjson")])
async def test_events_arrive_in_order_and_signed(tmp_path: Path, autojump_clock: MockClock, lines: bool, kind: str) -> None:
    queue = MemoryQueue()
    await told(queue, *map(str, range(20)))
    async with Receiver().open() as receiver, following(queue, webhook(receiver, tmp_path, lines=lines, events=8)) as said:
        await trio.sleep(10)
        assert said.value("events_total", outcome="done") == 20
        assert said.value("lag_entries") == 0
    assert receiver.ids == [str(number) for number in range(20)]
    assert max(len(request.ids) for request in receiver.requests) == 8
    for request in receiver.requests:
        assert request.headers["content-type"] == kind
        moment = request.headers["webhook-timestamp"]
        assert request.headers["webhook-signature"] == mark(KEY, request.name, moment, request.body)
        assert abs(int(moment) - EPOCH) < 60
    assert len({request.name for request in receiver.requests}) == len(receiver.requests)


async def test_a_batch_is_sent_again_as_it_was(tmp_path: Path, autojump_clock: MockClock) -> None:
    queue, bad = MemoryQueue(), iter([Reply(status=500), Reply(status=404), Reply(raw=b""), Reply(status=302)])
    await told(queue, "a", "b")
    async with (
        Receiver(answer=lambda request: next(bad, OK)).open() as receiver,
        following(queue, webhook(receiver, tmp_path)) as said,
    ):
        await trio.sleep(2)
        await told(queue, "c")
        await trio.sleep(60)
        assert said.value("events_total", outcome="retried") == 4 * 2
    assert [request.ids for request in receiver.requests] == [["a", "b"]] * 5 + [["c"]]
    assert len({(request.name, request.body) for request in receiver.requests[:5]}) == 1
    assert [round(later.at - earlier.at) for earlier, later in pairwise(receiver.requests[:5])] == [1, 2, 4, 8]
    assert any("it answered 302, and redirects are not followed" in trouble for trouble in said.troubles)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("7", 7),
        ("0", 1),
        ("99999999999999", 3600),
        (formatdate(EPOCH + 100, usegmt=True), 100),
        (formatdate(EPOCH - 100, usegmt=True), 1),
        ("soon", 1),
        ("-5", 1),
        ("", 1),
    ],
)
async def test_a_receivers_word_on_when_to_come_back_is_heeded_within_bounds(
    tmp_path: Path, autojump_clock: MockClock, said: str, wait_s: int
) -> None:
    queue, bad = MemoryQueue(), iter([Reply(status=429, headers={"retry-after": said})])
    await told(queue, "a")
    async with Receiver(answer=lambda request: next(bad, OK)).open() as receiver, following(queue, webhook(receiver, tmp_path)):
        await trio.sleep(3700)
    first, second = receiver.requests
    assert second.at - first.at == pytest.approx(wait_s, abs=1.5)


@pytest.mark.parametrize("moment", ["Mon, 01 Jan 2024 00:00:00 +99999999999999999", "Mon, 01 Jan 99999999999 00:00:00 GMT"])
async def test_a_moment_beyond_all_calendars_is_no_moment(tmp_path: Path, autojump_clock: MockClock, moment: str) -> None:
    queue, said = MemoryQueue(), iter([Reply(status=503, headers={"retry-after": moment})])
    await told(queue, "a")
    async with (
        Receiver(answer=lambda request: next(said, OK)).open() as receiver,
        following(queue, webhook(receiver, tmp_path)),
    ):
        await trio.sleep(5)
    first, second = receiver.requests
    assert round(second.at - first.at) == 1


async def test_gone_is_the_end_until_the_next_start(tmp_path: Path, autojump_clock: MockClock) -> None:
    queue = MemoryQueue()
    await told(queue, "a")
    async with Receiver(answer=lambda request: Reply(status=410)).open() as receiver:
        async with following(queue, webhook(receiver, tmp_path)) as said:
            await trio.sleep(7200)
            await told(queue, "b")
            await trio.sleep(60)
            assert said.value("lag_entries") == 2
        assert len(receiver.requests) == 1
        assert any("410 Gone" in trouble for trouble in said.troubles)
        receiver.answer = lambda request: OK
        async with following(queue, webhook(receiver, tmp_path)):
            await trio.sleep(60)
    assert receiver.ids[1:] == ["a", "b"]


async def test_what_is_given_up_is_kept_and_each_further_batch_is_tried_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    queue = MemoryQueue()
    await told(queue, *map(str, range(6)))
    receiver = Receiver(answer=lambda request: Reply(status=503))
    async with receiver.open(), following(queue, webhook(receiver, tmp_path, events=2, give_up_s=600)) as said:
        await trio.sleep(550)
        assert said.value("events_total", outcome="dead") == 0
        assert {request.name for request in receiver.requests} == {receiver.requests[0].name}
        await trio.sleep(150)
        assert said.value("events_total", outcome="dead") == 6
        assert "consumer log: events were given up and are kept: `penstock events replay` sends them again" in said.troubles
        assert [request.ids for request in receiver.requests[-3:]] == [["0", "1"], ["2", "3"], ["4", "5"]]
        receiver.answer = lambda request: OK
        await told(queue, "6")
        await trio.sleep(5)
        receiver.answer = lambda request: Reply(status=503)
        await told(queue, "7")
        await trio.sleep(500)
        assert said.value("events_total", outcome="dead") == 6, "it has a whole patience again"
        assert said.value("lag_entries") == 1
    assert ids((tmp_path / "log-dead.jsonl").read_bytes().splitlines()) == [str(number) for number in range(6)]


async def test_what_was_given_up_can_be_set_aside_while_the_consumer_is_at_work(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    queue, receiver = MemoryQueue(), Receiver(answer=lambda request: Reply(status=503))
    await told(queue, "a")
    async with receiver.open(), following(queue, webhook(receiver, tmp_path, give_up_s=0.0)):
        await trio.sleep(5)
        (kept,) = webhook(receiver, tmp_path).dead.set_aside()
        await told(queue, "b")
        await trio.sleep(5)
    assert ids(kept.read_bytes().splitlines()) == ["a"]
    assert ids((tmp_path / "log-dead.jsonl").read_bytes().splitlines()) == ["b"]


class Slow(FileSink):
    """Writing takes a second, and it is known how many write at once."""

    writing = most = 0

    async def take(self, portion: Portion) -> Outcome:
        self.writing += 1
        self.most = max(self.most, self.writing)
        await trio.sleep(1.0)
        self.writing -= 1
        return await FileSink.take(self, portion)


async def test_what_several_ways_give_up_at_once_is_written_one_after_the_other(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    receiver = Receiver()  # that does not listen
    dead = Slow(directory=tmp_path, name="dead", rotate_octets=10**6, rotate_every_s=0.0, keep_files=1, clock=clock)
    sink = replace(webhook(receiver, tmp_path, ways=4, give_up_s=0.0), dead=dead)
    async with trio.open_nursery() as nursery:
        for stream in range(4):
            line = json.dumps({"id": str(stream)}).encode()
            nursery.start_soon(sink.take, Portion(streams=(stream,), entries={stream: ["1"]}, lines=[line]))
    assert dead.most == 1
    assert sorted(ids((tmp_path / "dead.jsonl").read_bytes().splitlines())) == ["0", "1", "2", "3"]


async def test_neither_secret_nor_url_is_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    queue = MemoryQueue()
    await told(queue, "a")
    async with Receiver(answer=lambda request: Reply(status=500)).open() as receiver:
        receiver_url, sink = receiver.url, webhook(receiver, tmp_path)
        sink.deliverer = deliverer(poster(receiver_url + "?token=s3cret"))
        async with following(queue, sink) as said:
            await trio.sleep(20)
    assert said.troubles
    for text in (*said.troubles, repr(sink.deliverer.poster)):
        assert "s3cret" not in text
        assert KEY.decode() not in text


def event(number: int, kind: str, attempt: int) -> bytes:
    return json.dumps({"v": 1, "id": f"spring:{number}:1000:{attempt}:{kind}", "ordinal": number}).encode()


async def test_a_receiver_that_is_down_for_five_minutes_loses_nothing_and_learns_it_in_order(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """1,000 events a second meanwhile. Each recipient is deferred and then delivered; some answers are lost on the way."""
    queue, receiver, told_at = MemoryQueue(), Receiver(), list[float]()
    asked = 0

    def answer(request: Request) -> Reply:
        nonlocal asked
        asked += 1
        return Reply(raw=b"") if asked % 7 == 0 else OK  # taken, and the answer never came

    async def deliver(seconds: int) -> None:
        """Ten settlements a second, of fifty recipients who were deferred and fifty who were delivered."""
        for _ in range(10 * seconds):
            numbers = range(50 * len(told_at), 50 * (len(told_at) + 1))
            first = [event(number, "deferred", 1) for number in numbers]
            second = [event(number - 500, "delivered", 2) for number in numbers if number >= 500]
            queue._tell((*first, *second), trio.current_time())
            told_at.append(trio.current_time())
            await trio.sleep(0.1)

    receiver.answer = answer
    with receiver.away():
        async with following(queue, webhook(receiver, tmp_path, ways=4)) as said:
            await deliver(300)
            assert receiver.requests == []
            assert told_at[-1] - told_at[0] == pytest.approx(299.9, abs=0.01), "delivery waited for nothing"
            async with receiver.open():
                await deliver(10)
                await trio.sleep(120)
                assert said.value("lag_entries") == 0
                assert said.value("lost_entries_total") == 0
                assert said.value("events_total", outcome="dead") == 0
    seen: dict[str, int] = {}
    doubles = 0
    for request in receiver.requests:
        for name in request.ids:
            doubles += name in seen
            seen.setdefault(name, len(seen))
    count = 50 * len(told_at)
    assert len(seen) == count + count - 500, "each change has one id, however often it is told"
    assert doubles > 0
    assert all(
        seen[f"spring:{number}:1000:1:deferred"] < seen[f"spring:{number}:1000:2:delivered"] for number in range(count - 500)
    ), "in order for each envelope"
    assert not (tmp_path / "log-dead.jsonl").exists()
