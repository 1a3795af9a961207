"""The places of a process: bounded, handed out in order, and given up where they serve nobody."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sender.model import Destination, Route, Source, State, Verdict
from sender.net.session import Failure, Session
from sender.places import Places
from sender.policy.receivers import Profile
from tests.rig import Rig, submitted
from tests.test_engine import running

HOURS = 36_000.0


async def test_who_comes_first_is_served_first() -> None:
    places, served = Places(1), list[int]()

    async def come(number: int) -> None:
        async with places.place():
            served.append(number)

    async with places.place(), trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(come, number)
            await wait_all_tasks_blocked()
        assert repr(places) == "<Places 1 of 1 taken, 3 wait>"
        nursery.cancel_scope.cancel()
    assert (served, places.waiting) == ([], 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(come, 7)
    assert served == [7]


async def test_one_is_told_for_each_who_waits() -> None:
    places, told = Places(2), list[int]()

    async def hold(number: int) -> None:
        async with places.place():
            await places.wanted()
            told.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(hold, number)
            await wait_all_tasks_blocked()
        async with places.place():
            assert told == [0]
            nursery.cancel_scope.cancel()


async def test_receivers_that_never_greet_give_way_to_others_and_to_nobody_else(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many tarpits as the process has places: what they are sent is tried again later, and everybody else is served."""
    rig = Rig(limits={"idle_s": "5s"}, sessions=3)
    inner = rig.office.connect

    async def connect(source: Source, where: Destination, profile: Profile) -> Session | Failure:
        if "tarpit" in where.key:
            await trio.sleep(HOURS)
        return await inner(source, where, profile)

    monkeypatch.setattr(rig.office, "connect", connect)
    await sent_to(rig, "tarpit", 3)
    async with running(rig, rig.engine()):
        await trio.sleep(1_000)
        assert not rig.attempts, "nobody else wants their places"
        await sent_to(rig, "live", 10)
        with trio.fail_after(60):
            for number in range(10):
                assert await rig.finished(f"to-live-{number}") == {State.DELIVERED: 1}
    deferred = [attempt for attempt in rig.attempts if attempt.outcome.verdict is Verdict.DEFERRED]
    assert 1 <= len(deferred) <= 3
    assert all("all places of the process are wanted" in attempt.why for attempt in deferred)


async def sent_to(rig: Rig, kind: str, count: int) -> None:
    """A recipient at each of some small receivers."""
    for number in range(count):
        name = f"{kind}-{number}"
        route = Route(pool="main", receiver=f"~{name}.example")
        await submitted(rig.queue, 1, campaign=f"to-{name}", domains=[f"{name}.example"], route=route)


async def test_who_needs_a_place_calls_the_one_that_has_idled_longest_and_only_once(autojump_clock: MockClock) -> None:
    places, called = Places(1), list[str]()
    async with trio.open_nursery() as nursery, places.place():
        with places.idling(lambda: called.append("first")), places.idling(lambda: called.append("second")):
            nursery.start_soon(_visit, places)
            await trio.sleep(1)
            assert called == ["first"]
            places.call_idle()
            places.call_idle()
            assert called == ["first", "second"]
        nursery.cancel_scope.cancel()


async def _visit(places: Places) -> None:
    async with places.place():
        pass
