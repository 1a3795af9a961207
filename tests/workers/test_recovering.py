"""Recovery by the scheduler: a process that died is known by its journal at once, not after an owner's life."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.model import State
from sender.queue.base import HeldLease
from sender.queue.journal import Journal
from sender.queue.journal_left import homes
from sender.queue.owners import OWNER_LIFE_S
from sender.settings import load
from tests.queue.feeding import conserved, filled, leased
from tests.rig import clock
from tests.workers.test_scheduler import Diary, scheduling, surroundings
from workers.places import journal_dir

__all__ = ["surroundings"]  # the fixture


class Died:
    """An owner that was killed, with one outcome and one doubt in its journal."""

    def __init__(self, queue: Diary) -> None:
        self.queue = queue
        self.journal = Journal(journal_dir(load()), "never")

    async def live(self) -> None:
        await filled(self.queue, 20)
        await self.queue.join("worker-1")
        self.journal.begin("worker-1")
        (lease,) = await leased(self.queue, 12)
        self.journal.intent([(lease.id, 0), (lease.id, 1)])
        self.journal.ended((lease.id, 1), State.DELIVERED, b'{"type":"delivered"}', at=clock())

    def die(self) -> None:
        self.journal._let_go()


@pytest.mark.row("F1", "F8")
async def test_what_a_killed_process_held_is_settled_and_back_within_seconds(autojump_clock: MockClock) -> None:
    queue = Diary()
    died = Died(queue)
    await died.live()
    async with scheduling(queue) as said:
        await trio.sleep(5)
        assert (await queue.depth(clock())).leased == 12
        died.die()
        await trio.sleep(2.5)
        depth = await queue.depth(clock())
        assert (depth.leased, sum(depth.ready.values()), depth.later) == (0, 18, 1)
    told = {entry["event"]: entry for entry in said.entries}
    assert (told["recovered"]["owner"], told["recovered"]["outcomes"], told["recovered"]["doubts"]) == ("worker-1", 1, 1)
    assert told["recovered"]["why"] == "its process is gone"
    assert told["reclaimed"]["envelopes"] == 10
    await conserved(queue)


@pytest.mark.row("F6")
async def test_what_a_frozen_process_held_is_settled_before_it_goes_back(autojump_clock: MockClock) -> None:
    queue = Diary()
    await Died(queue).live()
    async with scheduling(queue) as said:
        await trio.sleep(OWNER_LIFE_S + 4)
        depth = await queue.depth(clock())
        assert (depth.leased, sum(depth.ready.values()), depth.later) == (0, 18, 1)
    assert [entry["event"] for entry in said.entries][:3] == ["fenced", "recovered", "reclaimed"]
    assert said.entries[1]["why"] == "it was fenced, and its process hangs"
    await conserved(queue)


class Halting(Diary):
    """Its leases can't be asked for."""

    async def held(self, owner: str) -> Sequence[HeldLease]:
        raise BackendError("the store is away")


async def test_nothing_goes_back_while_what_was_known_of_it_can_t_be_settled(autojump_clock: MockClock) -> None:
    queue = Halting()
    died = Died(queue)
    await died.live()
    died.die()
    async with scheduling(queue):
        await trio.sleep(60)
        assert (await queue.depth(clock())).leased == 12
        assert queue.asked["reclaim"] == []
    assert [home.name for home in homes(journal_dir(load()))] == ["worker-1"]
