import json
from typing import Any, cast

import pytest

from sender.backlog import Held
from sender.campaigns import Campaign
from sender.model import Category, Envelope, LaneId, Outcome, Reply, Route, State, Step, Verdict
from sender.policy.retry import Final, Later
from sender.queue.base import Ticket
from sender.record import Attempt
from workers.attempt_log import AttemptLine, AttemptLog, attempt_log
from workers.log import VALUE_MOST, Level, Renderer, Style

LANE = LaneId(source="s1", receiver="google")


def clock() -> float:
    return 1_700_000_000.25


def held(envelope: Envelope) -> Held:
    route = Route(pool="main", receiver="google")
    ticket = Ticket(id="1", lane=LANE, route=route, campaign=envelope.campaign, ordinals=(envelope.ordinal,))
    return Held(ticket, 0, envelope, cast("Campaign", None))  # the log asks nothing of the campaign


REFUSED = Attempt(
    at=1_700_000_000.0,
    held=held(Envelope(campaign="spring", ordinal=5, address="anna@gmail.example", attempts=1)),
    lane=LANE,
    mx="mx.gmail.example",
    step=Step.RCPT,
    reply=Reply(code=550, enhanced="5.1.1", lines=("who?",)),
    why="",
    outcome=Outcome(verdict=Verdict.REJECTED, category=Category.UNKNOWN_USER, rule="no_such_user"),
    next=Final(state=State.REJECTED),
    seconds=0.12345,
)
DOUBTFUL = Attempt(
    at=1_700_000_000.0,
    held=held(Envelope(campaign="spring", ordinal=6, address="otto@gmail.example")),
    lane=LANE,
    mx="mx.gmail.example",
    step=Step.DOT,
    reply=None,
    why="connection lost",
    outcome=Outcome(
        verdict=Verdict.DEFERRED,
        category=Category.NETWORK,
        in_doubt=True,
        shadow=Outcome(verdict=Verdict.REJECTED, rule="google/tried"),
    ),
    next=Later(due=1_700_000_300.0, attempts=1, doubts=1, tried_at=1_700_000_000.0),
    seconds=0.0,
)


def test_an_attempt_tells_who_where_what_and_why() -> None:
    lines: list[bytes] = []
    tell = attempt_log(lines.append, "delivery-0", "info", "json")
    tell(REFUSED)
    tell(DOUBTFUL)
    refused, doubtful = map(json.loads, lines)
    assert refused | {"time": ""} == {
        "time": "",
        "level": "info",
        "role": "delivery-0",
        "event": "attempt",
        "envelope": "spring:5",
        "to": "anna@gmail.example",
        "source": "s1",
        "receiver": "google",
        "mx": "mx.gmail.example",
        "attempt": 2,
        "step": "RCPT",
        "reply": "550 5.1.1 who?",
        "verdict": "rejected",
        "category": "unknown_user",
        "rule": "no_such_user",
        "seconds": 0.123,
        "in_doubt": False,
    }
    assert (doubtful["reply"], doubtful["in_doubt"]) == ("connection lost", True)
    assert doubtful["shadow"] == "google/tried in shadow would say rejected, scope recipient, category other"


@pytest.mark.parametrize(("level", "lines"), [("debug", 1), ("info", 1), ("warning", 0), ("error", 0)])
def test_a_quiet_log_has_none_of_it(level: Level, lines: int) -> None:
    written: list[bytes] = []
    attempt_log(written.append, "delivery-0", level, "json")(REFUSED)
    assert len(written) == lines


@pytest.mark.parametrize("words", ["250 ok", "a\x1b[2Jb", "tab\there", "é" * 3000, "x" * (VALUE_MOST + 1), "\u202ereversed"])
@pytest.mark.parametrize("style", ["json", "console"])
def test_its_words_are_as_safe_as_those_of_any_line(words: str, style: Style) -> None:
    told: dict[str, Any] = {"event": "attempt", "envelope": "spring:5", "to": "a@b.example", "source": "s1"}
    told |= {"receiver": "google", "mx": "mx", "attempt": 1, "step": Step.DOT, "reply": words, "verdict": Verdict.DELIVERED}
    told |= {"category": Category.ACCEPTED, "rule": "accepted", "seconds": 0.1, "in_doubt": False}
    renderer = Renderer("delivery-0", style, clock)
    line = AttemptLine(time=renderer.stamp(), level="info", role="delivery-0", **told)
    assert AttemptLog(bytearray().extend, "delivery-0", renderer, style).whole(line) == renderer(None, "info", told.copy())
