"""The watch: only a beat that stood still, while the watch itself looked all along, makes an owner dead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from trio.testing import MockClock

from sender.errors import BackendError
from sender.queue.owners import BEAT_S, OWNER_LIFE_S
from sender.watch import Watch
from tests.rig import Store


class Fleet:
    """Owners that beat until the test stops them, and watches that look once a second."""

    def __init__(self) -> None:
        self.queue = Store()
        self.stopped: set[str] = set()
        self.fenced: dict[str, float] = {}
        self.watching = trio.Event()  # replaced by one that is not set, nobody looks
        self.watching.set()

    async def live(self, owner: str) -> None:
        await self.queue.join(owner)
        while True:
            with suppress(BackendError):
                if owner not in self.stopped:
                    await self.queue.heartbeat(owner)
            await trio.sleep(BEAT_S)

    async def watch(self) -> None:
        watch = Watch(self.queue)
        while True:
            await self.watching.wait()
            with suppress(BackendError):
                for owner in await watch.look():
                    self.fenced[owner] = trio.current_time()
            await trio.sleep(1.0)

    @asynccontextmanager
    async def running(self, *owners: str, watches: int = 1) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            for owner in owners:
                nursery.start_soon(self.live, owner)
            for _ in range(watches):
                nursery.start_soon(self.watch)
            yield
            nursery.cancel_scope.cancel()


async def test_who_beats_lives_and_who_has_stopped_is_fenced_in_time(autojump_clock: MockClock) -> None:
    fleet = Fleet()
    async with fleet.running("a", "b", watches=2):
        await trio.sleep(100)
        assert fleet.fenced == {}
        fleet.stopped.add("b")
        stopped = trio.current_time()
        await trio.sleep(60)
    assert list(fleet.fenced) == ["b"]
    assert OWNER_LIFE_S - BEAT_S <= fleet.fenced["b"] - stopped <= OWNER_LIFE_S + 2.5
    assert await fleet.queue.fenced() == ["b"]


async def test_an_owner_already_dead_when_the_watch_begins_has_one_life(autojump_clock: MockClock) -> None:
    fleet = Fleet()
    await fleet.queue.join("a")
    began = trio.current_time()
    async with fleet.running():
        await trio.sleep(60)
    assert OWNER_LIFE_S < fleet.fenced["a"] - began <= OWNER_LIFE_S + 1.5


@pytest.mark.parametrize("trouble", ["the store was away", "the watch was held up", "the store was slow"])
async def test_after_trouble_everybody_has_a_whole_life_to_beat_again(autojump_clock: MockClock, trouble: str) -> None:
    """Whoever could not beat meanwhile is slow to come back: nobody is fenced for that."""
    fleet = Fleet()
    async with fleet.running("a", "b"):
        await trio.sleep(30)
        fleet.stopped |= {"a", "b"}
        match trouble:
            case "the store was away":
                fleet.queue.away = True
                await trio.sleep(40)
                fleet.queue.away = False
            case "the watch was held up":
                fleet.watching = trio.Event()
                await trio.sleep(40)
                fleet.watching.set()
            case _:
                fleet.queue.seconds = 20.0
                await trio.sleep(40)
                fleet.queue.seconds = 0.0
        back = trio.current_time()
        await trio.sleep(OWNER_LIFE_S - 2)
        fleet.stopped.discard("a")
        await trio.sleep(40)
    assert list(fleet.fenced) == ["b"]
    assert fleet.fenced["b"] > back + OWNER_LIFE_S - 1


async def test_a_short_outage_is_one_too(autojump_clock: MockClock) -> None:
    fleet = Fleet()
    async with fleet.running("a"):
        await trio.sleep(20)
        fleet.stopped.add("a")
        await trio.sleep(10)
        fleet.queue.away = True
        await trio.sleep(2)
        fleet.queue.away = False
        back = trio.current_time()
        await trio.sleep(40)
    assert fleet.fenced["a"] >= back + OWNER_LIFE_S - 0.5


@pytest.mark.row("F23", "F24")
async def test_no_wall_clock_has_a_say(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this host's nor the store's: beats are numbers."""
    fleet = Fleet()

    async def leaping() -> float:
        raise AssertionError("a watch asks for no time")

    monkeypatch.setattr(fleet.queue, "time", leaping)
    monkeypatch.setattr("time.time", lambda: 0.0)
    async with fleet.running("a"):
        await trio.sleep(100)
    assert fleet.fenced == {}
