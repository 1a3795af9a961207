"""`penstock top --once`, with and without JSON: what scripts and pipes get."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from sender.errors import BackendError
from tests.asking import Store
from tests.commands.opening import let_commands_open
from tests.workers.top.boards import configured, filled
from workers.cli import main


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store that the command finds."""
    configured(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    found: Store = trio.run(filled)
    let_commands_open(found, monkeypatch)
    return found


def run(tmp_path: Path, *options: str) -> str:
    result = CliRunner().invoke(main, ["top", "--interval", "0.2", *options, "--config", str(tmp_path)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("options", [("--once",), ()])
def test_without_a_terminal_all_of_it_is_printed_once(queue: Store, tmp_path: Path, options: tuple[str, ...]) -> None:
    lines = run(tmp_path, *options).splitlines()
    assert lines[0].split()[:4] == ["-", "msg/s", "-", "refused/s"], "the clock of this store stands still"
    assert lines[3].split()[:4] == ["receiver", "source", "state", "open"]
    assert [line.split()[0] for line in lines[4:7]] == ["yahoo", "free", "google"]
    assert lines[-1].startswith("spring ")
    assert "\x1b" not in "".join(lines)


def test_for_scripts(queue: Store, tmp_path: Path) -> None:
    document = json.loads(run(tmp_path, "--once", "--json"))
    assert len(document["lanes"]) == 8
    assert document["fleet"]["lanes"] == 506
    lanes = {lane["lane"]: lane for lane in document["lanes"]}
    assert (lanes["s1/other"]["lanes"], lanes["s1/google"]["state"], lanes["s1/google"]["per_second"]) == (500, "paused", None)
    assert lanes["s1/google"]["report"]["last_refusal"]["code"] == 550
    assert document["campaigns"][0]["campaign"] == "spring"
    every = json.loads(run(tmp_path, "--json", "--tail"))
    assert len(every["lanes"]) == 507


def test_as_a_picture(queue: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.commands.top._LOOKS", 2)
    assert run(tmp_path, "--picture", str(tmp_path / "top.svg")) == ""
    assert ">microsoft365</text>" in (tmp_path / "top.svg").read_text()


def test_a_picture_that_can_t_be_written_is_told_before_it_is_looked_at(queue: Store, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["top", "--picture", f"{tmp_path}/none/top.svg", "--config", str(tmp_path)])
    assert (result.exit_code, result.output) == (1, f"Error: --picture: {tmp_path}/none/top.svg: no such directory\n")


def test_a_store_that_is_away(queue: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> Any:
        raise BackendError("the store is away")

    monkeypatch.setattr(queue, "lanes", away)
    result = CliRunner().invoke(main, ["top", "--once", "--config", str(tmp_path)])
    assert (result.exit_code, result.output) == (75, "Error: the store is away\n")


@pytest.mark.parametrize("interval", ["0", "0.1", "61", "soon"])
def test_an_interval_that_is_none(interval: str) -> None:
    result = CliRunner().invoke(main, ["top", "--interval", interval])
    assert result.exit_code == 2
    assert "--interval" in result.output
