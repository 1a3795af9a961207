"""One slow receiver slows no other: the same mail with it and without it, on virtual time.

`tests/scenarios/test_fairness.py` compares whole fleets of real processes.
"""

from collections.abc import Callable, Mapping

import pytest
import trio
from trio.testing import MockClock

from sender.model import Destination, Route, Source
from sender.net.session import Failure, Session
from sender.policy.receivers import Profile
from tests.office import Lost, Office
from tests.rig import SOURCE, Rig, submitted
from tests.test_engine import SECOND, running

OTHERS = tuple(f"r{number}.example" for number in range(6))
SLOW = "slow.example"
EACH, OF_SLOW = 300, 3_000
MORE_MOST = 1.05  # how much longer the others may take


def crawls() -> Office:
    """Each message takes as long as the longest that a receiver is waited for."""
    return Office(rtt_s=600.0)


def lingers() -> Office:
    return Office(rtt_s=20.0, ahead=4)


def drops() -> Office:
    """It takes a connection, and loses it with the first message."""
    return Office(rtt_s=3.0, answer=lambda transaction: Lost())


async def finished(slow: Callable[[], Office] | None, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, float]:
    """When each of the others had all its mail, seconds after the submission."""
    rig = Rig(limits={"connections": 5, "messages_per_second": 20}, office=Office(rtt_s=0.2))
    crawling, quick = slow() if slow else rig.office, rig.office.connect

    async def connect(source: Source, destination: Destination, profile: Profile) -> Session | Failure:
        at = crawling.connect if destination.hosts[0].name == f"mx.{SLOW}" else quick
        return await at(source, destination, profile)

    monkeypatch.setattr(rig.office, "connect", connect)
    began, times = trio.current_time(), dict[str, float]()
    if slow is not None:
        await submitted(rig.queue, OF_SLOW, campaign="to-slow", domains=[SLOW], route=Route(pool="main", receiver=f"~{SLOW}"))
    for name in OTHERS:
        route = Route(pool="main", receiver=f"~{name}")
        await submitted(rig.queue, EACH, campaign=f"to-{name[:2]}", domains=[name], route=route)

    async def wait(name: str) -> None:
        await rig.finished(f"to-{name[:2]}")
        times[name] = trio.current_time() - began

    async with running(rig, rig.engine(sources=[SOURCE, SECOND])), trio.open_nursery() as nursery:
        for name in OTHERS:
            nursery.start_soon(wait, name)
    assert not slow or crawling.connects, "it was asked, and was slow"
    return times


@pytest.mark.parametrize("slow", [crawls, lingers, drops])
async def test_one_slow_receiver_slows_no_other(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, slow: Callable[[], Office]
) -> None:
    without = await finished(None, monkeypatch)
    beside = await finished(slow, monkeypatch)
    print(f"without it {max(without.values()):.1f} s, beside it {max(beside.values()):.1f} s")
    assert {name for name in OTHERS if beside[name] > MORE_MOST * without[name]} == set()
