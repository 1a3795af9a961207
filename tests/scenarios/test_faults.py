"""The fault matrix (see `faults`): every recipient has an end, nobody is lost, and nobody doubled without a doubt.

`make test` plays the short rows, `make faults` all of them and prints the table.
"""

from collections.abc import Callable, Sequence

import pytest

from tests.scenarios.faults.judge import Verdict
from tests.scenarios.faults.names import ROWS as NAMES
from tests.scenarios.faults.play import play
from tests.scenarios.faults.processes import ROWS as PROCESSES
from tests.scenarios.faults.receivers import ROWS as RECEIVERS
from tests.scenarios.faults.row import Row
from tests.scenarios.faults.store import ROWS as STORE

pytestmark = pytest.mark.integration


def rows(table: Sequence[Row]) -> pytest.MarkDecorator:
    """One test a row; the long ones carry the mark that `make test` leaves out."""
    marked = [pytest.param(row, id=row.name, marks=[pytest.mark.long] * row.long) for row in table]
    return pytest.mark.parametrize("row", marked)


async def holds(row: Row, tell: Callable[[Verdict], None]) -> None:
    verdict = await play(row)
    tell(verdict)
    assert verdict.wrong == ()


@pytest.mark.row("F1")
@pytest.mark.row("F2")
@pytest.mark.row("F3")
@pytest.mark.row("F4")
@pytest.mark.row("F5")
@pytest.mark.row("F6")
@pytest.mark.row("F8")
@pytest.mark.row("F23")
@pytest.mark.row("F42")
@pytest.mark.row("F43")
@pytest.mark.row("F47")
@pytest.mark.row("F49")
@rows(PROCESSES)
async def test_processes_die_and_freeze(row: Row, tell: Callable[[Verdict], None]) -> None:
    await holds(row, tell)


@pytest.mark.row("F9")
@pytest.mark.row("F11")
@pytest.mark.row("F12")
@pytest.mark.row("F16")
@pytest.mark.row("F17")
@pytest.mark.row("F18")
@pytest.mark.row("F22")
@rows(STORE)
async def test_the_store_dies_freezes_and_fills(row: Row, tell: Callable[[Verdict], None]) -> None:
    await holds(row, tell)


@pytest.mark.row("F26")
@pytest.mark.row("F27")
@pytest.mark.row("F28")
@pytest.mark.row("F30")
@pytest.mark.row("F39")
@pytest.mark.row("F45")
@rows(RECEIVERS)
async def test_receivers_fail_at_the_worst_moment(row: Row, tell: Callable[[Verdict], None]) -> None:
    await holds(row, tell)


@pytest.mark.row("F40")
@rows(NAMES)
async def test_names_fail_and_change(row: Row, tell: Callable[[Verdict], None]) -> None:
    await holds(row, tell)
