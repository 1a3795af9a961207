"""The cause of each alert, brought about in a real fleet among emulated receivers: that alert fires, and no other."""

import re

import pytest
import trio

from tests.scenarios.alerts.cause import Cause
from tests.scenarios.alerts.causes import LONG, SHORT, Play
from tests.scenarios.alerts.fleet import OF_THE_MACHINE, Fleet, fleet
from workers.demo.prometheus import shipped

pytestmark = pytest.mark.integration


async def _fired(cause: Cause, found: Fleet) -> set[str]:
    """What fires from the fault's beginning until nothing does any more, its own alert first of all."""
    await found.calms(cause.alert)
    began = trio.current_time()
    async with cause.fault(found):
        await found.fires(cause.alert)
        fired = trio.current_time() - began
    await found.calms(cause.alert)
    print(f"{cause.alert}: fires after {fired:.0f} s, over after {trio.current_time() - began:.0f} s")
    return await found.fired(trio.current_time() - began)


async def _all_alone(play: Play) -> None:
    async with fleet(play.shape) as found:
        fired = [(cause.alert, await _fired(cause, found) - (OF_THE_MACHINE - {cause.alert})) for cause in play.causes]
    assert fired == [(cause.alert, {cause.alert}) for cause in play.causes]


def test_each_alert_has_its_cause_but_for_one() -> None:
    """A scheduler that is late with retries is late with telling it."""
    names = re.findall(r"- alert: (\w+)", (shipped() / "alerts.yml").read_text())
    caused = {cause.alert for play in (SHORT, *LONG.values()) for cause in play.causes}
    assert caused == set(names) - {"PenstockRetriesLate"}


async def test_an_alert_fires_of_its_cause_and_no_other_does() -> None:
    await _all_alone(SHORT)


@pytest.mark.long
@pytest.mark.parametrize("fleets", LONG)
async def test_so_do_those_that_take_longer(fleets: str) -> None:
    await _all_alone(LONG[fleets])
