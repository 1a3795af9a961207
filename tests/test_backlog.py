"""What a lane holds for one destination: nothing that goes in is ever out of sight."""

import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from sender.backlog import Backlog, Held, held_of
from sender.model import Transaction
from tests.holding import held
from tests.rig import destination, profiles


def backlog(count: int) -> Backlog:
    made = Backlog(destination("big.example"), profiles().profile("big"))
    made.held.extend(held(count))
    return made


def transaction(of: Held) -> Transaction:
    return Transaction(mail_from="b@shop.example", rcpt=of.envelope.address, head=b"", tag=of)


async def test_everything_waiting_is_counted_on_every_stage_of_its_way() -> None:
    waiting = backlog(10)
    batch = waiting.batch(4)
    assert (len(waiting.held), waiting.preparing, waiting.waiting) == (6, 4, 10)
    waiting.prepared(4, [transaction(one) for one in batch[:3]])
    assert (waiting.preparing, len(waiting.ready), waiting.waiting) == (0, 3, 9)
    waiting.ready.popleft()
    assert waiting.waiting == 8


async def test_a_batch_is_no_larger_than_what_there_is() -> None:
    waiting = backlog(3)
    assert len(waiting.batch(8)) == 3
    assert waiting.batch(8) == []
    assert waiting.preparing == 3


async def test_of_large_messages_fewer_make_a_batch() -> None:
    waiting = backlog(10)
    assert waiting.of_its_size(8, 1000) == 8
    for octets, expected in ((100, 8), (300, 3), (5000, 1)):
        waiting.prepared(0, [replace(transaction(waiting.held[0]), head=bytes(octets))])
        assert waiting.of_its_size(8, 1000) == expected


async def test_draining_gives_back_ready_ones_first_and_leaves_what_is_being_prepared() -> None:
    waiting = backlog(10)
    first = waiting.batch(2)
    waiting.prepared(2, [transaction(one) for one in first])
    waiting.batch(3)
    back = waiting.drain()
    assert [one.envelope.ordinal for one in back] == [0, 1, 5, 6, 7, 8, 9]
    assert waiting.waiting == waiting.preparing == 3
    assert waiting.drain() == []


async def test_so_many_sessions_are_woken_as_there_are_messages_and_a_change_wakes_all(autojump_clock: MockClock) -> None:
    waiting, woken = backlog(2), list[int]()

    async def wait() -> None:
        await waiting.wait_changed()
        woken.append(len(waiting.ready))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        waiting.prepared(2, [transaction(held) for held in waiting.batch(2)])
        await wait_all_tasks_blocked()
        assert woken == [2, 2]
        waiting.changed()
    assert len(woken) == 5


async def test_of_sessions_that_the_pace_holds_back_one_wakes_when_a_message_may_go(autojump_clock: MockClock) -> None:
    waiting, woken = backlog(0), list[float]()

    async def wait(due: float) -> None:
        await waiting.wait_paced(start + due, start + 60)
        woken.append(trio.current_time() - start)

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait, 1.0)
        await trio.sleep(2)
        assert woken == [1.0]
        waiting.offer()
        await trio.sleep(2)
        assert woken == [1.0, 2.0]
    assert woken == [1.0, 2.0, 60.0]


async def test_where_the_one_that_waits_for_the_pace_is_gone_the_next_does(autojump_clock: MockClock) -> None:
    waiting, start = backlog(0), trio.current_time()
    with trio.move_on_after(0.5):
        await waiting.wait_paced(start + 1, start + 60)
    await waiting.wait_paced(start + 1, start + 60)
    assert trio.current_time() == start + 1


async def test_it_says_in_a_line_what_it_holds() -> None:
    assert repr(backlog(2)) == "<Backlog 10:mx.big.example: 2 held, 0 ready, 0 sessions>"


async def test_sifting_takes_out_what_was_asked_for_and_keeps_the_order_of_the_rest() -> None:
    waiting = backlog(10)
    batch = waiting.batch(6)
    waiting.prepared(4, [transaction(one) for one in batch[:4]])
    out = waiting.sift(lambda one: f"row {one.position}" if one.position % 2 else None)
    assert {one.position: answer for one, answer in out.items()} == {n: f"row {n}" for n in (1, 3, 7, 9)}
    assert [held_of(one).position for one in waiting.ready] == [0, 2]
    assert [one.position for one in waiting.held] == [6, 8]
    assert waiting.preparing == 2
    assert waiting.sift(lambda one: None) == {}
    assert waiting.waiting == 6


async def test_one_that_nobody_has_taken_is_to_be_had_from_either_place_until_there_is_none() -> None:
    waiting = backlog(2)
    batch = waiting.batch(1)
    waiting.prepared(1, [transaction(batch[0])])
    (first,), (second,) = waiting.one(), waiting.one()
    assert second is batch[0]
    assert first is not second
    assert (waiting.one(), waiting.waiting) == ([], 0)
