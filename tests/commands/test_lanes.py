"""`penstock lanes`: which lanes are shown, in which order, and in words that fit a terminal."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result
from rich.cells import cell_len

from sender.explaining.documents import lanes_document
from sender.model import LaneId, Route
from sender.queue.base import Again, Settlement
from sender.queue.finding import LaneReport
from sender.queue.lane_holds import LaneHold
from sender.settings import Settings
from tests.asking import NOW, OWNER, ROUTE, Store, configured, leased, paused, report, store
from tests.commands.opening import let_commands_open
from tests.workers.top.boards import HOSTILE
from workers.cli import main
from workers.commands.lane_words import read_lanes
from workers.commands.lanes import Picture, look
from workers.commands.lanes_view import lines

YAHOO = Route(pool="main", receiver="yahoo")
HOLD = LaneHold(receiver="yahoo", until=NOW + 3600, by="ann@mail1", at=NOW - 60, why="a letter from their postmaster " * 3)


def at(receiver: str, said: LaneReport, **more: Any) -> LaneReport:
    """The same report of a lane at another receiver."""
    route = Route(pool="main", receiver=receiver)
    return replace(said, lane=LaneId(source=said.lane.source, receiver=receiver), route=route, **more)


FULL = report("s1", "receiver", why="5 of 5 connections in use; it waits for replies")
SOME = (
    replace(FULL, most_connections=5, most_per_second=100.0, messages_per_connection=100),
    paused("s2", NOW + 1800),
    at("~a-very-long-name-of-a-receiver.example", replace(FULL, messages_per_second=0.125), holding=3),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TZ", "UTC")
    return configured(tmp_path)


def board(settings: Settings, reports: Sequence[LaneReport] = SOME, *words: str, holds: Sequence[LaneHold] = ()) -> Picture:
    async def asked() -> Picture:
        queue = await store(*reports)
        await queue.hold_lanes(holds)
        return await look(queue, settings, [read_lanes(word, settings) for word in words])

    found: Picture = trio.run(asked)
    return found


def shown(board: Picture, width: int = 80, most: int | None = None) -> list[str]:
    return lines(board.rows, board.fleet, width, most).plain.split("\n")


def test_a_line_a_lane_and_one_more_for_what_holds_it(settings: Settings) -> None:
    found = shown(board(settings), 100)
    assert [line.split()[:2] for line in found[:2]] == [["lane", "state"], ["s2/google", "paused"]]
    assert found[2].startswith("  google/source-rate, until ")
    assert found[2].endswith(", rate: 421-4.7.28 unusual rate of unsolicited mail")
    assert found[3].split() == ["s1/google", "sending", "5/5", "100", "100", "64", "1,000"]
    assert found[4].split() == ["s1/~a-very-long-name-of-a-receive…", "sending", "5/5", "0.125", "-", "3", "0"]
    assert found[-1] == "3 lanes, 15 connections, 1 delivery process"


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(settings: Settings, width: int) -> None:
    found = shown(board(settings, holds=[HOLD, LaneHold(source="s2", why="x" * 200)]), width)
    assert max(map(len, found)) <= min(width, 120)


def test_a_held_lane_says_who_and_how_to_let_it_go_and_one_without_a_row_is_told_below(settings: Settings) -> None:
    found = shown(board(settings, holds=[LaneHold(source="s1", by="bob@mail1", why="moving"), HOLD]), 120)
    held = [place for place, line in enumerate(found) if " held " in line and line.startswith("s1/")]
    assert held == [1, 3]
    assert found[2] == "  held by bob@mail1: moving [penstock resume 's1/*']"
    assert found[-2].startswith("*/yahoo: held by ann@mail1 since ")


def test_work_without_a_lane_is_shown_too(settings: Settings) -> None:
    found = board(settings, (), holds=[LaneHold(source="s1")])
    assert [(str(row.lane), row.state, row.waits) for row in found.rows] == [
        ("s1/google", "held", 1000),
        ("s2/google", "no lane yet", 1000),
    ]
    assert shown(found)[3].split() == ["s2/google", "no", "lane", "yet", "-", "-", "-", "-", "1,000"]


def test_an_idle_lane_says_that_what_waits_is_not_for_it(settings: Settings) -> None:
    reports = (report("s1", "nothing to send", why=""), report("s2", "receiver"))
    found = shown(board(settings, reports), 120)
    assert found[1].split()[:2] == ["s1/google", "idle"]
    assert found[2].startswith("  what is ready there is left to sources that warm up, or stays with another one")
    assert found[3].startswith("s2/google"), "which is sending"
    assert len(found) == 5


def test_what_stays_with_a_lane_waits_for_it_alone(settings: Settings) -> None:
    async def asked() -> Picture:
        queue = await store(report("s1", "nothing to send", why=""), report("s2", "nothing to send", why=""), recipients=10)
        lease = await leased(queue)
        again = tuple(Again(position=place, envelope=one, due=0.0, source="s1") for place, one in enumerate(lease.envelopes))
        await queue.settle([Settlement(lease=lease.id, route=ROUTE, campaign="spring", again=again)], NOW)
        return await look(queue, settings)

    found = shown(trio.run(asked), 120)
    assert [(line.split()[0], line.split()[-1]) for line in found[1:3]] == [("s1/google", "10"), ("s2/google", "0")]
    assert len(found) == 4, "and neither has anything to explain"


def test_only_those_that_were_asked_for(settings: Settings) -> None:
    assert [str(row.lane) for row in board(settings, SOME, "s2").rows] == ["s2/google"]
    assert [str(row.lane) for row in board(settings, SOME, "google").rows] == ["s2/google", "s1/google"]
    assert [str(row.lane) for row in board(settings, SOME, "s1/google", "other").rows] == [
        "s1/google",
        "s1/~a-very-long-name-of-a-receiver.example",
    ]


def test_a_small_terminal_says_how_much_it_does_not_show(settings: Settings) -> None:
    found = shown(board(settings), 80, most=5)
    assert len(found) == 5
    assert found[-2] == "... 2 lines more: --once shows all"


def test_nothing_at_all(settings: Settings) -> None:
    async def asked() -> Picture:
        return await look(Store(), settings)

    assert shown(trio.run(asked)) == [
        "no lane runs, and none has anything to send",
        "0 lanes, 0 connections, 0 delivery processes",
    ]


def test_a_receiver_s_words_can_t_paint_the_terminal(settings: Settings) -> None:
    rude = replace(paused("s1", NOW + 60), why="\x1b[31mred\nnext")
    assert not [line for line in shown(board(settings, [rude])) if "\x1b" in line or line.startswith("next")]


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_receiver_s_words_can_t_break_the_columns(settings: Settings, words: str, width: int) -> None:
    rude = at("~日本語" + "\u0301" * 900, replace(paused("s1", NOW + 60), why=words))
    found = shown(board(settings, [rude]), width)
    assert max(map(cell_len, found)) <= width
    assert all(line.isprintable() for line in found)
    assert cell_len(found[1]) == cell_len(found[0])


def test_the_same_for_scripts(settings: Settings) -> None:
    found = board(settings, holds=[HOLD])
    document = json.loads(json.dumps(lanes_document(found.rows, found.fleet.holds)))
    first, second, _ = document["lanes"]
    assert (first["lane"], first["state"], first["hold"], first["waits"]) == ("s2/google", "paused", None, 1000)
    assert first["report"]["until"] == NOW + 1800
    assert second["report"] == {
        "owner": OWNER,
        "at": NOW - 0.5,
        "sessions": 5,
        "connections": 5,
        "most_connections": 5,
        "leased": 64,
        "messages_per_second": 100.0,
        "most_per_second": 100.0,
        "messages_per_connection": 100,
        "limit": "receiver",
        "until": None,
        "rule": "",
        "why": "5 of 5 connections in use; it waits for replies",
        "taken": 0,
        "refused": 0,
        "last_refusal": None,
    }
    assert [hold["name"] for hold in document["holds"]] == ["*/yahoo"]


@pytest.mark.parametrize("option", ["--once", "--json"])
def test_the_command(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    queue = trio.run(store, *SOME)
    let_commands_open(queue, monkeypatch)
    run: Callable[..., Result] = CliRunner().invoke
    result = run(main, ["lanes", "google", option, "--config", str(tmp_path)])
    assert result.exit_code == 0, result.output
    if option == "--json":
        assert [lane["source"] for lane in json.loads(result.output)["lanes"]] == ["s2", "s1"]
    else:
        assert "s2/google" in result.output
        head = result.output.splitlines()[0]
        assert head.index("state") > 30, "no terminal: names have their whole width"
