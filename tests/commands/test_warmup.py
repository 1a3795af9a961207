"""`penstock warmup`: where each lane stands and what happens next, and an operator's words, each with who said it and why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from sender.model import Mark, State
from sender.policy.receivers import Profiles
from sender.queue.base import LeaseRequest, Settlement
from sender.queue.memory import MemoryQueue
from sender.queue.warmups import Change
from sender.settings import load
from sender.warming.assignments import Assignments
from sender.warming.wards import wards
from sender.warming.warmer import Warmer
from tests.commands.opening import let_commands_open
from tests.queue.feeding import LANE, ROUTE, filled
from workers.cli import main

NOW = 1_772_442_000.0  # 2 March 2026, 09:00 UTC
SOURCES = '[[source]]\nname = "s1"\nehlo = "mta.shop.example"\nwarmup = { default = "mine", orange = "none" }\n'
PLAN = "[stages]\nday = [100, 200, 400]\nhour = [80, 160, 320]\nminute = [80, 160, 320]\n"
IDENTITY = '[[identity]]\ndomain = "shop.example"\nsigned = false\nwarmup = "mine"\n'


class Shared(MemoryQueue):
    """One queue for all commands of a test, with a clock that stands still: closing it is none of theirs."""

    async def time(self) -> float:
        await trio.lowlevel.checkpoint()
        return NOW

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "penstock.toml").write_text(IDENTITY)
    (tmp_path / "sources.toml").write_text(SOURCES)
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "mine.toml").write_text(PLAN)
    return tmp_path


@pytest.fixture
def queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> Shared:
    shared = Shared()
    trio.run(_work, shared, home)
    let_commands_open(shared, monkeypatch)
    monkeypatch.setattr("workers.commands.words._user", lambda: "ann")
    monkeypatch.setattr("workers.commands.words.host_name", lambda settings: "mta1")
    return shared


async def _round(queue: MemoryQueue, home: Path) -> None:
    settings = load(home)
    profiles = Profiles.parse(settings.receivers)
    every = wards(Assignments.of(settings, profiles), settings.sources, profiles)
    await Warmer(queue, every).run_once(NOW)


async def _work(queue: MemoryQueue, home: Path) -> None:
    """s1/google has sent 60 of its first 100: 57 delivered, 3 deferred."""
    await _round(queue, home)
    await filled(queue, 60)
    (lease,) = await queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=60, capped=True)], NOW)
    marks = {Mark.DELIVERED: tuple(range(57)), Mark.DEFERRED: (57, 58, 59)}
    final = tuple((place, State.DELIVERED) for place in range(60))
    settled = Settlement(lease=lease.id, route=ROUTE, campaign="spring", final=final, marks=marks, identity="@shop.example")
    await queue.settle([settled], NOW)
    await _round(queue, home)


@pytest.fixture
def warmup(home: Path, queue: Shared) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["warmup", *arguments, "--config", str(home)])

    return run


def document(warmup: Callable[..., Result], name: str = "s1/google") -> dict[str, Any]:
    found = {one["name"]: one for one in json.loads(warmup("--json", "--all").output)}
    return dict(found[name])


def test_two_lines_a_lane_with_gates_and_what_happens_next(warmup: Callable[..., Result]) -> None:
    result = warmup()
    assert result.exit_code == 0, result.output
    head, google, following, more, identity, *rest = result.output.splitlines()
    assert head.split() == ["lane", "stage", "sent", "/", "cap", "deferral", "block", "bounce", "unknown", "complaint"]
    assert google.split() == ["s1/google", "1/3", "60", "/", "100", "!5/2%", "0/0.1%", "0/2%", "0/2%", "0/0.1%"]
    assert following + more == (
        "  stage 1 of 3 (100 a day) is held: deferral 5.00% (3 of 60), the limit is 2%;  the day ends in 15 h"
    )
    assert identity.split()[:5] == ["@shop.example", "1/3", "60", "/", "100"]
    assert rest[-1].endswith("that never sent anything: --all shows them")
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_a_gate_that_an_operator_has_overruled_holds_nothing_and_is_not_marked(warmup: Callable[..., Result]) -> None:
    assert document(warmup)["gates"]["deferral"]["asks"] == "hold"
    assert warmup("resume", "s1/google").exit_code == 0
    google = warmup().output.splitlines()[1]
    assert "  5/2%" in google, "its rate is what it was"
    found = document(warmup)
    assert found["gates"]["deferral"]["asks"] is None
    assert (
        "if 33 more are delivered today and the gates hold; an operator has moved it: its gates ask for nothing"
        in found["next"]
    )


def test_all_of_them_and_none_without_a_plan(warmup: Callable[..., Result]) -> None:
    names = [one["name"] for one in json.loads(warmup("--json", "--all").output)]
    assert {"s1/google", "s1/microsoft", "s1/other", "@shop.example"} <= set(names)
    assert "s1/orange" not in names
    assert "on to stage 2 of 3 (200 a day) if 90 are delivered today" in warmup("--all").output


def test_a_document_has_every_number(warmup: Callable[..., Result]) -> None:
    found = document(warmup)
    assert (found["stage"], found["stages"], found["warm"], found["plan"]) == (1, 3, False, "mine")
    assert found["day"] == {"date": "2026-03-02", "starts": NOW - 9 * 3600, "ends": NOW + 15 * 3600}
    assert found["cap"] == {"day": 100, "hour": 80, "minute": 80}
    assert found["used"] == {"day": 60, "hour": 60, "minute": 60, "outstanding": 0}
    assert found["gates"]["deferral"] == {
        "events": 3,
        "out_of": 60,
        "rate": 0.05,
        "hold": 0.02,
        "back": 0.2,
        "stop": None,
        "asks": "hold",
    }
    assert found["last"]["what"] == "begin"
    assert (found["held"], found["stopped_until"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "said", "stage", "cap"),
    [
        (("advance", "s1/google"), "s1/google: advance: stage 2 of 3 (200 a day)", 2, 200),
        (("set", "s1/google", "3"), "s1/google: set: stage 3 of 3 (400 a day)", 3, 400),
        (("set", "s1/google", "warm"), "s1/google: set: warm", 4, None),
        (("reset", "s1/google"), "s1/google: reset: stage 1 of 3 (100 a day)", 1, 100),
        (("set", "@shop.example", "2"), "@shop.example: set: stage 2 of 3 (200 a day)", 2, 200),
        (("set", "s1/~example.org", "2"), "s1/other: set: stage 2 of 3 (200 a day)", 2, 200),
    ],
)
def test_an_operator_moves_a_lane(
    warmup: Callable[..., Result], words: tuple[str, ...], said: str, stage: int, cap: int | None
) -> None:
    result = warmup(*words, "--why", "it is fine")
    assert result.output.strip() == f"{said}: it is fine"
    found = document(warmup, said.partition(":")[0])
    assert found["stage"] == stage
    assert (found["cap"] or {"day": None})["day"] == cap
    assert found["last"]["by"] == "ann@mta1"


def test_an_operator_holds_a_lane_and_lets_it_go(warmup: Callable[..., Result]) -> None:
    assert warmup("hold", "s1/google", "--why", "new list").output == "s1/google: held: new list\n"
    assert document(warmup)["held"] == {"by": "ann@mta1", "why": "new list", "at": NOW}
    assert "is held: by ann@mta1: new list" in warmup().output
    assert warmup("resume", "s1/google").output == "s1/google: released: stage 1 of 3 (100 a day)\n"
    assert document(warmup)["held"] is None


@pytest.mark.parametrize("words", [("advance", "s1/google"), ("reset", "s1/google"), ("set", "s1/google", "2")])
def test_a_lane_that_is_moved_while_it_is_held_is_said_to_be_held_still(
    warmup: Callable[..., Result], words: tuple[str, ...]
) -> None:
    warmup("hold", "s1/google", "--why", "new list")
    moved, note = warmup(*words).output.splitlines()
    assert moved.startswith(f"s1/google: {words[0]}: stage ")
    assert note == "it is still held: penstock warmup resume s1/google ends that"


@pytest.mark.parametrize("words", [(), ("hold", "s1/google"), ("reset", "s1/google"), ("set", "s1/google", "2")])
def test_a_progress_that_cannot_be_read_is_said_in_words(
    queue: Shared, warmup: Callable[..., Result], words: tuple[str, ...]
) -> None:
    warmup("hold", "s1/google")
    version = trio.run(queue.progress)["s1/google"].version
    trio.run(queue.change_progress, [Change(name="s1/google", version=version, body=b'{"plan": 1}')])
    result = warmup(*words)
    assert result.exit_code == 1
    assert "LANE: s1/google: its progress can't be read: " in result.output
    assert "a newer version of Penstock may have written it" in result.output
    assert warmup("complain", "s1/google", "1").output == "s1/google: 1 complaint today, of 57 delivered\n", (
        "once, all the same"
    )


def test_one_complaint_is_one(warmup: Callable[..., Result]) -> None:
    assert warmup("complain", "s1/google", "1").output == "s1/google: 1 complaint today, of 57 delivered\n"


def test_complaints_are_counted_and_written_down(warmup: Callable[..., Result]) -> None:
    result = warmup("complain", "s1/google", "3", "--why", "feedback loop")
    assert result.output == "s1/google: 3 complaints today, of 57 delivered\n"
    assert "complaint 5.26% (3 of 57), the limit is 0.5%" in warmup().output
    assert "complain 3 by ann@mta1: feedback loop" in warmup("audit").output


def test_the_audit_stream_says_who_and_why_the_newest_first(warmup: Callable[..., Result]) -> None:
    warmup("advance", "s1/google", "--why", "it is fine")
    warmup("hold", "@shop.example")
    lines = warmup("audit").output.splitlines()
    assert lines[0].endswith("  @shop.example  held by ann@mta1")
    assert lines[1].endswith("  s1/google  advance by ann@mta1: stage 2 of 3 (200 a day): it is fine")
    assert lines[-1].endswith("begins at stage 1 of 3 (100 a day)")
    assert len(warmup("audit", "s1/google").output.splitlines()) == 2
    entry = json.loads(warmup("audit", "--json", "--limit", "2").output.splitlines()[1])
    assert entry == {
        "at": NOW,
        "by": "ann@mta1",
        "name": "s1/google",
        "plan": "mine",
        "stage": 2,
        "what": "advance",
        "why": "stage 2 of 3 (200 a day): it is fine",
    }


def test_the_audit_stream_outlives_the_plan_of_a_lane(home: Path, warmup: Callable[..., Result]) -> None:
    (home / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    (line,) = warmup("audit", "s1/google").output.splitlines()
    assert line.endswith("s1/google  begin: begins at stage 1 of 3 (100 a day)")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("hold", "s1/gogle"), "LANE: s1/gogle: nothing of that name is warmed up; did you mean s1/google"),
        (("hold", "google"), "LANE: google: a lane is source/receiver, like s1/google"),
        (("hold", "s1/orange"), "LANE: s1/orange: it has no warmup plan, and no cap"),
        (("set", "s1/google", "4"), "STAGE: 4: no stage of mine; allowed are 1 to 3, and warm"),
        (("set", "s1/google", "0"), "STAGE: 0: no stage of mine; allowed are 1 to 3, and warm"),
        (("hold", "s1/google", "--why", "a\nb"), "--why: '\\n' in it; allowed are printable characters on one line"),
    ],
)
def test_what_can_not_be_is_said(warmup: Callable[..., Result], words: tuple[str, ...], why: str) -> None:
    result = warmup(*words)
    assert result.exit_code == 1
    assert why in result.output


def test_without_plans_it_says_so(home: Path, warmup: Callable[..., Result]) -> None:
    (home / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    (home / "penstock.toml").write_text("")
    assert "no source and no identity has a warmup plan" in warmup().output
