"""A campaign for any number of small receivers, of which some never answer: nobody waits for them, and memory is bounded.

Each domain has an MX organisation of its own, so each has a route, and lanes, of its own. Some receivers never greet, at some
addresses nothing answers, and some domains have a DNS that fails or is silent.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sender.model import State
from tests.scenarios.stage import Stage, eventually, stage
from workers.emulator.tail import domains

pytestmark = pytest.mark.integration

CAMPAIGN = "spring"
UNHEARD_OF = ("mute", "servfail", "silent")  # no mail ever reaches them
TIRELESS = {r"curve = .*": 'curve = ["1h"]', r"give_up = .*": 'give_up = "1h"', r"signers = 2": "signers = 1"}
CHEAP = {r".*demo-rsa.*\n": ""}  # one Ed25519 signature is enough here

SMALL, LARGE = 10_000, 100_000
MEASURED = ("delivery-0", "delivery-1", "expander-0", "scheduler-0")
GROWTH = 1.5  # ten times the domains, and no more memory than this times as much
HOUR_S = 3_600.0


def settings(text: str) -> str:
    for pattern, line in {**TIRELESS, **CHEAP}.items():
        text, count = re.subn(pattern, line, text)
        assert count, pattern
    return text


def readers(word: str, count: int) -> list[str]:
    """One recipient at each domain."""
    return [f"reader@{domain}" for domain in domains(word, count)]


def between(many: list[str], few: list[str]) -> Iterator[str]:
    """The few spread among the many, the first of them in front."""
    apart = max(1, len(many) // max(1, len(few)))
    for place, one in enumerate(many):
        if place % apart == 0 and place // apart < len(few):
            yield few[place // apart]
        yield one


async def reached(play: Stage, count: int, seconds: float) -> None:
    async def check() -> bool:
        return await play.delivered(CAMPAIGN) >= count

    await eventually(f"{count} deliveries", check, seconds)


async def expanded(play: Stage, seconds: float = 60.0) -> None:
    async def check() -> bool:
        status = await play.status(CAMPAIGN)
        return status is not None and status.complete

    await eventually("every recipient has a route", check, seconds)


async def test_receivers_that_never_answer_hold_up_nobody_else() -> None:
    good, held = readers("tail", 1_900), readers("tarpit", 40)
    lost = [reader for word in UNHEARD_OF for reader in readers(word, 20)]
    async with stage(settings=settings, world={"tail": True, "verifiers": 0}) as play, play.fleet():
        strike = {"point": "greeting", "host": "*.tarpit.example", "does": "hold"}
        await play.emulator.ask("strike", strikes=[strike])
        await play.submit(CAMPAIGN, between(good, held + lost))
        await reached(play, len(good), 120)
        copies = play.copies()
        assert set(copies) == set(good), "everybody who can be reached, although all others are still being waited for"
        await expanded(play)
        status = await play.status(CAMPAIGN)
        assert status is not None
        assert status.queued == len(held) + len(lost)
        met = await play.emulator.ask("met")
        assert len(met["met"][0]) > 0, "receivers that have been asked, and do not greet"
        await play.emulator.ask("heal")
        await reached(play, len(good) + len(held), 120)
        await play.penstock("cancel", CAMPAIGN)
        await play.finished(CAMPAIGN)
        assert await play.conserved(CAMPAIGN) == {State.DELIVERED: len(good) + len(held), State.CANCELLED: len(lost)}
        assert set(play.copies().values()) == {1}


def peak(number: int) -> int:
    """The most memory that a process has had, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", (Path("/proc") / str(number) / "status").read_text())
    assert found is not None
    return int(found[1]) // 1024


async def measured(count: int) -> Mapping[str, int]:
    """Deliver to so many domains; the peaks of those who did."""
    good, stuck = readers("tail", count), [reader for word in ("tarpit", *UNHEARD_OF) for reader in readers(word, 100)]
    async with stage(settings=settings, world={"tail": True, "verifiers": 0}) as play, play.fleet():
        strike = {"point": "greeting", "host": "*.tarpit.example", "does": "silence"}
        await play.emulator.ask("strike", strikes=[strike])
        await play.submit(CAMPAIGN, between(good, stuck))
        await reached(play, count, HOUR_S)
        await expanded(play)
        assert set(play.copies()) == set(good)
        peaks = {child: peak(play.pid(child)) for child in MEASURED}
        await play.penstock("cancel", CAMPAIGN)
        await play.finished(CAMPAIGN, 600)
        assert await play.conserved(CAMPAIGN) == {State.DELIVERED: count, State.CANCELLED: len(stuck)}
        assert set(play.copies().values()) == {1}
        return peaks


@pytest.mark.long
async def test_memory_does_not_grow_with_the_number_of_domains(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = await measured(SMALL), await measured(LARGE)
    with capsys.disabled():
        print(f"\npeak memory, MB: {'':12} {SMALL:>9,} {LARGE:>9,} domains")
        for child in MEASURED:
            print(f"{'':17}{child:12} {small[child]:>9} {large[child]:>9}   x {large[child] / small[child]:.2f}")
    assert {child for child in MEASURED if large[child] > GROWTH * small[child]} == set()
