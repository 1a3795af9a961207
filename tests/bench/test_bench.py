"""The benchmarks' command line, tables, JSON and chart."""

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from click.testing import CliRunner, Result

from tests.bench import __main__ as command
from tests.bench import chart, distance, work
from tests.bench.figures import Row, in_rounds, show
from tests.bench.peers import bench
from tests.bench.peers.contender import Missing
from tests.bench.peers.lineup import Entrant
from tests.bench.peers.nodemailer import Nodemailer
from tests.bench.peers.penstock import Penstock
from tests.bench.report import document
from tests.bench.rig import Case

_ROWS = (
    Row(who="Penstock", case="plain", rounds=({"messages_per_s": 900.0, "cpu_in_s": 1.0},) * 3),
    Row(who="A & B", case="plain", rounds=({"messages_per_s": 300.0, "cpu_in_s": 4.0},) * 3),
    Row(who="C", case="plain", missing="it is not there"),
)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(command.main, arguments)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("delivery", "nothing"), "'nothing' is not one of 'delivery', 'peers'"),
        (("queue", "--rounds", "3"), "queue compares nothing in rounds"),
        (("peers", "--rounds", "0"), "0 is not in the range"),
        (("queue", "--chart", "x.svg"), "name it, too"),
        (("queue", "--json", "/nowhere/x.json"), "there is no such folder"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(arguments: Sequence[str], why: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert why in result.output


def test_figures_and_chart_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command._BENCHES, "peers", command._Bench(run=lambda rounds: _ROWS, in_rounds=True))
    result = _run("peers", "--rounds", "3", "--json", str(tmp_path / "x.json"), "--chart", str(tmp_path / "x.svg"))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["benches"]["peers"][0]["medians"] == {"messages_per_s": 900.0, "cpu_in_s": 1.0}
    assert found["conditions"]["rounds"] == 3
    assert Xml.parse(tmp_path / "x.svg").getroot().tag.endswith("svg")


def test_the_document_says_what_the_figures_were_taken_under() -> None:
    found = json.loads(document({"peers": _ROWS}, rounds=3))
    assert found["conditions"]["cores"] >= 1
    assert all(found["conditions"][name] for name in ("processor", "python", "kernel", "file_system", "appendfsync"))
    assert found["conditions"]["packages"]["penstock"]
    assert "alkey" in found["conditions"]["programs"]["store"]
    assert found["benches"]["peers"][2] == {
        "who": "C",
        "case": "plain",
        "missing": "it is not there",
        "medians": {},
        "rounds": [],
    }


def test_the_chart_shows_who_was_measured_in_proportion() -> None:
    text = chart.draw(_ROWS)
    bars = [float(bar.get("width", 0)) for bar in Xml.fromstring(text).iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars[0] == pytest.approx(3 * bars[2], rel=0.01)  # messages a second: ours, theirs
    assert bars[3] == pytest.approx(4 * bars[1], rel=0.01)  # CPU
    assert len(bars) == 4
    assert "A &amp; B" in text


def test_every_round_measures_everything_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measure(key: str, s: float) -> dict[str, float]:
        asked.append((key, s))
        return {"x": float(len(asked))}

    monkeypatch.setattr("tests.bench.figures.signature_us", iter((300.0, 200.0, 250.0)).__next__)
    found = in_rounds(("a", "b"), measure, 3)
    assert asked == [("a", 300.0), ("b", 300.0), ("a", 200.0), ("b", 200.0), ("a", 250.0), ("b", 250.0)]
    assert Row(who="a", rounds=found[0]).median("x") == 3.0
    assert Row(who="a", rounds=found[0]).median("y") is None


def test_a_comparison_is_of_the_same_round() -> None:
    ours = Row(who="Penstock", case="plain", rounds=({"messages_per_s": 900.0}, {"messages_per_s": 600.0}))
    other = Row(who="A", case="plain", rounds=({"messages_per_s": 300.0}, {"messages_per_s": 100.0}))
    assert [figures["times_slower"] for figures in bench.compared(other, [ours, other]).rounds] == [3.0, 6.0]


def test_who_is_missing_stays_in_the_table_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    show("title", _ROWS, (("msg/s", "messages_per_s", ",.0f"),))
    printed = capsys.readouterr().out
    assert "C was not measured: it is not there" in printed


def test_without_node_its_contender_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"no Node\.js"):
        Nodemailer().prepare(tmp_path)


def test_without_a_link_the_distance_bench_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(distance, "lineup", lambda: nullcontext([Entrant(contender=Penstock(), home=Path())]))
    rows = distance.run(1)
    assert all(row.missing == "network namespaces need root" and not row.rounds for row in rows)
    assert "Penstock was not measured: network namespaces need root" in capsys.readouterr().out


def test_all_contenders_merge_the_same_message() -> None:
    case = Case(name="x", messages=25, octets=10_000)
    readers = work.readers(case)
    message = work.merged(work.slots(work.message(case)), readers[21])
    assert b"\r\nSubject: Hello Ann21\r\n" in message
    assert b"\r\n\r\nHello Ann21 in Lyon, your code is 000021.\r\n" in message
    assert b"To: Ann21 <reader21@domain1.example>\r\n" in message
    assert 9_000 < len(message) < 10_000
    assert b"{{" not in message
    assert list(work.rows(case))[22] == "reader21@domain1.example,Ann21,Lyon,000021\n"
