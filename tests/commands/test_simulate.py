"""`penstock simulate`: the table, the trace and the document, and what is refused."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from workers.cli import main

MAILING = """
week = [400, 400, 400, 400, 400, 0, 0]
[receivers]
google = 1.0
"""


@pytest.fixture
def mailing(tmp_path: Path) -> str:
    file = tmp_path / "mailing.toml"
    file.write_text(MAILING, encoding="utf-8")
    return str(file)


def test_two_days_as_a_document(mailing: str) -> None:
    asked = ["simulate", "--days", "2", "--plan", "steady", "--mailing", mailing, "--json"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    (played,) = json.loads(result.stdout)
    assert (played["plan"], played["days"], played["full_volume"], played["deferred"]) == ("steady", 2, None, 0)
    first, second = played["by_day"]
    assert (first["day"], first["lane"], first["stage"], first["cap"], first["asked"]) == (1, "cold-1/google", 1, 200, 400)
    assert first["sent"] + first["bounced"] == 200
    assert [change["what"] for change in first["changes"]] == ["begin", "promote"]
    assert (second["stage"], second["cap"]) == (2, 280)


def test_the_table_names_each_plan_and_the_trace_each_day(mailing: str) -> None:
    asked = ["simulate", "--days", "1", "--plan", "steady", "--plan", "mailtrap", "--mailing", mailing, "--trace"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    assert "full volume" in result.stdout
    assert all(word in result.stdout for word in ("steady", "mailtrap", "never", "cold-1/google", "200", "300"))


def test_a_plan_that_is_not_there_and_a_calendar_that_is_wrong_are_refused(mailing: str) -> None:
    unknown = CliRunner().invoke(main, ["simulate", "--plan", "steep"])
    assert unknown.exit_code == 1
    assert "no such warmup plan" in unknown.output
    Path(mailing).write_text(MAILING.replace("google", "nobody"), encoding="utf-8")
    wrong = CliRunner().invoke(main, ["simulate", "--mailing", mailing])
    assert wrong.exit_code == 1
    assert "receivers.nobody: nobody of that name" in wrong.output
