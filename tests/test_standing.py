"""What must stand when things change under a lane: MX that change hands, rests, claims that can't be let go, full processes."""

from collections.abc import Sequence

import pytest
import trio

from sender.engine import Engine
from sender.errors import BackendError
from sender.model import Destination, LaneId, Reply, Route, Source, State, Transaction
from sender.net.session import Failure, Session
from sender.policy.receivers import Profile
from sender.shares import weight
from tests.office import OK, Lost
from tests.rig import ROUTE, SOURCE, Rig, submitted
from tests.test_engine import drained, running

UNRESOLVED = Route(pool="main", receiver="~unresolved")


async def test_mail_that_waited_for_dns_goes_by_its_receiver_s_profile(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the route of the unresolved it would otherwise leave under the default profile: with another TLS policy, say."""
    rig = Rig()
    profiles: list[str] = []
    connect = rig.office.connect

    async def noted(source: Source, destination: Destination, profile: Profile) -> Session | Failure:
        profiles.append(profile.name)
        return await connect(source, destination, profile)

    monkeypatch.setattr(rig.office, "connect", noted)
    await submitted(rig.queue, 3, route=UNRESOLVED)
    async with running(rig, rig.engine()):
        assert await rig.finished() == {State.DELIVERED: 3}
    assert set(profiles) == {"big"}


async def test_what_a_lane_has_learnt_outlives_its_rest(autojump_clock: trio.testing.MockClock) -> None:
    """One connection is to last an hour: a minute without work must not open ten again."""
    rig = Rig(limits={"idle_s": "5s", "connections": 10})
    replies = [Reply(code=421, lines=("too many connections",))]

    def answer(transaction: Transaction) -> Reply | Lost:
        return replies.pop() if replies else OK

    rig.office.answer = answer
    await submitted(rig.queue, 3)
    engine = rig.engine()
    async with running(rig, engine):
        await rig.finished()
        await trio.sleep(60)
        assert not engine.lanes
        rig.office.peak = 0
        await submitted(rig.queue, 500, campaign="two")
        await rig.finished("two")
    assert rig.office.peak <= 2


async def test_a_claim_that_could_not_be_let_go_is_let_go_later(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(limits={"idle_s": "5s"})
    failures = [BackendError("timed out")]
    unclaim = rig.queue.unclaim

    async def fails_once(owner: str, lanes: Sequence[LaneId], routes: Sequence[Route]) -> None:
        if failures:
            raise failures.pop()
        await unclaim(owner, lanes, routes)

    monkeypatch.setattr(rig.queue, "unclaim", fails_once)
    first, second = _by_weight(rig)
    await submitted(rig.queue, 5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.keep_time)
        nursery.start_soon(second.run)  # alone, it serves a lane that is not its own by right
        await rig.finished()
        await trio.sleep(30)
        nursery.start_soon(first.run)
        await trio.sleep(5)
        await submitted(rig.queue, 5, campaign="two")
        with trio.fail_after(60):
            await rig.finished("two")
        nursery.cancel_scope.cancel()
    assert not failures


def _by_weight(rig: Rig) -> tuple[Engine, Engine]:
    """Two engines; the first is whom the lane belongs to while both live."""
    lane = LaneId(source=SOURCE.name, receiver=ROUTE.receiver)
    first, second = sorted(("host/1", "host/2"), key=lambda owner: weight(f"{owner}-1", lane), reverse=True)
    return rig.engine(first), rig.engine(second)


async def test_without_signatures_hardly_anything_is_hashed(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig()
    rig.pen.fails = True
    asked = 0
    attempt = rig.pen.attempt

    async def counted(requests: Sequence[tuple[str, bytes]]) -> list[object]:
        nonlocal asked
        asked += len(requests)
        return list(await attempt(requests))

    monkeypatch.setattr(rig.pen, "attempt", counted)
    await submitted(rig.queue, 2_000)
    async with running(rig, rig.engine()):
        await trio.sleep(60)
        assert asked < 2_000
        rig.pen.fails = False
        assert await rig.finished() == {State.DELIVERED: 2_000}


async def test_idle_sessions_make_room_in_a_full_process(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(sessions=10)
    for number in range(100):
        route = Route(pool="main", receiver=f"~t{number}.example")
        await submitted(rig.queue, 1, campaign=f"c{number}", domains=[f"t{number}.example"], route=route)
    async with running(rig, rig.engine()):
        with trio.fail_after(60):
            for number in range(100):
                await rig.finished(f"c{number}")


async def test_a_drain_waits_for_no_connection_pace(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"connections_per_minute": 1, "messages_per_second": 1}, sessions=1)
    await submitted(rig.queue, 100, domains=["a.example", "b.example", "c.example"])
    engine = rig.engine()
    async with running(rig, engine):
        await trio.sleep(5)
        with trio.fail_after(10):
            await drained(engine)


async def test_a_message_over_the_receiver_s_limit_is_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig(limits={"message_size": 50})
    await submitted(rig.queue, 3)
    async with running(rig, rig.engine()):
        assert await rig.finished() == {State.REJECTED: 3}
    assert not rig.office.copies
    assert {attempt.outcome.rule for attempt in rig.attempts} == {"message-size"}
