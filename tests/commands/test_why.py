"""`penstock why`: the answer as people and scripts read it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from sender.errors import ConfigError
from sender.explaining.explanation import FOR_EVER, Explanation, Limit, Note, Reason
from sender.model import LaneId
from sender.queue.base import Again, Settlement
from sender.queue.memory import MemoryQueue
from tests.commands.opening import let_commands_open
from tests.queue.feeding import QUEUED_AT, ROUTE, filled, leased
from workers.cli import main
from workers.commands.why import as_document, lines, read_subject

NOW = 2_000.0


class Shared(MemoryQueue):
    """One queue for all commands of a test: closing it is none of theirs."""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def time(self) -> float:
        await trio.lowlevel.checkpoint()
        return NOW


async def _deferred(queue: MemoryQueue) -> None:
    await queue.join("worker-1")
    await filled(queue, 5)
    (lease,) = await leased(queue, 5)
    lease.envelopes[3].attempts = 2
    again = (Again(position=3, envelope=lease.envelopes[3], due=NOW + 240),)
    await queue.settle([Settlement(lease=lease.id, route=ROUTE, campaign="spring", again=again)], QUEUED_AT)


@pytest.fixture
def why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    shared = Shared()
    trio.run(_deferred, shared)
    let_commands_open(shared, monkeypatch)
    (tmp_path / "penstock.toml").write_text("")
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    return lambda *arguments: CliRunner().invoke(main, ["why", *arguments, "--config", str(tmp_path)])


def test_an_envelope_a_campaign_and_a_lane(why: Callable[..., Result]) -> None:
    message = why("spring:3")
    assert message.exit_code == 0
    first, *rest = message.output.splitlines()
    assert first == "spring:3: waits for its next attempt"
    assert rest[0] == "  because     attempt 2 was deferred"
    assert rest[1] == "              [retry.curve (penstock.toml)]"
    assert rest[2].startswith("  next        in 4 min, ")
    assert rest[3:] == ["  recipient   user3@example.org", "  route       main/google"]
    assert why("spring").output.startswith("spring: running\n")
    assert why("s1/google").output.startswith("s1/google: not running\n")


def test_the_same_for_scripts(why: Callable[..., Result]) -> None:
    found = json.loads(why("spring:3", "--json").output)
    assert found["reasons"] == [
        {
            "limit": "retry",
            "detail": "",
            "text": "attempt 2 was deferred",
            "origin": "retry.curve (penstock.toml)",
            "until": NOW + 240,
            "by_hand": False,
        }
    ]
    assert (found["subject"], found["next"], found["by_hand"]) == ("spring:3", NOW + 240, False)
    assert {"name": "route", "text": "main/google", "at": None} in found["notes"]


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("spring:4711", ("spring", 4711)),
        ("spring-2026.a", "spring-2026.a"),
        ("s1/google", LaneId(source="s1", receiver="google")),
        ("s1/~example.org", LaneId(source="s1", receiver="~example.org")),
    ],
)
def test_what_can_be_asked_about(text: str, subject: object) -> None:
    assert read_subject(text) == subject


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("spring:ann@example.org", "recipients are not found by their address"),
        ("spring:x", "'x' is no ordinal"),
        ("spring:-1", "'-1' is no ordinal"),
        ("spring:", "'' is no ordinal"),
        ("a b", "no campaign id"),
        ("", "no campaign id"),
        ("/google", "a lane is source/receiver"),
        ("s1/", "a lane is source/receiver"),
    ],
)
def test_what_can_not_is_said_with_what_can(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read_subject(text)


def reason(limit: Limit, until: float | None = None) -> Reason:
    return Reason(limit=limit, text="some words", origin="somewhere", until=until)


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        ((reason(Limit.PAUSE, FOR_EVER), reason(Limit.RETRY, NOW + 60)), "not before somebody acts"),
        ((reason(Limit.LANE, NOW - 5),), "at any moment"),
        ((reason(Limit.CANCELLED),), "never: what is left ends as cancelled"),
        ((reason(Limit.LANE),), "as the lane goes on"),
        ((reason(Limit.EXPANSION),), "as soon as an expander has read on"),
        ((reason(Limit.NOTHING),), None),
        ((), None),
    ],
)
def test_when_it_goes_on_in_words(reasons: tuple[Reason, ...], words: str | None) -> None:
    shown = list(lines(Explanation(subject="spring:3", state="ready", reasons=reasons), NOW))
    assert [line.split("  ")[-1].strip() for line in shown if line.startswith("  next")] == ([words] if words else [])


def test_of_several_reasons_each_says_until_when() -> None:
    explanation = Explanation(
        subject="spring:3", state="ready", reasons=(reason(Limit.LANE, NOW + 900), reason(Limit.RETRY, NOW + 60))
    )
    shown = [line.strip() for line in lines(explanation, NOW)]
    assert [line.partition(",")[0] for line in shown if "until" in line] == ["for 15 min more", "for 1 min more"]
    assert [line.partition(",")[0] for line in shown if line.startswith("next")] == ["next        in 15 min"]


def test_what_ends_at_its_deadline_before_it_can_go_says_so() -> None:
    held = Reason(limit=Limit.WINDOW, text="some words", expires=NOW + 3_600)
    explanation = Explanation(subject="spring", state="window", reasons=(held, reason(Limit.RETRY, NOW + 60)))
    (words,) = [line for line in lines(explanation, NOW) if line.startswith("  next")]
    assert words.startswith("  next        ends as expired at ")
    assert words.endswith(", in 1 h")
    document = as_document(explanation)
    assert (document["next"], document["by_hand"], document["expires"]) == (None, False, NOW + 3_600)


@pytest.mark.parametrize("subject", ["winter", "winter:3", "spring:99", "s9/google", "s1/gogle"])
def test_what_there_is_not_is_a_failure(why: Callable[..., Result], subject: str) -> None:
    for result in (why(subject), why(subject, "--json")):
        assert result.exit_code == 1
        assert subject in result.output


def test_a_time_that_nobody_knows_is_null_and_not_infinite() -> None:
    explanation = Explanation(
        subject="spring", state="paused", reasons=(reason(Limit.PAUSE, FOR_EVER),), notes=(Note(name="a", text="b", at=1.0),)
    )
    document = json.loads(json.dumps(as_document(explanation), allow_nan=False))
    assert (document["next"], document["by_hand"], document["reasons"][0]["until"]) == (None, True, None)
    assert document["notes"] == [{"name": "a", "text": "b", "at": 1.0}]
