"""`penstock pause`, `resume`, `cancel` and `campaigns`: what they change, what they refuse, and what they say."""

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from click.testing import CliRunner, Result

from sender.condition import Condition, Phase
from sender.explaining.campaign_rows import CampaignRow
from sender.model import State
from sender.queue.base import CampaignStatus
from sender.queue.control import FOR_EVER, Control
from sender.queue.memory import MemoryQueue
from tests.commands.opening import let_commands_open
from tests.holding import accepted
from tests.rig import SPEC, submitted
from workers.cli import main
from workers.commands.campaigns import table


class Shared(MemoryQueue):
    """A memory queue that several commands open one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.words = 0

    async def set_control(self, control: Control) -> Control:
        self.words += 1
        return await super().set_control(control)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Shared:
    shared = Shared()
    let_commands_open(shared, monkeypatch)
    return shared


@pytest.fixture
def penstock(tmp_path: Path, queue: Shared) -> Callable[..., Result]:
    (tmp_path / "penstock.toml").write_text('[fleet]\nhost = "mail1"\n')
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    return lambda *arguments: CliRunner().invoke(main, [*arguments, "--config", str(tmp_path)])


def done(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return trio.run(work)


def ready(queue: Shared, campaign: str = "spring", recipients: int = 300, **spec: object) -> None:
    done(lambda: submitted(queue, recipients, campaign=campaign, spec={**SPEC, **spec}))


def finished(queue: Shared, campaign: str = "spring") -> None:
    done(lambda: queue.discard(campaign, State.EXPIRED, 1_000_000, 0.0))


def word(queue: Shared, campaign: str = "spring") -> Control:
    found: dict[str, Control] = done(lambda: queue.controls([campaign]))
    return found.get(campaign, Control(campaign=campaign))


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def refused(result: Result) -> str:
    assert result.exit_code == 1
    return result.output


def test_a_pause_is_written_down_with_who_said_it_and_holds_at_once(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    assert lines(penstock("pause", "spring", "--why", "wrong price")) == [
        "spring: paused with 300 recipients queued. Workers stop within a second or two; "
        "what is at its end of data by then still goes out"
    ]
    said = word(queue)
    assert (said.paused, said.ended, said.why) == (True, None, "wrong price")
    assert said.by.endswith("@mail1")
    assert said.at > 1_700_000_000
    assert queue._holds["spring"].end == FOR_EVER


def test_a_repeat_changes_nothing_and_says_who_was_first(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    penstock("pause", "spring", "--why", "wrong price")
    (line,) = lines(penstock("pause", "spring", "--why", "me too"))
    assert line == f"spring: was paused already by {word(queue).by}: wrong price"
    assert queue.words == 1


def test_a_resume_takes_the_pause_back(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    penstock("pause", "spring")
    assert lines(penstock("resume", "spring")) == ["spring: goes on with 300 recipients queued"]
    assert not word(queue).paused
    assert lines(penstock("resume", "spring")) == ["spring: is not paused; `penstock campaigns` says what it is doing"]


def test_a_cancellation_is_for_good(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    (line,) = lines(penstock("cancel", "spring", "--why", "wrong price"))
    assert line == (
        "spring: cancelled. What is queued ends as cancelled, 300 recipients; "
        "0 had ended before. What is at its end of data still goes out"
    )
    assert word(queue).ended is State.CANCELLED
    by = word(queue).by
    assert lines(penstock("cancel", "spring")) == [f"spring: was cancelled already by {by}: wrong price"]
    assert f"campaign spring: cancelled by {by}: wrong price; that is for good" in refused(penstock("resume", "spring"))
    assert "there is nothing left to pause" in refused(penstock("pause", "spring"))


def test_one_that_is_not_read_to_its_end_is_cancelled_with_the_rest(queue: Shared, penstock: Callable[..., Result]) -> None:
    done(lambda: accepted(queue, "spring"))
    (line,) = lines(penstock("cancel", "spring"))
    assert "What is queued ends as cancelled, 0 recipients, and so do those that have not been read yet;" in line


@pytest.mark.parametrize("command", ["pause", "resume", "cancel"])
def test_what_is_complete_has_nothing_to_stop(queue: Shared, penstock: Callable[..., Result], command: str) -> None:
    ready(queue)
    finished(queue)
    assert "campaign spring: complete; there is nothing left to" in refused(penstock(command, "spring"))


@pytest.mark.parametrize("command", ["pause", "resume", "cancel"])
def test_everything_wrong_is_said_and_nothing_is_done(queue: Shared, penstock: Callable[..., Result], command: str) -> None:
    ready(queue)
    output = refused(penstock(command, "spring", "summer", "autumn"))
    assert "campaign summer: the queue knows none of that id" in output
    assert "campaign autumn: the queue knows none of that id" in output
    assert "is no campaign id" in refused(penstock(command, "spring", "so rry"))
    assert "--why: 501 characters; allowed are up to 500" in refused(penstock(command, "spring", "--why", "x" * 501))
    assert "--why: '\\n' in it; allowed are printable characters" in refused(penstock(command, "spring", "--why", "a\nb"))
    assert queue.words == 0


@pytest.mark.parametrize("command", ["pause", "resume", "cancel", "status"])
def test_what_no_expander_has_read_is_not_called_unknown(queue: Shared, penstock: Callable[..., Result], command: str) -> None:
    done(lambda: queue.announce("spring", msgspec.json.encode(SPEC)))
    said = refused(penstock(command, "spring"))
    assert "campaign spring: submitted, and no expander has read it yet: try again in a second" in said


def test_several_at_once_each_once(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    ready(queue, "summer")
    assert [line.partition(":")[0] for line in lines(penstock("pause", "spring", "summer", "spring"))] == ["spring", "summer"]


def shown(penstock: Callable[..., Result], *options: str) -> dict[str, Any]:
    return {one["campaign"]: one for one in json.loads("\n".join(lines(penstock("campaigns", "--json", *options))))}


def test_what_campaigns_are_doing(queue: Shared, penstock: Callable[..., Result]) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    ready(queue, "run", priority=2)
    ready(queue, "later", start=start.isoformat(), rate="10000/h")
    ready(queue, "over", deadline="2026-01-01T00:00:00Z")
    ready(queue, "held")
    ready(queue, "gone")
    ready(queue, "done")
    penstock("pause", "held", "--why", "wrong price")
    penstock("cancel", "gone")
    finished(queue, "gone")
    finished(queue, "done")
    found = shown(penstock)
    assert {name: one["state"] for name, one in found.items()} == {
        "run": "running",
        "later": "scheduled",
        "over": "expired",
        "held": "paused",
    }
    assert {name: one["state"] for name, one in shown(penstock, "--all").items()} == {
        **{name: one["state"] for name, one in found.items()},
        "gone": "cancelled",
        "done": "complete",
    }
    assert found["run"] == {
        "campaign": "run",
        "state": "running",
        "until": None,
        "by": None,
        "at": None,
        "why": None,
        "priority": 2,
        "rate": None,
        "accepted": 300,
        "finished": 0,
        "queued": 300,
        "waiting_batches": 0,
        "complete": True,
    }
    assert (found["later"]["until"], found["later"]["rate"]) == (start.timestamp(), "10000/h")
    assert (found["held"]["why"], found["held"]["by"]) == ("wrong price", word(queue, "held").by)


def test_nothing_to_show_is_said(queue: Shared, penstock: Callable[..., Result]) -> None:
    assert lines(penstock("campaigns")) == ["no campaign"]
    assert lines(penstock("status")) == ["no campaign"]
    ready(queue)
    finished(queue)
    assert lines(penstock("campaigns")) == ["no campaign is under way; --all shows 1 that are over"]
    assert lines(penstock("campaigns", "--json")) == ["[]"]


def test_all_but_one_are_not_all() -> None:
    final = {("google", State.DELIVERED): 9_999}
    status = CampaignStatus(campaign="spring", accepted=10_000, waiting_batches=0, complete=True, final=final, deferrals={})
    shown = table([CampaignRow(status=status, condition=Condition(phase=Phase.RUNNING), spec=None)])
    assert [str(cell) for column in shown.columns for cell in column.cells][-2:] == ["9,999 (99%)", "1"]


def test_priority_and_rate_have_a_column_where_they_say_something(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    titles = penstock("campaigns").output.splitlines()[1]
    assert ("priority" in titles, "rate" in titles) == (False, False)
    ready(queue, "later", priority=2, rate="10000/h")
    titles = penstock("campaigns").output.splitlines()[1]
    assert ("priority" in titles, "rate" in titles) == (True, True)


def test_the_table_says_the_same_in_words(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    done(lambda: accepted(queue, "summer"))
    penstock("pause", "spring", "--why", "[bold]look[/bold]")
    output = penstock("campaigns").output
    assert "paused by" in output
    text = " ".join(output.replace("│", " ").split())
    assert "[bold]look[/bold]" in text.replace(" ", "")
    assert "0+" in output, "more recipients may come"


def test_status_says_what_the_campaign_is_doing(queue: Shared, penstock: Callable[..., Result]) -> None:
    ready(queue)
    penstock("pause", "spring", "--why", "wrong price")
    assert f"paused by {word(queue).by}" in " ".join(penstock("status", "spring").output.split())
    doing = json.loads(penstock("status", "spring", "--json").output)["doing"]
    assert (doing["state"], doing["why"]) == ("paused", "wrong price")
