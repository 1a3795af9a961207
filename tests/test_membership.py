"""Membership: an owner knows by itself when it may no longer act, before anybody can have taken what it holds."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.membership import Membership, host
from sender.queue.owners import BEAT_S, FENCED_AFTER_S
from sender.watch import Watch
from tests.rig import Store


class Road(Store):
    """A store on whose way from one owner beats, or the answers to them, can get lost."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False  # beats arrive, and nobody hears the answer
        self.cut = False  # they do not arrive, and nobody says so
        self.forgets = False  # whoever has just joined
        self.troubles: list[str] = []

    async def heartbeat(self, owner: str) -> Sequence[str]:
        if self.cut:
            await trio.sleep(10.0)
            raise BackendError("timed out")
        if self.forgets:
            await self.fence({owner: None})
        members = await super().heartbeat(owner)
        if self.silent:
            raise BackendError("the answer was lost")
        return members

    def membership(self, base: str = "host/a") -> Membership:
        return Membership(self, base, on_trouble=self.troubles.append)


@asynccontextmanager
async def beating(membership: Membership) -> AsyncIterator[trio.Event]:
    """A member that beats while the block runs; the event is set once it knows that it was fenced."""
    fenced = trio.Event()

    async def run() -> None:
        await membership.run()
        fenced.set()

    await membership.join()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield fenced
        nursery.cancel_scope.cancel()


async def test_it_lives_from_joining_until_it_resigns(autojump_clock: MockClock) -> None:
    road = Road()
    membership = road.membership()
    assert not membership.alive()
    async with beating(membership):
        assert (membership.owner, membership.members) == ("host/a-1", ("host/a-1",))
        await road.join("host/b-1")
        await trio.sleep(60)
        assert membership.alive()
        assert membership.members == ("host/a-1", "host/b-1")
        assert 60 / BEAT_S - 2 <= road.calls["heartbeat"] <= 60 / BEAT_S + 2
        assert repr(membership) == "<Membership host/a-1: alive, one of 2>"
        await membership.resign()
        assert not membership.alive()
    assert list(await road.beats()) == ["host/b-1"]
    assert road.troubles == []


@pytest.mark.row("F6", "F7")
async def test_cut_off_it_stops_before_a_watch_can_fence_it(autojump_clock: MockClock) -> None:
    road = Road()
    membership, watch = road.membership(), Watch(road)
    async with beating(membership) as fenced:
        await trio.sleep(9.7)
        road.cut = True
        stopped, ended = trio.current_time(), float("inf")
        while not await watch.look():
            if not membership.alive():
                ended = min(ended, trio.current_time())
            await trio.sleep(0.5)
        assert stopped + FENCED_AFTER_S - BEAT_S <= ended <= stopped + FENCED_AFTER_S + 0.5
        assert trio.current_time() - ended > 2.0, "a good while before it was fenced"
        assert not fenced.is_set()


async def test_only_beats_that_were_answered_count_and_from_when_they_began(autojump_clock: MockClock) -> None:
    road = Road()
    membership = road.membership()
    async with beating(membership):
        await trio.sleep(2 * BEAT_S + 0.1)
        road.silent = True
        await trio.sleep(FENCED_AFTER_S - BEAT_S)
        assert membership.alive()
        await trio.sleep(BEAT_S + 0.1)
        assert not membership.alive()
        assert await Watch(road).look() == [], "others hear it, and leave it what it has"
        road.silent = False
        await trio.sleep(BEAT_S + 0.1)
        assert membership.alive()
        road.seconds = FENCED_AFTER_S + 1  # an answer so slow says only what was true long ago
        await trio.sleep(10 * FENCED_AFTER_S)
        assert not membership.alive()


@pytest.mark.row("F6")
async def test_fenced_it_is_dead_at_once_and_joins_under_another_name(autojump_clock: MockClock) -> None:
    road = Road()
    membership = road.membership()
    for number in (1, 2, 3):
        async with beating(membership) as fenced:
            assert membership.owner == f"host/a-{number}"
            await trio.sleep(5)
            assert await road.fence({membership.owner: None}) == [membership.owner]
            with trio.fail_after(BEAT_S + 0.1):
                await fenced.wait()
            assert not membership.alive()
            assert membership.owner == f"host/a-{number}", "until it joins anew: what it still settles is that one's"
            await membership.resign()
    assert [text.split(":")[0] for text in road.troubles] == [f"owner host/a-{number} was fenced" for number in (1, 2, 3)]


async def test_a_join_that_fails_is_told_and_may_be_repeated(autojump_clock: MockClock) -> None:
    road = Road()
    membership = road.membership()
    road.away = True
    with pytest.raises(BackendError, match="the store is away"):
        await membership.join()
    assert not membership.alive()
    road.away = False
    await membership.join()
    assert (membership.owner, membership.alive()) == ("host/a-1", True)


async def test_a_join_whose_answer_was_lost_for_too_long_takes_another_name(autojump_clock: MockClock) -> None:
    road = Road()
    membership = road.membership()
    await road.join("host/a-1")  # all that is left of the lost call
    await road.fence({"host/a-1": None})
    await membership.join()
    assert (membership.owner, membership.members) == ("host/a-2", ("host/a-2",))


async def test_a_store_that_forgets_at_once_is_trouble_and_no_endless_loop(autojump_clock: MockClock) -> None:
    road = Road()
    road.forgets = True
    membership = road.membership()
    for number in (1, 2):
        with pytest.raises(BackendError, match=rf"host/a-{number} had joined, and the store knows nothing of it"):
            await membership.join()
        assert not membership.alive()
    road.forgets = False
    await membership.join()
    assert membership.alive()


async def test_while_the_others_are_not_known_it_is_alone(autojump_clock: MockClock) -> None:
    road = Road()
    membership = road.membership()
    road.silent = True
    with pytest.raises(BackendError, match="the answer was lost"):
        await membership.join()
    assert (membership.members, membership.alive()) == (("host/a-1",), True)


@pytest.mark.parametrize("base", ["mta1.example/delivery-0-77-abc", "mta1.example/x/y"])
def test_an_owners_host_is_what_stands_before_the_first_slash(base: str) -> None:
    assert host(f"{base}-1") == Membership(Store(), base).host == "mta1.example"
