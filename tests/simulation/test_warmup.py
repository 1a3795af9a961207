"""Forty-five days of a cold source on virtual time: what becomes of its lanes, day by day, and why."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sender.model import LaneId
from sender.policy.progress import What
from sender.settings import load
from workers.simulation.comparison import fleet
from workers.simulation.diary import Diary, keep_diary
from workers.simulation.mailing import Event, Mailing, Segment
from workers.simulation.record import LaneDay
from workers.simulation.stage import Setup

GOLDEN = Path(__file__).with_name("45-days.txt")

# Two weeks of five days, the second with complaints and a block; a month of silence; two days more.
MAILING = Mailing(
    week=(2_400, 2_400, 2_400, 2_400, 2_400, 0, 0),
    receivers={"google": 0.5, "yahoo": 0.5},
    segment=(Segment(name="all", share=1.0, complaining=0.0002, unknown=0.002),),
    event=(
        Event(name="a bad week", day=7, days=5, complaining=0.004),
        Event(name="a block", day=10, days=2, receiver="yahoo", blocked=True),
        Event(name="an idle month", day=12, days=31, volume=0.0),
    ),
)


@pytest.fixture(scope="module")
def diary() -> Diary:
    return keep_diary(Setup(settings=fleet(load(), "steady", 1)), MAILING, 45)


def lines(diary: Diary) -> Iterator[str]:
    """A line for each day of each lane, and one for each thing that became of its stage."""
    for entry in diary.days:
        cap = f"{entry.cap:,}" if entry.cap is not None else "any number"
        yield f"day {entry.day + 1:>2} {entry.lane}: stage {entry.stage}, {entry.sent:,} of {cap} sent, {entry.blocked} blocked"
        for decision in entry.changes:
            yield f"       {decision.what}: {decision.why}"


def test_the_trace_of_each_lane_is_the_one_that_is_written_down(diary: Diary) -> None:
    """Where a change is meant: look at the difference, and write the file anew."""
    assert "\n".join(lines(diary)) + "\n" == GOLDEN.read_text(encoding="utf-8")


def of(diary: Diary, receiver: str) -> list[LaneDay]:
    return [entry for entry in diary.days if entry.lane == LaneId(source="cold-1", receiver=receiver)]


def test_weekends_promote_nobody_and_take_nothing(diary: Diary) -> None:
    google = {entry.day: entry for entry in of(diary, "google")}
    assert not {5, 6} & google.keys()
    assert google[7].stage == (google[4].stage or 0) + 1


def test_what_befalls_a_lane_shows_in_its_stage(diary: Diary) -> None:
    for receiver in ("google", "yahoo"):
        happened = [decision.what for entry in of(diary, receiver) for decision in entry.changes]
        assert happened[0] is What.BEGIN
        assert What.PROMOTE in happened
        assert {What.STEP_BACK, What.STOP} & set(happened)
        assert What.REWARM in happened
    assert sum(entry.blocked for entry in of(diary, "google")) == 0
    assert sum(entry.blocked for entry in of(diary, "yahoo")) > 0


def test_nothing_goes_over_a_cap_and_nobody_is_lost(diary: Diary) -> None:
    for entry in diary.days:
        assert entry.cap is None or entry.sent <= entry.cap
    assert diary.troubles == ()


def test_another_seed_is_another_story_and_the_same_one_the_same() -> None:
    first, again, other = (
        keep_diary(replace(Setup(settings=fleet(load(), "steady", 1)), seed=seed), MAILING, 2).days for seed in (1, 1, 2)
    )
    assert repr(first) == repr(again)
    assert [entry.bounced for entry in first] != [entry.bounced for entry in other]
