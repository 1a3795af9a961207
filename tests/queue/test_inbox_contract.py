"""From the inbox to the routes, on every backend: nothing is taken twice, and nothing malformed stops the rest."""

import json
from dataclasses import replace

import pytest
import trio

from sender.model import State
from sender.queue.base import BATCH_ROWS, Announcement, Queue, Refusal, RowBatch
from tests.queue.feeding import OTHER, QUEUED_AT, ROUTE, all_delivered, chunk_of, envelopes, filled, leased, opened


async def test_a_campaign_waits_until_it_is_checked(queue: Queue) -> None:
    await queue.announce("spring", b"as written")
    (announcement,) = await queue.announcements(10)
    assert (announcement.campaign, announcement.spec, announcement.row) == ("spring", b"as written", b"")
    assert await queue.spec("spring") is None
    assert await queue.campaigns() == []
    await queue.accept(announcement, b"as checked", 5.0)
    assert await queue.spec("spring") == b"as checked"
    assert (await queue.announcements(10), await queue.open_campaigns(), await queue.campaigns()) == (
        [],
        ["spring"],
        ["spring"],
    )


async def test_the_first_campaign_of_a_name_wins_and_a_repeat_opens_nothing(queue: Queue) -> None:
    await opened(queue)
    await queue.finish_rows("spring")
    await queue.announce("spring", b"another")
    (repeat,) = await queue.announcements(10)
    await queue.accept(repeat, b"another", 6.0)
    await queue.accept(repeat, b"another", 7.0)
    assert await queue.spec("spring") == b'{"v":1}'
    assert (await queue.open_campaigns(), await queue.announcements(10)) == ([], [])


async def test_a_finished_campaign_keeps_its_name_and_counters_and_not_its_content(queue: Queue) -> None:
    await queue.announce("one", b"{}")
    (found,) = await queue.announcements(1)
    made = replace(found, row=b'{"to":"a@b.example"}')
    await queue.accept(made, b"{}", 5.0)
    await queue.expand(await chunk_of(queue, "one", [(ROUTE, envelopes("one", 1))]), QUEUED_AT)
    await queue.finish_rows("one")
    await queue.reclaim(QUEUED_AT)
    assert await queue.spec("one") == b"{}", "its recipient is not final"
    (lease,) = await leased(queue, 1)
    await queue.settle([all_delivered(lease)], QUEUED_AT)
    await queue.reclaim(QUEUED_AT + 100)
    assert await queue.spec("one") is None
    await queue.announce("one", b"another")
    (repeat,) = await queue.announcements(1)
    for _ in range(2):
        await queue.accept(replace(repeat, row=b'{"to":"a@b.example"}'), b"another", QUEUED_AT + 101)
    assert (await queue.spec("one"), await queue.announcements(1), await queue.open_campaigns()) == (None, [], [])
    (status,) = await queue.status(["one"])
    assert (status.accepted, status.finished, status.waiting_batches, status.complete) == (1, 1, 0, True)
    assert await queue.campaigns() == ["one"]


async def test_announcements_come_oldest_first_and_no_more_than_asked_for(queue: Queue) -> None:
    for name in ("a", "b", "c"):
        await queue.announce(name, b"{}")
    assert [found.campaign for found in await queue.announcements(2)] == ["a", "b"]


async def test_campaigns_are_named_newest_first(queue: Queue) -> None:
    for moment, name in enumerate(("a", "c", "b")):
        await queue.announce(name, b"{}")
        (announcement,) = await queue.announcements(10)
        await queue.accept(announcement, b"{}", float(moment))
    assert await queue.campaigns() == ["b", "c", "a"]


@pytest.mark.parametrize("name", ["", "a b", "a}b", "a:b", "é", "x" * 65])
async def test_a_name_that_could_break_out_of_its_key_is_refused(queue: Queue, name: str) -> None:
    with pytest.raises(ValueError, match="no campaign id"):
        await queue.announce(name, b"{}")


