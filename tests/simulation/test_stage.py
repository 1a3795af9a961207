"""The virtual world: mail gets through it as through the real one, fast, and in the same way each time."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import trio
from msgspec import structs

from sender.model import Category, LaneId, Source, State
from sender.queue.base import CampaignStatus
from sender.record import Attempt
from sender.settings import load
from workers.simulation.parts import POLL_S
from workers.simulation.stage import DAY_S, Recipients, Setup, Stage, play

SOURCE = Source(name="s1", address="192.0.2.1", ehlo="mta.shop.example", pool="main")
CROWD = [Recipients(receiver=name, count=60) for name in ("google", "orange", "free", "smallhost-4")]


async def send(stage: Stage) -> tuple[CampaignStatus, float]:
    await stage.submit("spring", CROWD)
    await stage.finished("spring")
    (status,) = await stage.queue.status(["spring"])
    return status, stage.clock() - stage.setup.start


def setup(**changes: Any) -> Setup:
    return Setup(settings=replace(load(), sources=(SOURCE,), warmup={}), **changes)


def test_every_recipient_gets_through_and_the_receivers_count_the_same() -> None:
    async def story(stage: Stage) -> tuple[CampaignStatus, int, list[str]]:
        status, _ = await send(stage)
        return status, stage.internet.ledger.total().accepted, stage.parts.troubles

    status, accepted, troubles = play(setup(), story)
    assert sum(count for (_, state), count in status.final.items() if state is State.DELIVERED) == 240
    assert {receiver for receiver, _ in status.final} == {"google", "orange", "free", "~smallhost-4.example"}
    assert accepted == 240
    assert troubles == []


def test_greylisting_is_waited_out_on_virtual_time() -> None:
    attempts: list[Attempt] = []
    _, seconds = play(setup(on_attempt=attempts.append), send)
    assert 300 < seconds < 3_600
    put_off = Counter(attempt.lane.receiver for attempt in attempts if attempt.outcome.category is Category.GREYLIST)
    assert put_off.keys() == {"free"}
    assert put_off["free"] >= 60


def test_waits_are_scaled_as_the_settings_say() -> None:
    """`retry.scale`: whom a greylist has put off comes back later, for one."""
    settings = replace(load(), sources=(SOURCE,), warmup={})
    patient = replace(settings, retry=structs.replace(settings.retry, scale=4.0))
    ends = [play(Setup(settings=each), send)[1] for each in (settings, patient)]
    assert ends[1] > 2 * ends[0]


def test_a_connection_limit_holds_and_every_connection_ends() -> None:
    async def story(stage: Stage) -> tuple[int, int]:
        most = 0
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, stage.internet.office("orange").standing(SOURCE.address).open)
                    await trio.sleep(0.2)

            nursery.start_soon(watch)
            await send(stage)
            nursery.cancel_scope.cancel()
        await trio.sleep(DAY_S)
        return most, stage.internet.office("orange").standing(SOURCE.address).open

    most, after = play(setup(), story)
    assert (most, after) == (2, 0)


def test_a_domain_of_nobody_and_an_unknown_user_end_as_they_should() -> None:
    async def story(stage: Stage) -> CampaignStatus:
        await stage.submit("spring", [Recipients(receiver="google", count=100, unknown=0.5)])
        await stage.finished("spring")
        (status,) = await stage.queue.status(["spring"])
        return status

    status = play(setup(), story)
    assert 30 < status.final["google", State.REJECTED] < 70


def test_what_one_source_can_t_take_another_does_though_looks_are_rare() -> None:
    """A small route calls one source in most looks, and that one may be of another host: nothing waits for ever."""
    away = Source(name="s0", address="192.0.2.2", ehlo="mta0.shop.example", pool="main", host="elsewhere")
    few = [Recipients(receiver=name, count=5) for name in ("google", "microsoft", "yahoo", "apple", "orange", "gmx")]

    async def story(stage: Stage) -> float:
        await stage.submit("spring", few)
        with trio.fail_after(DAY_S):
            await stage.finished("spring")
        return stage.clock() - stage.setup.start

    assert play(Setup(settings=replace(load(), sources=(away, SOURCE), warmup={})), story) < 6 * 2.5 * POLL_S


def test_a_campaign_goes_out_on_its_own_terms() -> None:
    """From the sources of its pool, and before others of a worse priority."""
    other = Source(name="s2", address="192.0.2.2", ehlo="mta2.shop.example", pool="other")
    crowd, attempts = [Recipients(receiver="google", count=50)], list[Attempt]()

    async def story(stage: Stage) -> None:
        for campaign, priority in (("news", 9), ("orders", 1)):
            await stage.submit(campaign, crowd, {"pool": "other", "priority": priority})
        for campaign in ("news", "orders"):
            await stage.finished(campaign)

    play(Setup(settings=replace(load(), sources=(SOURCE, other), warmup={}), on_attempt=attempts.append), story)
    assert {attempt.lane.source for attempt in attempts} == {"s2"}
    assert [attempt.held.envelope.campaign for attempt in attempts] == 50 * ["orders"] + 50 * ["news"]


def test_what_is_left_can_be_given_to_others() -> None:
    async def story(stage: Stage) -> tuple[int, CampaignStatus]:
        await stage.submit("spring", [Recipients(receiver="google", count=3_000)])
        await trio.sleep(5)
        dropped = await stage.drop("spring")
        (status,) = await stage.queue.status(["spring"])
        return dropped, status

    dropped, status = play(setup(), story)
    assert dropped == status.final["google", State.EXPIRED] > 1_000


def test_lanes_begin_where_they_are_said_to_be_and_receivers_know_them() -> None:
    lane = LaneId(source="s1", receiver="google")
    settings = replace(load(), sources=(SOURCE,), warmup={"s1": {"default": "steady"}})

    async def story(stage: Stage) -> tuple[int, float, int]:
        await stage.submit("spring", [Recipients(receiver="google", count=3_000)])
        await trio.sleep(DAY_S / 2)
        counts = stage.internet.counts()["google"]
        return counts.accepted, stage.internet.office("google").standing(SOURCE.address).usual(stage.clock()), counts.deferred

    accepted, usual, deferred = play(Setup(settings=settings, stages={lane: 6}), story)
    assert (accepted, usual, deferred) == (1_510, 1_510, 0)
    accepted, usual, _ = play(Setup(settings=settings), story)
    assert (accepted, usual) == (200, 0)


_TRACE = """
import hashlib
from tests.simulation.test_stage import send, setup
from workers.simulation.stage import play
seen = []
status, seconds = play(setup(on_attempt=lambda attempt: seen.append((attempt.at, attempt.held.envelope.id, attempt.mx))), send)
print(seconds, hashlib.sha256(repr(seen).encode()).hexdigest())
"""


@pytest.mark.parametrize("hash_seeds", [("1", "2")])
def test_the_same_seed_comes_to_the_same_end_in_another_process(hash_seeds: tuple[str, str]) -> None:
    ends = [
        subprocess.run(
            [sys.executable, "-c", _TRACE], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in hash_seeds
    ]
    assert ends[0] == ends[1] != ""
