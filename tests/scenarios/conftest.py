"""The matrix's verdicts, and the table of them at the end of a run."""

import pytest

from tests.scenarios.faults.judge import Verdict
from tests.scenarios.faults.report import table

_VERDICTS = pytest.StashKey[list[Verdict]]()


@pytest.fixture
def verdicts(request: pytest.FixtureRequest) -> list[Verdict]:
    """Where a row's verdict goes, to be shown in the table."""
    return request.config.stash.setdefault(_VERDICTS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if found := config.stash.get(_VERDICTS, []):
        terminalreporter.section("the fault matrix")
        for line in table(found):
            terminalreporter.write_line(line)
