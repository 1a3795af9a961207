"""Caps under a real fleet: ten delivery processes, a real Valkey, workers killed again and again while they send.

The receivers' own record judges, by when each of them took what from whom: in no minute, hour or day more than the plan
permits, at each large receiver and at all small ones together; and in the end, of what it permits, nearly all. Some of the
small ones put everybody off at first: that uses a unit, too, so of theirs what was used counts. The figures are printed.
"""

import re
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import kill
from random import Random

import pytest
import trio

from sender.model import LaneId, Route
from sender.queue.warmups import Account, Use
from tests.scenarios.stage import Stage, eventually, stage

pytestmark = pytest.mark.integration

WORKERS, SOURCES = 10, 4
# Receivers that put nobody off at first, by the domain that is written to.
RECEIVERS = {"gmail.com": "google", "yahoo.com": "yahoo", "orange.fr": "orange", "gmx.net": "gmx"}
SMALL = tuple(f"shop-{number:04}.example" for number in range(1, 401))  # of a dozen operators without a profile
EFFICIENCY_LEAST = 0.98
LENGTHS_S = {"day": 86_400, "hour": 3_600, "minute": 60}

_PLAN = """\
time_zone = "{zone}"

[stages]
day = [{day}, 1_000_000]
hour = [{day}, 1_000_000]
minute = [{minute}, 1_000_000]

[gates]
sample = 1_000_000
"""
_CHANGES = {
    r"delivery = 2": f"delivery = {WORKERS}",
    r"signers = 2": "signers = 1",
    r".*demo-rsa.*\n": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """How much each lane may send, and how often a worker dies."""

    day: int
    minute: int
    kills: int
    every_s: float
    seconds: float  # for all of it


SHORT = Play(day=150, minute=150, kills=6, every_s=1.5, seconds=150.0)
LONG = Play(day=600, minute=100, kills=60, every_s=6.0, seconds=700.0)


def accounts() -> list[Account]:
    """Those of all lanes: at the large receivers each has its own, at the small ones a source's lanes share one."""
    shared = [Account(f"source-{number}/other") for number in range(1, SOURCES + 1)]
    return shared + [
        Account.of(LaneId(source=f"source-{number}", receiver=receiver), Route(pool="main", receiver=receiver))
        for number in range(1, SOURCES + 1)
        for receiver in RECEIVERS.values()
    ]


def zone() -> str:
    """One where it is not night now: the day must not end while the fleet runs."""
    return "UTC" if time.gmtime().tm_hour < 20 else "Etc/GMT+6"  # which is UTC-6


def warming(room: Stage, play: Play) -> None:
    """All sources follow a plan of the scenario's own."""
    (room.config / "warmup").mkdir()
    (room.config / "warmup" / "scenario.toml").write_text(_PLAN.format(zone=zone(), day=play.day, minute=play.minute))
    sources = room.config / "sources.toml"
    sources.write_text(sources.read_text().replace('pool = "main"\n', 'pool = "main"\nwarmup = "scenario"\n'))


def settings(text: str) -> str:
    for pattern, line in _CHANGES.items():
        text, count = re.subn(pattern, line, text)
        assert count, pattern
    return text


async def killing(room: Stage, play: Play, rng: Random) -> None:
    """kill -9 of one worker after the other, at random."""
    for _ in range(play.kills):
        await trio.sleep(play.every_s * rng.uniform(0.5, 1.5))
        with suppress(ProcessLookupError):  # it has just died, and was not yet begun anew
            kill(room.pid(f"delivery-{rng.randrange(WORKERS)}"), signal.SIGKILL)


async def uses(room: Stage) -> Mapping[Account, Use]:
    return await room.queue.use(accounts(), await room.queue.time())


def taken(room: Stage) -> list[tuple[str, float]]:
    """Whose units sent it, and when its receiver took it: once for each message."""
    entries = (entry for entry in room.record() if "recipients" in entry)
    return [(f"{entry['source']} {entry['receiver'].partition('-')[0]}", entry["at"]) for entry in entries]


def fullest(sent: Sequence[tuple[str, float]], length_s: int) -> int:
    """What the fullest window of any lane has seen."""
    return max(Counter((lane, int(at // length_s)) for lane, at in sent).values(), default=0)


@pytest.mark.parametrize("play", [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.long)])
async def test_ten_workers_that_are_killed_again_and_again_keep_to_the_caps_and_use_them(play: Play) -> None:
    rng = Random(4)
    async with stage(settings=settings, world={"verifiers": 0}) as room:
        warming(room, play)
        async with room.fleet():
            count = play.day * SOURCES * 5 // 4
            large = (f"reader-{number}@{domain}" for number in range(count) for domain in RECEIVERS)
            small = (f"reader-{number}@{SMALL[number % len(SMALL)]}" for number in range(count))
            await room.submit("warm", (*large, *small))

            async def all_used() -> bool:
                return all(use.day >= play.day and not use.outstanding for use in (await uses(room)).values())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(killing, room, play, rng)
                await eventually("every lane's day is used up", all_used, play.seconds)
                nursery.cancel_scope.cancel()
            counted = await uses(room)
            sent = taken(room)
            killed = len(room.logged("child ended"))
    used = sum(count for use in counted.values() for marks in use.marks.values() for mark, count in marks.items() if mark.uses)
    report(play, sent, used, killed)
    assert killed >= min(play.kills, 3)
    assert fullest(sent, LENGTHS_S["minute"]) <= play.minute
    assert fullest(sent, LENGTHS_S["hour"]) <= play.day
    assert max(Counter(lane for lane, _ in sent).values()) <= play.day
    taken_by_large = sum(not lane.endswith("smallhost") for lane, _ in sent)
    assert taken_by_large >= EFFICIENCY_LEAST * play.day * SOURCES * len(RECEIVERS)
    assert used >= EFFICIENCY_LEAST * play.day * len(counted)


def report(play: Play, sent: Sequence[tuple[str, float]], used: int, killed: int) -> None:
    permitted = play.day * len(accounts())
    caps = f"{play.day} a day and {play.minute} a minute each"
    print(f"workers: {WORKERS}, killed {killed} times; accounts: {len(accounts())}, {caps}")
    print(f"used: {used:,} of {permitted:,} permitted, {used / permitted:.2%}; accepted by receivers: {len(sent):,}")
    print(f"fullest minute of an account: {fullest(sent, 60)} of {play.minute}; hour: {fullest(sent, 3600)} of {play.day}")
