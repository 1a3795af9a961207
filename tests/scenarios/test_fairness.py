"""One slow receiver slows no other: a fleet of real processes, in runs that differ in that receiver's mail alone.

The speed of real processes varies from minute to minute, so runs come in pairs, now the one first, now the other, and the
median of the pairs' ratios counts. `tests/test_fairness.py` shows the same on virtual time, where nothing varies.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median

import pytest
import trio

from tests.scenarios.stage import Stage, eventually, readers, stage

pytestmark = [pytest.mark.integration, pytest.mark.long]

SLOW = ("@orange.fr", "@wanadoo.fr")
STRIKE = {"point": "taken", "host": "*.orange.fr", "does": "wait", "wait_s": 30.0}
RECIPIENTS = 20_000
PAIRS = 7
LOSS_MOST = 0.05  # of the others' throughput


@asynccontextmanager
async def beside(play: Stage, recipients: Sequence[str], campaign: str) -> AsyncIterator[None]:
    """A campaign to a receiver that takes half a minute for each message, in full swing while the block runs."""
    await play.emulator.ask("strike", strikes=[STRIKE])
    await play.submit(campaign, recipients)

    async def met() -> bool:
        return bool((await play.emulator.ask("met"))["met"][-1])

    await eventually("the slow receiver is at work", met)
    yield
    await play.penstock("cancel", campaign)
    await play.emulator.ask("heal")
    await play.finished(campaign)


async def throughput(play: Stage, recipients: Sequence[str], campaign: str) -> float:
    """Messages a second, from the submission until the last of these has its end."""
    began = trio.current_time()
    await play.submit(campaign, recipients)
    await play.finished(campaign, 300)
    return len(recipients) / (trio.current_time() - began)


async def test_one_slow_receiver_slows_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    people = readers(RECIPIENTS)
    slow = [address for address in people if address.endswith(SLOW)]
    others = [address for address in people if not address.endswith(SLOW)]
    ratios = []
    async with stage(world={"greylist_s": 0.0, "verifiers": 0, "record": False}) as play, play.fleet():
        await throughput(play, others, "warm-up")
        for pair in range(PAIRS):
            rates = dict[bool, float]()
            for alone in (pair % 2 == 0, pair % 2 == 1):
                name = f"others-{pair}-{'alone' if alone else 'beside'}"
                if alone:
                    rates[alone] = await throughput(play, others, name)
                else:
                    async with beside(play, slow, f"slow-{pair}"):
                        rates[alone] = await throughput(play, others, name)
            ratios.append(rates[False] / rates[True])
            with capsys.disabled():
                print(f"\n  pair {pair}: alone {rates[True]:,.0f}/s, beside it {rates[False]:,.0f}/s: {ratios[-1]:.1%}", end="")
    with capsys.disabled():
        print(f"\n  median of {PAIRS}: {median(ratios):.1%} (at least {1 - LOSS_MOST:.0%})")
    assert median(ratios) >= 1 - LOSS_MOST
