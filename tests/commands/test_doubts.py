"""`penstock doubts`: what may have arrived is shown, sent again or let go, by an operator's word alone."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from sender.queue.memory import MemoryQueue
from tests.commands.opening import let_commands_open
from tests.queue.feeding import OTHER, QUEUED_AT, ROUTE, filled, parking, wish
from workers.cli import main
from workers.commands.doubts import summary


class Shared(MemoryQueue):
    """One queue for all commands of a test: closing it is none of theirs."""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def _park(queue: MemoryQueue) -> None:
    for campaign, route in (("spring", ROUTE), ("summer", OTHER)):
        await filled(queue, 3, campaign=campaign, route=route)
        lane = wish(3, route=route).lane
        (lease,) = await queue.lease([wish(3, lane=lane, route=route)], QUEUED_AT)
        await queue.settle([parking(lease, [0, 1, 2])], QUEUED_AT)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Shared:
    shared = Shared()
    trio.run(_park, shared)
    let_commands_open(shared, monkeypatch)
    return shared


@pytest.fixture
def doubts(tmp_path: Path, queue: Shared) -> Callable[..., Result]:
    (tmp_path / "penstock.toml").write_text("")
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')

    def run(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, ["doubts", *arguments, "--config", str(tmp_path)], input=stdin)

    return run


def parked(queue: Shared) -> list[str]:
    _, found = trio.run(queue.doubts)
    return [doubt.envelope.id for doubt in found]


def test_a_line_each_with_address_route_time_and_reason(doubts: Callable[..., Result]) -> None:
    result = doubts("list", "spring")
    first, *_, last = result.output.splitlines()
    assert result.exit_code == 0
    assert first.startswith("spring:0  user0@example.org  main/google  1970-01-01 ")
    assert first.endswith("mx.google.example: no reply to the end of data")
    assert last == "3 in doubt"


def test_a_line_of_json_each(doubts: Callable[..., Result]) -> None:
    lines = [json.loads(line) for line in doubts("list", "--json").output.splitlines()]
    assert [line["envelope"] for line in lines] == [f"{name}:{n}" for name in ("spring", "summer") for n in range(3)]
    assert lines[0] == {
        "envelope": "spring:0",
        "to": "user0@example.org",
        "pool": "main",
        "receiver": "google",
        "attempts": 2,
        "doubts": 2,
        "at": QUEUED_AT + 5,
        "why": "mx.google.example: no reply to the end of data",
    }


def test_those_named_are_sent_again_and_the_others_are_not(doubts: Callable[..., Result], queue: Shared) -> None:
    result = doubts("resend", "spring:1", "summer:0", "summer:9")
    assert (result.exit_code, result.output) == (0, "2 queued again; 1 of those named are not parked (any more)\n")
    assert parked(queue) == ["spring:0", "spring:2", "summer:1", "summer:2"]
    statuses = trio.run(queue.status, ["spring", "summer"])
    assert [(status.queued, status.parked) for status in statuses] == [(1, 2), (1, 2)]


def test_a_whole_campaign_at_one_receiver_or_at_all(doubts: Callable[..., Result], queue: Shared) -> None:
    assert doubts("resend", "--campaign", "spring", "--receiver", "orange").output == "0 queued again\n"
    assert doubts("resend", "--campaign", "spring", "--receiver", "google").output == "3 queued again\n"
    assert doubts("drop", "--campaign", "summer").output == "3 dropped: they stay unknown\n"
    assert parked(queue) == []


def test_those_that_standard_input_names(doubts: Callable[..., Result], queue: Shared) -> None:
    assert doubts("drop", "-", stdin="spring:0\n\nspring:2\nspring:0\n").output == "2 dropped: they stay unknown\n"
    assert parked(queue) == ["spring:1", "summer:0", "summer:1", "summer:2"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "why"),
    [
        (("spring:0", "spring"), "", "'spring' is no envelope's id: expected campaign:ordinal"),
        (("-",), "spring:0\nrubbish\n", "'rubbish' is no envelope's id"),
        (("-",), "x" * 300, "line 1: too much"),
        ((), "", "give envelopes (campaign:ordinal), or --campaign"),
        (("spring:0", "--campaign", "spring"), "", "one of the two"),
        (("spring:0", "--receiver", "google"), "", "--receiver: needs --campaign"),
        (("--campaign", "a b"), "", "'a b' is no campaign id"),
    ],
)
@pytest.mark.parametrize("what", ["resend", "drop"])
def test_what_is_wrong_is_said_before_anything_is_done(
    doubts: Callable[..., Result], queue: Shared, what: str, arguments: tuple[str, ...], stdin: str, why: str
) -> None:
    result = doubts(what, *arguments, stdin=stdin)
    assert result.exit_code == 1
    assert why in result.output
    assert len(parked(queue)) == 6


def test_nothing_in_doubt(doubts: Callable[..., Result], queue: Shared) -> None:
    trio.run(queue.drop_doubts, parked(queue))
    assert doubts("list", "spring").output == "0 in doubt\n"


@pytest.mark.parametrize(
    "arguments", [("list", "winter"), ("resend", "--campaign", "winter"), ("drop", "--campaign", "winter")]
)
def test_a_campaign_that_nobody_knows(doubts: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    result = doubts(*arguments)
    assert result.exit_code == 1
    assert "campaign winter: the queue knows none of that id" in result.output


def test_of_many_there_is_a_summary(doubts: Callable[..., Result]) -> None:
    groups = Counter({("spring", "google"): 1_200, ("spring", "orange"): 20, ("summer", "google"): 21})
    assert list(summary(groups)) == [
        "",
        "    1,200  spring  google",
        "       21  summer  google",
        "       20  spring  orange",
        "1,241 in doubt",
    ]
    many = list(summary(Counter({("spring", f"~r{number}"): 1 for number in range(50)})))
    assert (len(many), many[-2:]) == (43, ["      ...  and 10 more", "50 in doubt"])
    assert len(doubts("list").output.splitlines()) == 7
