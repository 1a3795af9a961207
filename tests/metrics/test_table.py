"""The page that operators read: what the declarations say, no more and no less."""

import re
import subprocess
import sys
from pathlib import Path

from sender.metrics import Metrics
from sender.metrics.table import page

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"


def test_the_committed_page_is_what_the_declarations_say() -> None:
    assert (DEPLOY / "METRICS.md").read_text() == page(), "run make metrics"


def test_the_command_writes_the_page() -> None:
    done = subprocess.run([sys.executable, "-m", "sender.metrics"], capture_output=True, text=True, check=True)
    assert done.stdout == page()


def test_every_metric_that_a_scrape_brings_has_its_row() -> None:
    exposed = {family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()}
    assert set(re.findall(r"^\| `(penstock_\w+|process_\w+)`", page(), re.MULTILINE)) == exposed


def test_each_row_has_as_many_cells_as_its_head() -> None:
    """A bar in a text would move all that follows it."""
    for table in re.findall(r"(?:^\|.*\n)+", page(), re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
