"""Plans side by side on the same receivers: ours gets to full volume, and is told to wait less often than published ladders."""

import pytest
from rich.console import Console

from sender.errors import ConfigErrors
from sender.model import LaneId
from sender.settings import load
from workers.commands.simulate import table
from workers.simulation.comparison import DEFAULT_PLANS, Played, check_plans, compare
from workers.simulation.diary import Diary
from workers.simulation.mailing import ORDINARY, Mailing, Segment
from workers.simulation.record import LaneDay

# Small enough for a minute: a source that has to get to 1,200 a day at Google, and to 800 at Microsoft.
SMALL = Mailing(
    week=(2_000, 2_000, 2_000, 2_000, 2_000, 0, 0),
    receivers={"google": 0.6, "microsoft": 0.4},
    segment=(Segment(name="all", share=1.0, complaining=0.0002, unknown=0.002),),
)


def show(played: list[Played]) -> None:
    print()
    Console(width=100).print(table(played))


def day(number: int, receiver: str, asked: int, sent: int, *, bounced: int = 0, held_off: int = 0) -> LaneDay:
    lane = LaneId(source="cold-1", receiver=receiver)
    return LaneDay(day=number, lane=lane, asked=asked, sent=sent, bounced=bounced, held_off=held_off)


def test_a_lane_is_at_full_volume_once_it_sends_nearly_all_of_an_ordinary_day() -> None:
    """Not on a day with little to send, and unknown users count as what was there; what came later is not of the way there."""
    google = [
        day(0, "google", 100, 100, held_off=1),  # a quiet day
        day(1, "google", 1_000, 940, bounced=9, held_off=10),  # not quite
        day(2, "google", 1_000, 940, bounced=10, held_off=100),
        day(3, "google", 1_000, 1_000, held_off=1_000),
    ]
    yahoo = [day(number, "yahoo", 10, 10 if number == 3 else 5, held_off=10_000) for number in range(5)]
    both = Played(plan="steady", days=5, diary=Diary(days=[*google, *yahoo], troubles=()))
    assert {str(lane): full for lane, full in both.full_by_lane().items()} == {"cold-1/google": 3, "cold-1/yahoo": 4}
    assert (both.full, both.held_off, both.held_off_until_full) == (4, 51_111, 40_111)


def test_where_one_lane_never_gets_there_the_plan_does_not() -> None:
    never = [day(number, "yahoo", 10, 5, held_off=1) for number in range(5)]
    played = Played(plan="steep", days=5, diary=Diary(days=[day(0, "google", 10, 10), *never], troubles=()))
    assert (played.full, played.held_off_until_full) == (None, 5)


def test_our_plan_gets_there_and_waits_less_often_than_a_steep_one() -> None:
    seen: list[tuple[str, int]] = []
    played = list(compare(load(), SMALL, ("steady", "sparkpost"), days=10, progress=lambda plan, day: seen.append((plan, day))))
    show(played)
    ours, steep = played
    assert seen == [(plan, day) for plan in ("steady", "sparkpost") for day in range(10)]
    assert ours.full is not None
    assert ours.held_off < steep.held_off
    assert ours.blocked == 0
    assert ours.diary.troubles == ()


def test_a_plan_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigErrors, match=r"--plan.*steep.*no such warmup plan; there are: cautious, mailtrap"):
        check_plans(load(), ["steady", "steep"])


@pytest.mark.long
def test_our_plan_waits_less_often_than_the_published_ladders_in_45_days() -> None:
    ours, *others = played = list(compare(load(), ORDINARY, DEFAULT_PLANS, days=45))
    show(played)
    assert ours.full is not None
    for other in others:
        assert ours.held_off < other.held_off, other.plan
