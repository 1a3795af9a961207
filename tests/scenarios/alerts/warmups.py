"""What may come of a source that warms up, at receivers that nobody else writes to as much."""

import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.scenarios.alerts.cause import Cause
from tests.scenarios.alerts.fleet import Around, Fleet, Shape
from tests.scenarios.alerts.scale import FASTER
from tests.scenarios.stage import Stage, eventually

_SOURCE = """
[[source]]
name = "fresh-1"
address = "127.78.0.9"
ehlo = "fresh.shop.example"
pool = "fresh"
warmup = {{ default = "none", {plans} }}
"""
_FRESH = 'pool = "fresh"\n'
# All that a day permits may go at once. The gates are the shipped ones, but that deferrals can stop a lane: what stops it
# otherwise, blocks and complaints, has a critical alert of its own as well.
_PLAN = """
time_zone = "{zone}"
hour_share = 1.0
minute_share = 1.0
stages.day = [4_000, 8_000, 16_000]
gates.deferral = {{ hold = 0.02, back = 0.2, stop = 0.3 }}
"""
_EVENING_S = 45.0
_WHY = ("--why", "this is a test")
_TOO_MUCH = "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages"


def _warming(readers: Mapping[str, str], ends_s: Mapping[str, float]) -> Shape:
    """A source that warms up at these receivers, where the sending day ends so many seconds after the fleet is begun."""

    @asynccontextmanager
    async def around(play: Stage) -> AsyncIterator[Around]:
        zones, plans, now = play.directory / "zones", play.config / "warmup", time.time()
        zones.mkdir()
        plans.mkdir()
        midnights = {receiver: now + seconds for receiver, seconds in ends_s.items()}
        for receiver, midnight in midnights.items():
            (zones / receiver).write_bytes(_zone(midnight))
            (plans / f"at-{receiver}.toml").write_text(_PLAN.format(zone=receiver))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONTZPATH", f"{zones}:/usr/share/zoneinfo")
            yield Around(midnights=midnights)

    plans = ", ".join(f'{receiver} = "at-{receiver}"' for receiver in ends_s)
    settings = {"scale": f"scale = {1 / FASTER}"}  # so that what is put off for an hour stays so for a minute
    return Shape(readers=readers, settings=settings, sources=_SOURCE.format(plans=plans), around=around)


def _zone(midnight: float) -> bytes:
    """A time zone whose day ends then (RFC 8536): one offset and nothing else."""
    ahead_s = -int(midnight) % 86_400
    ahead_s -= 86_400 if ahead_s > 43_200 else 0
    head = struct.pack(">4s16x6l", b"TZif", 0, 0, 0, 0, 1, 4)
    return head + struct.pack(">lbb", ahead_s, 0, 0) + b"SUN\0"


async def _sent(fleet: Fleet, campaign: str, domain: str, count: int) -> None:
    await fleet.play.submit(campaign, (f"{campaign}-{number}@{domain}" for number in range(count)), _FRESH)
    await fleet.play.finished(campaign, 120)


@asynccontextmanager
async def _three_complain(fleet: Fleet) -> AsyncIterator[None]:
    """Of 1,100, which is nearly 0.3 %; the next day is another one."""
    await _sent(fleet, "news", "gmail.com", 1_100)
    await fleet.play.penstock("warmup", "complain", "fresh-1/google", "3", *_WHY)
    yield
    assert time.time() < fleet.around.midnights["google"], "the day is over: nothing was to be had of it"


@asynccontextmanager
async def _held_back(fleet: Fleet) -> AsyncIterator[None]:
    """A lane is held while its day ends: for so short a time that nobody says that no lane takes what waits."""

    async def evening() -> bool:
        return time.time() > fleet.around.midnights["gmx"] - _EVENING_S

    async def begun() -> bool:
        return await fleet.play.delivered("late") > 100

    await eventually("the day is nearly over", evening, 300)
    await fleet.play.submit("late", (f"late-{number}@gmx.net" for number in range(8_000)), _FRESH)
    await eventually("the lane has sent something", begun)
    await fleet.play.penstock("hold", "fresh-1/gmx", *_WHY)
    yield
    assert time.time() > fleet.around.midnights["gmx"], "it was told of a day that had not ended"
    await fleet.play.penstock("cancel", "late")
    await fleet.play.penstock("resume", "fresh-1/gmx")


DAY = _warming(
    {"microsoft": "outlook.com", "yahoo": "yahoo.com", "apple": "icloud.com", "other": "tail-{}.example"},
    {"google": 240, "gmx": 300},
)
DAY_CAUSES = (
    Cause(alert="PenstockComplaintsHigh", fault=_three_complain),
    Cause(alert="PenstockCapUnused", fault=_held_back),
)


@asynccontextmanager
async def _put_off(fleet: Fleet) -> AsyncIterator[None]:
    """A third of a day's attempts, too few of them at once for a spike. An operator lets the lane go on."""
    await _sent(fleet, "early", "gmail.com", 90)

    async def quiet() -> bool:
        return bool(await fleet.server.series('job_receiver:penstock_attempts:rate15m{receiver="google"} == 0'))

    await eventually("nobody writes to Google any more", quiet)
    await fleet.ask("strike", strikes=[{"point": "rcpt", "host": "*.google.com", "says": _TOO_MUCH}])
    await fleet.play.submit("late", (f"late-{number}@gmail.com" for number in range(45)), _FRESH)
    yield
    await fleet.ask("heal")
    await fleet.play.penstock("warmup", "resume", "fresh-1/google", *_WHY)


@asynccontextmanager
async def _few_complain(fleet: Fleet) -> AsyncIterator[None]:
    """Three of 1,500, until more has been sent of which nobody complains."""
    await _sent(fleet, "news", "outlook.com", 1_500)
    await fleet.play.penstock("warmup", "complain", "fresh-1/microsoft", "3", *_WHY)
    yield
    await _sent(fleet, "more", "outlook.com", 2_400)


@asynccontextmanager
async def _some_unknown(fleet: Fleet) -> AsyncIterator[None]:
    """Six of 200 are unknown, until more has been sent to people who are known."""
    says = "550 5.1.1 The email account that you tried to reach does not exist"
    await fleet.ask("strike", strikes=[{"point": "rcpt", "to": "list-*@gmx.net", "says": says, "times": 6}])
    await _sent(fleet, "list", "gmx.net", 200)
    yield
    await _sent(fleet, "friends", "gmx.net", 200)


GATES = _warming(
    {"yahoo": "yahoo.com", "apple": "icloud.com", "other": "tail-{}.example"},
    dict.fromkeys(("google", "microsoft", "gmx"), 43_200),
)
GATES_CAUSES = (
    Cause(alert="PenstockWarmupStopped", fault=_put_off),
    Cause(alert="PenstockComplaintsRising", fault=_few_complain),
    Cause(alert="PenstockWarmupHeld", fault=_some_unknown),
)
