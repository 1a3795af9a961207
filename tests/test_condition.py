"""What a campaign is doing, in words: from its schedule, what an operator said, and how far it is."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sender.condition import Condition, Phase, condition, ending, hold_of, schedule_of
from sender.content.spec import parse
from sender.model import State
from sender.policy.schedule import Outlook, Schedule, Window
from sender.queue.base import CampaignStatus
from sender.queue.control import FOR_EVER, Control, Hold
from tests.rig import SPEC

NOW = datetime(2026, 6, 2, 12, tzinfo=UTC).timestamp()  # a Tuesday
PAUSED = Control(campaign="spring", paused=True, by="ann@host", at=NOW - 60, why="wrong price")
CANCELLED = Control(campaign="spring", ended=State.CANCELLED, by="ann@host", at=NOW - 60)
OVER = Schedule(deadline=NOW - 1)
LATER = Schedule(start=NOW + 3600)


def status(accepted: int = 10, *, finished: int = 0, complete: bool = True) -> CampaignStatus:
    final = {("big", State.DELIVERED): finished}
    return CampaignStatus(campaign="spring", accepted=accepted, waiting_batches=0, complete=complete, final=final, deferrals={})


def test_a_specification_becomes_a_schedule() -> None:
    spec = parse(
        {
            **SPEC,
            "start": "2026-06-02T14:00:00+02:00",
            "deadline": "2026-06-05T12:00:00Z",
            "windows": [{"days": ["mon", "sun"], "from": "09:00", "to": "18:30"}, {"from": "22:00", "to": "02:00"}],
            "time_zone": "Europe/Paris",
        },
        file="x",
    )
    assert schedule_of(spec) == Schedule(
        start=NOW,
        deadline=NOW + 3 * 86_400,
        windows=(
            Window(days=frozenset({0, 6}), opens=540, closes=1110),
            Window(days=frozenset(range(7)), opens=1320, closes=1560),
        ),
        zone=ZoneInfo("Europe/Paris"),
    )
    assert schedule_of(parse(SPEC, file="x")).always


@pytest.mark.parametrize(
    ("word", "schedule", "expected"),
    [
        (None, Schedule(), None),
        (PAUSED, Schedule(), None),
        (CANCELLED, Schedule(), State.CANCELLED),
        (CANCELLED, OVER, State.CANCELLED),
        (PAUSED, OVER, State.EXPIRED),
        (None, OVER, State.EXPIRED),
        (None, Schedule(deadline=NOW), State.EXPIRED),
        (None, Schedule(deadline=NOW + 1), None),
    ],
)
def test_how_a_campaign_ends(word: Control | None, schedule: Schedule, expected: State | None) -> None:
    assert ending(word, schedule, NOW) is expected


@pytest.mark.parametrize(
    ("word", "schedule", "start", "end"),
    [
        (None, Schedule(), 0.0, 0.0),
        (Control(campaign="spring"), Schedule(), 0.0, 0.0),
        (PAUSED, Schedule(), 0.0, FOR_EVER),
        (PAUSED, LATER, 0.0, FOR_EVER),
        (CANCELLED, LATER, 0.0, FOR_EVER),
        (None, OVER, 0.0, FOR_EVER),
        (None, LATER, 0.0, NOW + 3600),
        (None, Schedule(deadline=NOW + 60), NOW + 60, FOR_EVER),
    ],
)
def test_the_hold_that_must_stand(word: Control | None, schedule: Schedule, start: float, end: float) -> None:
    assert hold_of("spring", word, Outlook(schedule), NOW) == Hold(campaign="spring", start=start, end=end)


NIGHT = Schedule(windows=(Window(days=frozenset({0}), opens=540, closes=600),))  # Mondays, UTC


@pytest.mark.parametrize(
    ("word", "schedule", "at", "phase", "text"),
    [
        (None, Schedule(), status(), Phase.RUNNING, "running"),
        (None, Schedule(), status(finished=10), Phase.COMPLETE, "complete"),
        (None, Schedule(), status(finished=10, complete=False), Phase.RUNNING, "running"),
        (PAUSED, Schedule(), status(), Phase.PAUSED, "paused by ann@host 2026-06-02 11:59 +0000: wrong price"),
        (PAUSED, OVER, status(), Phase.EXPIRED, "deadline passed"),
        (PAUSED, Schedule(), status(finished=10), Phase.COMPLETE, "complete"),
        (CANCELLED, OVER, status(), Phase.CANCELLED, "cancelled by ann@host 2026-06-02 11:59 +0000"),
        (CANCELLED, Schedule(), status(finished=10), Phase.CANCELLED, "cancelled by ann@host 2026-06-02 11:59 +0000"),
        (None, OVER, status(finished=10), Phase.COMPLETE, "complete"),
        (None, LATER, status(), Phase.SCHEDULED, "starts 2026-06-02 13:00 +0000"),
        (None, NIGHT, status(), Phase.WINDOW, "window opens 2026-06-08 09:00 +0000"),
        (
            None,
            Schedule(windows=NIGHT.windows, deadline=NOW + 86_400),
            status(),
            Phase.WINDOW,
            "no window before the deadline",
        ),
    ],
)
def test_what_it_is_doing(word: Control | None, schedule: Schedule, at: CampaignStatus, phase: Phase, text: str) -> None:
    found = condition(word, schedule, at, NOW)
    assert (found.phase, found.text(ZoneInfo("UTC"))) == (phase, text)


@pytest.mark.parametrize("changes", [{"by": "a\x1b[31m"}, {"why": "two\nlines"}])
def test_what_somebody_wrote_into_the_store_is_one_printable_line(changes: dict[str, Any]) -> None:
    assert Condition(phase=Phase.PAUSED, **changes).text().isprintable()


def test_times_are_the_machines_where_no_zone_is_given() -> None:
    assert Condition(phase=Phase.SCHEDULED, until=NOW).text().startswith("starts 2026-06-0")
