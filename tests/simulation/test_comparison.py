"""Plans side by side on the same receivers: ours gets to full volume, and is told to wait less often than published ladders."""

import pytest
from rich.console import Console

from sender.errors import ConfigErrors
from sender.settings import load
from workers.commands.simulate import table
from workers.simulation.comparison import DEFAULT_PLANS, Played, check_plans, compare
from workers.simulation.mailing import ORDINARY, Mailing, Segment

# Small enough for a minute: a source that has to get to 1,200 a day at Google, and to 800 at Microsoft.
SMALL = Mailing(
    week=(2_000, 2_000, 2_000, 2_000, 2_000, 0, 0),
    receivers={"google": 0.6, "microsoft": 0.4},
    segment=(Segment(name="all", share=1.0, complaining=0.0002, unknown=0.002),),
)


def show(played: list[Played]) -> None:
    print()
    Console(width=100).print(table(played))


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
