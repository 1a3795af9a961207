"""`penstock hold` and `resume` of lanes: whom a word means, what it writes, what it refuses, and what `status` then says."""

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from sender.queue.control import FOR_EVER, Control
from sender.queue.lane_holds import LaneHold
from sender.queue.memory import MemoryQueue
from tests.commands.opening import let_commands_open
from tests.rig import submitted
from workers.cli import main

NOW = 1_750_000_000.0


class Shared(MemoryQueue):
    """A memory queue that several commands open one after the other, at a time of the test's."""

    async def time(self) -> float:
        await trio.lowlevel.checkpoint()
        return NOW


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Shared:
    shared = Shared()
    let_commands_open(shared, monkeypatch)
    monkeypatch.setenv("TZ", "UTC")
    return shared


@pytest.fixture
def penstock(tmp_path: Path, queue: Shared) -> Callable[..., Result]:
    (tmp_path / "penstock.toml").write_text('[fleet]\nhost = "mail1"\n')
    sources = (f'[[source]]\nname = "{name}"\nehlo = "{name}.shop.example"\n' for name in ("s1", "s2", "yahoo"))
    (tmp_path / "sources.toml").write_text("".join(sources))
    return lambda *arguments: CliRunner().invoke(main, [*arguments, "--config", str(tmp_path)])


def done(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return trio.run(work)


def stand(queue: Shared) -> list[LaneHold]:
    return list(done(queue.lane_holds))


def names(queue: Shared) -> list[str]:
    return [hold.name for hold in stand(queue)]


def said(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def refused(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return result.output


def test_a_hold_says_who_until_when_and_why(penstock: Callable[..., Result], queue: Shared) -> None:
    first, second = said(penstock("hold", "s1/google", "--for", "2h", "--why", "their postmaster asked"))
    (hold,) = stand(queue)
    assert (hold.name, hold.until, hold.at, hold.why) == ("s1/google", NOW + 7200, NOW, "their postmaster asked")
    assert hold.by.endswith("@mail1")
    assert first.startswith(f"s1/google: held by {hold.by} since ")
    assert first.endswith(": their postmaster asked")
    assert "within two seconds" in second


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s1", "s1/*"),
        ("google", "*/google"),
        ("other", "*/other"),
        ("~tail.example", "*/~tail.example"),
        ("s2/*", "s2/*"),
        ("*/*", "*/*"),
        ("yahoo/*", "yahoo/*"),
        ("s2/~tail.example", "s2/~tail.example"),
    ],
)
def test_whom_a_word_means(penstock: Callable[..., Result], queue: Shared, text: str, name: str) -> None:
    said(penstock("hold", text))
    assert names(queue) == [name]
    assert stand(queue)[0].until == FOR_EVER
    (line,) = said(penstock("resume", text))
    assert line.startswith(f"{name}: goes on, from one connection; it was held by ")
    assert names(queue) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gogle"], "no source or receiver is called 'gogle'; did you mean google?"),
        (["spring"], "no source or receiver is called 'spring'; there are: "),
        (["s9/google"], "no source is called 's9'; there are: s1, s2, yahoo"),
        (["s1/nobody-at-all"], "no receiver is called 'nobody-at-all'"),
        (["yahoo"], "a source and a receiver have this name: write yahoo/* or */yahoo"),
        (["s1", "--for", "soon"], "'soon' is not a duration"),
        (["s1", "--for", "0s"], "is over at once"),
        (["s1", "--why", "a\nb"], "printable characters on one line"),
    ],
)
def test_what_means_nothing_is_refused_and_nothing_is_held(
    penstock: Callable[..., Result], queue: Shared, arguments: list[str], words: str
) -> None:
    assert words in refused(penstock("hold", "s2", *arguments))
    assert names(queue) == []


def test_a_second_word_says_in_whose_place_it_stands(penstock: Callable[..., Result], queue: Shared) -> None:
    said(penstock("hold", "google", "--why", "first"))
    lines = said(penstock("hold", "*/google", "--why", "second"))
    assert lines[1].startswith("  in place of: held by ")
    assert lines[1].endswith(": first")
    assert [hold.why for hold in stand(queue)] == ["second"]


def test_both_are_recorded_with_who_and_why(penstock: Callable[..., Result], queue: Shared) -> None:
    said(penstock("hold", "s1", "google", "--why", "moving house"))
    said(penstock("hold", "microsoft", "--for", "2h"))
    said(penstock("resume", "s1", "--why", "moved"))
    _, told = done(lambda: queue.audit())
    entries = [json.loads(entry) for entry in told]
    assert [(entry["name"], entry["what"], entry.get("why", "")) for entry in entries] == [
        ("s1/*", "lanes resumed", "moved"),
        ("*/microsoft", "lanes held", ""),
        ("*/google", "lanes held", "moving house"),
        ("s1/*", "lanes held", "moving house"),
    ]
    assert {entry["by"] for entry in entries} == {stand(queue)[0].by}
    assert [entry["until"] - entry["at"] for entry in entries if "until" in entry] == [7200]


def test_resume_takes_campaigns_and_lanes_in_one_breath(penstock: Callable[..., Result], queue: Shared) -> None:
    done(lambda: submitted(queue, 30))
    said(penstock("pause", "spring"))
    said(penstock("hold", "s1/google"))
    assert [line.partition(":")[0] for line in said(penstock("resume", "spring", "s1/google"))] == ["s1/google", "spring"]
    assert names(queue) == []
    assert not done(lambda: queue.controls(["spring"]))["spring"].paused


def test_where_one_of_them_can_t_go_on_none_does(penstock: Callable[..., Result], queue: Shared) -> None:
    said(penstock("hold", "s1"))
    assert "campaign autumn: the queue knows none of that id" in refused(penstock("resume", "s1", "autumn"))
    assert names(queue) == ["s1/*"]
    assert "nobody holds that; held is: s1/*" in refused(penstock("resume", "s1", "s2/google"))
    assert names(queue) == ["s1/*"]


def test_a_name_that_could_be_both_is_not_guessed(penstock: Callable[..., Result], queue: Shared) -> None:
    done(lambda: submitted(queue, 30, campaign="google"))
    said(penstock("hold", "google"))
    said(penstock("pause", "google"))
    assert "a campaign of this name is paused: write */google first" in refused(penstock("resume", "google"))
    said(penstock("resume", "*/google"))
    assert said(penstock("resume", "google")) == ["google: goes on with 30 recipients queued"]


def test_what_is_over_is_not_held_any_more(penstock: Callable[..., Result], queue: Shared) -> None:
    done(lambda: queue.hold_lanes([LaneHold(source="s1", until=NOW)]))
    assert "nobody holds that, nor any lane" in refused(penstock("resume", "s1/*"))


def test_status_shows_what_is_held(penstock: Callable[..., Result], queue: Shared) -> None:
    done(lambda: submitted(queue, 30))
    said(penstock("hold", "google", "--why", "a letter"))
    assert any(line.startswith("lanes */google: held by ") for line in said(penstock("status", "spring")))
    assert json.loads(penstock("status", "spring", "--json").output)["lanes_held"] == ["*/google"]
    assert done(lambda: queue.controls()) == {} == dict[str, Control]()