async def test_batches_are_counted_once_however_often_they_are_sent(queue: Queue) -> None:
    batches = [RowBatch(number=number, rows=b'{"to":"a@b.example"}') for number in range(3)]
    assert await queue.add_rows("spring", batches[:2]) == 2
    assert await queue.add_rows("spring", batches) == 1
    inflow = await queue.rows("spring", 10)
    assert [batch.number for batch in inflow.batches] == [0, 1, 2]
    assert [batch.rows for batch in inflow.batches] == [batch.rows for batch in batches]
    assert (inflow.chunk, inflow.exhausted, inflow.repeats, inflow.malformed) == (0, False, (), ())


async def test_rows_may_come_before_the_campaign_and_are_read_a_few_at_a_time(queue: Queue) -> None:
    await queue.add_rows("spring", [RowBatch(number=number, rows=b"{}") for number in (2, 0, 1)])
    assert [batch.number for batch in (await queue.rows("spring", 2)).batches] == [2, 0]


async def test_rows_end_only_when_every_batch_before_the_end_is_expanded(queue: Queue) -> None:
    await queue.announce("spring", b"{}")
    (announcement,) = await queue.announcements(1)
    await queue.accept(announcement, b"{}", 1.0)
    await queue.add_rows("spring", [RowBatch(number=0, rows=b"{}")])
    await queue.close_rows("spring", 2)
    await queue.close_rows("spring", 5)  # the first end stands
    await queue.expand(await chunk_of(queue, "spring", []), 1.0)
    assert not (await queue.rows("spring", 10)).exhausted
    await queue.add_rows("spring", [RowBatch(number=1, rows=b"{}")])
    assert not (await queue.rows("spring", 10)).exhausted
    await queue.expand(await chunk_of(queue, "spring", []), 1.0)
    assert (await queue.rows("spring", 10)).exhausted
    (status,) = await queue.status(["spring"])
    assert status.complete
    assert status.waiting_batches == 0
    await queue.finish_rows("spring")
    await queue.finish_rows("spring")
    assert await queue.open_campaigns() == []


async def test_a_campaign_without_recipients_is_exhausted_at_once(queue: Queue) -> None:
    await opened(queue, batches=0)
    assert (await queue.rows("spring", 10)).exhausted


async def test_a_chunk_counts_what_was_queued_and_what_ended_there(queue: Queue) -> None:
    await opened(queue)
    packs = [(ROUTE, envelopes("spring", 5)), (OTHER, envelopes("spring", 2, start=5))]
    chunk = await chunk_of(
        queue, "spring", packs, states={State.INVALID: 2, State.SUPPRESSED: 1}, events=(b'{"n":1}', b'{"n":2}')
    )
    assert await queue.expand(chunk, 1000.0)
    (status,) = await queue.status(["spring", "nobody"])
    assert (status.accepted, status.queued, status.complete) == (10, 7, True)
    assert status.final == {("-", State.INVALID): 2, ("-", State.SUPPRESSED): 1}
    assert {ready.route: ready.envelopes for ready in await queue.ready(10)} == {ROUTE: 5, OTHER: 2}
    assert [json.loads(event)["n"] for event in (await queue.events("", 10))[1]] == [1, 2]


async def test_a_chunk_told_again_adds_nothing(queue: Queue) -> None:
    await opened(queue)
    chunk = await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))], states={State.INVALID: 2}, events=(b"{}",))
    assert await queue.expand(chunk, 1000.0)
    assert await queue.expand(chunk, 1001.0)  # ours: applied, once
    (status,) = await queue.status(["spring"])
    assert (status.accepted, status.queued) == (7, 5)
    assert len((await queue.events("", 10))[1]) == 1


