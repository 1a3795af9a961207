"""What the forecast says of a campaign, against what the real fleet makes of it on virtual time: within a tenth.

Each scenario is foreseen as `penstock plan` would, from settings and from what the store knows at that moment, and then sent:
by the real engine, lanes, warmup, leases and SMTP client, to the emulated receivers. Times are virtual, so they are the same
each time.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console
from rich.table import Table

from sender.explaining.explanation import span
from sender.planning import Assumptions
from sender.policy import forecast
from sender.settings import shipped
from tests.simulation.rehearsal import Played, Rehearsal, rehearse
from workers.simulation.parts import POLL_S
from workers.simulation.stage import world_options

GUIDE = Path(forecast.__file__).with_name("FORECAST.md")
HOUR = 3_600.0
SURE = Assumptions(delivered=1.0)  # nobody in these worlds defers, but for what the sender has earned
UNJUDGED = replace(world_options(), strict=False)  # receivers that do not mind volume
TROUBLED = replace(UNJUDGED, troubles=8.0)  # some 3 % of attempts meet a passing trouble, 6 % of recipients do not exist


def sources(**plans: str) -> str:
    """sources.toml: a source for each name, with its plan."""
    table = '[[source]]\nname = "{name}"\nehlo = "{name}.shop.example"\naddress = "192.0.2.{place}"\nwarmup = "{plan}"\n'
    return "\n".join(table.format(name=name, place=place, plan=plan) for place, (name, plan) in enumerate(plans.items(), 1))


def half_hours(*hours: str) -> Sequence[object]:
    return [{"days": ["mon"], "from": f"{hour}:00", "to": f"{hour}:30"} for hour in hours]


def one_every_two_seconds() -> str:
    text = (shipped() / "receivers/orange.toml").read_text()
    assert "messages_per_second = 100 " in text
    return text.replace("messages_per_second = 100 ", "messages_per_second = 0.5 ")


CASES = {
    case.name: case
    for case in (
        Rehearsal(
            name="warm sources alone",
            sources=sources(old="none", older="none"),
            recipients={"orange": 4_000, "yahoo": 3_000},
            world=UNJUDGED,
            assumptions=SURE,
        ),
        Rehearsal(
            name="a slow receiver",
            sources=sources(old="none"),
            recipients={"orange": 1_000},
            files={"receivers/orange.toml": one_every_two_seconds()},
            world=UNJUDGED,
            assumptions=SURE,
        ),
        Rehearsal(
            name="windows and a rate",
            sources=sources(old="none"),
            recipients={"orange": 600, "yahoo": 400},
            after_s=8.75 * HOUR,
            spec={"rate": "800/h", "windows": half_hours("09", "10", "11")},
            world=UNJUDGED,
            assumptions=SURE,
        ),
        Rehearsal(
            name="a trickle, and an engine as it is in service",
            sources=sources(old="none"),
            recipients={"orange": 100, "yahoo": 75},
            spec={"rate": "700/h"},
            world=UNJUDGED,
            poll_s=0.2,
            assumptions=SURE,
        ),
        Rehearsal(
            name="cold beside warm, spill at once",
            sources=sources(new="steady", old="none"),
            recipients={"orange": 2_000},
            assumptions=SURE,
        ),
        Rehearsal(
            name="cold beside warm, spill after 6 h",
            sources=sources(new="steady", old="none"),
            recipients={"orange": 900, "yahoo": 600},
            spec={"spill": "6h"},
            assumptions=SURE,
        ),
        Rehearsal(
            name="cold beside warm, no spill, for days",
            sources=sources(new="steady", old="none"),
            recipients={"google": 800, "orange": 330},
            spec={"spill": "wait"},
            poll_s=POLL_S,
            assumptions=SURE,
        ),
        Rehearsal(
            name="in the middle of a plan",
            sources=sources(new="steady"),
            earlier={"google": 150},
            after_s=8 * HOUR,
            recipients={"google": 500},
            poll_s=POLL_S,
            assumptions=SURE,
        ),
        Rehearsal(
            name="troubles, as measured before",
            sources=sources(old="none"),
            earlier={"yahoo": 800},
            after_s=3 * HOUR,
            recipients={"yahoo": 3_000},
            world=TROUBLED,
        ),
    )
}


@cache
def played(name: str) -> Played:
    with TemporaryDirectory() as directory:
        return rehearse(CASES[name], Path(directory))


@pytest.mark.parametrize("name", CASES)
def test_the_end_is_foreseen_within_a_tenth(name: str) -> None:
    assert abs(played(name).error) <= 0.10


@pytest.mark.parametrize("name", CASES)
def test_so_is_what_each_source_takes(name: str) -> None:
    found = played(name)
    for source, count in found.delivered.items():
        assert found.by_source()[source] == pytest.approx(count, rel=0.05, abs=5)


def test_the_guide_says_how_well() -> None:
    said = re.findall(r"^\| (.+) \| ([-+][\d.]+) % \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, _ in said] == list(CASES)
    for name, percent in said:
        assert float(percent) == pytest.approx(100 * played(name).error, abs=0.1), name


def test_all_of_it_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title="foreseen, and played on virtual time", title_justify="left")
    table.add_column("scenario")
    for title in ("foreseen", "took", "error"):
        table.add_column(title, justify="right")
    table.add_column("by source: foreseen, delivered")
    for name in CASES:
        found = played(name)
        counts = ", ".join(
            f"{source} {found.by_source()[source]:,} {count:,}" for source, count in sorted(found.delivered.items())
        )
        table.add_row(name, span(found.foreseen_s), span(found.took_s), f"{100 * found.error:+.1f}%", counts)
    with capsys.disabled():
        Console(width=110).print("", table)
