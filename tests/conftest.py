"""What all tests share: Hypothesis without a clock, and the fault matrix's verdicts.

The table of them stands at the end of a run, and is made here, since of several processes one prints it.
"""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from tests.scenarios.faults.judge import Verdict
from tests.scenarios.faults.report import table

# How long an example takes says nothing here but how busy the machine is: 200 ms and a second, if not said otherwise.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_PROPERTY = "verdict"  # of a test's report: whichever process runs the test, the one that prints has it


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[Verdict], None]:
    """Shows a row's verdict in the table."""
    return lambda verdict: record_property(_PROPERTY, msgspec.to_builtins(verdict))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if found := list(_verdicts(terminalreporter)):
        terminalreporter.section("the fault matrix")
        for line in table(found):
            terminalreporter.write_line(line)


def _verdicts(terminalreporter: pytest.TerminalReporter) -> Iterator[Verdict]:
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield from (msgspec.convert(told, Verdict) for name, told in report.user_properties if name == _PROPERTY)