async def test_two_expanders_race_for_a_chunk_and_one_of_them_wins(queue: Queue) -> None:
    await opened(queue)
    first = await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 5))])
    second = await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 3)), (OTHER, envelopes("spring", 2, start=3))])
    won = []

    async def race(chunk_number: int) -> None:
        won.append(await queue.expand((first, second)[chunk_number], 1000.0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(race, 0)
        nursery.start_soon(race, 1)
    assert sorted(won) == [False, True]
    (status,) = await queue.status(["spring"])
    assert (status.accepted, status.queued) == (5, 5)
    assert (await queue.rows("spring", 10)).chunk == 1


async def test_a_batch_expanded_before_is_a_repeat_that_a_chunk_drops(queue: Queue) -> None:
    await filled(queue, 5)
    inflow = await queue.rows("spring", 10)
    assert (inflow.batches, inflow.repeats) == ((), ())


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        (RowBatch(number=7, rows=b'{"to":"a@b.example"}\n' * (BATCH_ROWS + 1)), "1001 lines, allowed are 1000"),
        (RowBatch(number=3_000_000, rows=b"{}"), "batch number 3000000"),
        (RowBatch(number=7, rows=b"x" * 4_194_305), "4194305 octets"),
    ],
)
async def test_a_batch_out_of_bounds_is_not_taken(queue: Queue, batch: RowBatch, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        await queue.add_rows("spring", [batch])


async def test_a_refused_announcement_is_counted_once_and_gone(queue: Queue) -> None:
    await queue.announce("spring", b"nonsense")
    (announcement,) = await queue.announcements(10)
    refusal = _refusal(announcement, "no JSON")
    await queue.refuse([refusal], 5.0)
    await queue.refuse([refusal], 6.0)
    assert await queue.announcements(10) == []
    assert (await queue.depth(7.0)).refused == 1


async def test_a_refused_batch_is_counted_once_and_may_be_sent_again_corrected(queue: Queue) -> None:
    await opened(queue)
    (batch,) = (await queue.rows("spring", 10)).batches
    refusal = Refusal(entry=batch.entry, campaign="spring", why="no JSON", payload=batch.rows)
    await queue.refuse([refusal], 5.0)
    await queue.refuse([refusal], 6.0)
    assert (await queue.depth(7.0)).refused == 1
    inflow = await queue.rows("spring", 10)
    assert (inflow.batches, inflow.exhausted) == ((), False)
    assert await queue.add_rows("spring", [RowBatch(number=0, rows=b'{"to":"corrected@example.org"}')]) == 1
    assert [found.number for found in (await queue.rows("spring", 10)).batches] == [0]


async def test_a_batch_beyond_the_end_is_malformed(queue: Queue) -> None:
    await opened(queue)
    await queue.add_rows("spring", [RowBatch(number=4, rows=b"{}")])
    (refusal,) = (await queue.rows("spring", 10)).malformed
    assert refusal.why == "batch 4 of a campaign that ends after 1"


async def test_an_accepted_ready_made_message_brings_its_recipient(queue: Queue) -> None:
    await queue.announce("one", b"{}")
    (found,) = await queue.announcements(1)
    made = Announcement(entry=found.entry, campaign="one", spec=found.spec, row=b'{"to":"a@b.example"}')
    await queue.accept(made, b"{}", 5.0)
    await queue.accept(made, b"{}", 6.0)
    (batch,) = (await queue.rows("one", 10)).batches
    assert (batch.number, batch.rows) == (0, b'{"to":"a@b.example"}')
    await queue.expand(await chunk_of(queue, "one", [(ROUTE, envelopes("one", 1))]), 7.0)
    assert (await queue.rows("one", 10)).exhausted


async def test_unknown_campaigns_are_empty(queue: Queue) -> None:
    inflow = await queue.rows("nobody", 10)
    assert (inflow.batches, inflow.exhausted, inflow.chunk) == ((), False, 0)
    assert await queue.status(["nobody"]) == []
    assert await queue.spec("nobody") is None


def _refusal(announcement: Announcement, why: str) -> Refusal:
    return Refusal(entry=announcement.entry, campaign=announcement.campaign, why=why, payload=announcement.spec)
