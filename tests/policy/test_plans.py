"""Plans as files: the shipped ones are as published, receivers' own keys lie over the rest, and what is wrong is named."""

import tomllib
from itertools import pairwise

import pytest

from sender.errors import ConfigErrors
from sender.policy.gates import Gates
from sender.policy.plan import Stage
from sender.policy.plans import Plans
from sender.settings import load

SHIPPED = Plans.parse(load().plans)


def parse(text: str) -> Plans:
    return Plans.parse({"mine": ("mine.toml", tomllib.loads(text))})


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        parse(text)
    return [str(error).removeprefix("mine.toml: ") for error in caught.value.errors]


LADDER = "[ladder]\nstart = 100\nuntil = 400\nbands = [{ factor = 2 }]\n"


def test_the_published_ladders_are_as_published() -> None:
    sendgrid, sparkpost, mailtrap = (SHIPPED.plan(name) for name in ("sendgrid", "sparkpost", "mailtrap"))
    assert [len(plan.stages) for plan in (sendgrid, sparkpost, mailtrap)] == [36, 29, 21]
    assert [stage.hour for stage in sendgrid.stages][:13] == [20, 28, 39, 55, 77, 108, 151, 211, 295, 413, 579, 810, 1_000]
    assert sendgrid.stages[-1].hour == 2_603_222
    assert sendgrid.stages[0].day == 480
    assert [sparkpost.stages[number - 1].day for number in (1, 8, 15, 22, 29)] == [200, 40_000, 325_000, 1_750_000, 10_000_000]
    assert (mailtrap.stages[0].day, mailtrap.stages[0].hour) == (300, 60)
    assert (mailtrap.stages[20].day, mailtrap.stages[20].hour) == (57_000, 11_400)
    assert (sendgrid.used, sparkpost.used) == (0, 0.9)


def test_our_default_begins_where_the_receiver_lets_it_and_rises_by_volume() -> None:
    starts = {receiver: SHIPPED.plan("steady", receiver).stages[0].day for receiver in SHIPPED.receivers("steady")}
    assert starts["google"] == 2 * starts["microsoft"] == 200
    assert starts["sfr"] == starts["laposte"] == starts["free"] == 50
    assert SHIPPED.plan("steady", "other") is SHIPPED.plan("steady")
    for earlier, later in pairwise(stage.day for stage in SHIPPED.plan("steady", "google").stages[:-1]):
        factor = 1.4 if earlier < 10_000 else 1.3 if earlier < 100_000 else 1.2
        assert later == pytest.approx(earlier * factor, rel=0.01)
    assert SHIPPED.plan("steady", "google").stages[-1].day == 1_000_000


def test_the_default_s_gates_are_those_of_a_plan_that_says_nothing() -> None:
    assert SHIPPED.plan("steady").gates == Gates() == parse(LADDER).plan("mine").gates
    assert SHIPPED.plan("steady", "microsoft").gates.deferral.hold == 0.005
    assert SHIPPED.plan("steady", "microsoft").gates.deferral.back == 0.2


def test_columns_and_shares_make_stages() -> None:
    plan = parse("hour_share = 0.1\n[stages]\nday = [100, 300]\nminute = [5, 7]").plan("mine")
    assert plan.stages == (Stage(day=100, hour=10, minute=5), Stage(day=300, hour=30, minute=7))
    assert parse("[stages]\nhour = [10, 20]").plan("mine").stages[1] == Stage(day=480, hour=20, minute=1)


def test_a_receiver_s_keys_lie_over_the_others() -> None:
    plans = parse(
        LADDER + "[gates.deferral]\nhold = 0.01\n[receiver.google]\nladder = { start = 200 }\nstay = 2\n"
        "[receiver.orange]\nstages = { day = [7, 9] }\ntime_zone = 'Europe/Paris'\n"
    )
    assert [stage.day for stage in plans.plan("mine", "google").stages] == [200, 400]
    assert (plans.plan("mine", "google").stay, plans.plan("mine").stay) == (2, 1)
    assert plans.plan("mine", "google").gates.deferral.hold == 0.01
    assert [stage.day for stage in plans.plan("mine", "orange").stages] == [7, 9]
    assert plans.plan("mine", "orange").zone.key == "Europe/Paris"
    assert plans.plan("mine", "free") is plans.plan("mine")
    assert plans.receivers("mine") == ("google", "orange")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a plan has either stages or a ladder"),
        (LADDER + "[stages]\nday = [1]", "a plan has either stages or a ladder"),
        ("[stages]\nminute = [1]", "stages: no stage: give the numbers of day, or of hour"),
        ("[stages]\nday = [1, 2, 2]", "stages: stage 3 permits 2, no more than the 2 before it: stages must rise"),
        ("[stages]\nday = [1, 2]\nhour = [1]", "stages: day, hour and minute are of different length"),
        ("[stages]\nday = [0]", "stages.day[0]: expected a whole number >= 1; found 0"),
        (LADDER + "[gates.blocks]\nback = 1", "gates.blocks: unknown key; did you mean 'block'?"),
        (LADDER + "[gates.block]\nback = 0.2\nstop = 0.1", "gates.block: hold, back and stop must rise in this order"),
        (LADDER + "[gates.block]\nback = 7", "gates.block.back: expected a number <= 1.0; found 7"),
        ("time_zone = 'Paris'\n" + LADDER, "time_zone: 'Paris' is no time zone"),
        ("time_zone = '../etc'\n" + LADDER, "time_zone: '../etc' is no time zone"),
        (LADDER.replace("400", "99"), "ladder: until = 99 is less than start = 100"),
        (LADDER.replace("factor = 2", "factor = 1.01"), "ladder: more than 400 stages: begin higher, or use larger factors"),
        (LADDER.replace("factor = 2", "factor = 2, below = 7"), "ladder: the last of bands must have no `below`"),
        (
            LADDER.replace("[{ factor = 2 }]", "[{ factor = 2, below = 9 }, { factor = 2, below = 8 }, { factor = 2 }]"),
            "ladder: bands must be in the order of their `below`; only the last one has none",
        ),
        (
            LADDER + "[receiver.google]\nladder = { start = 500 }",
            "receiver.google.ladder: until = 400 is less than start = 500",
        ),
        ("engagement_min = 30\n" + LADDER, "engagement_min: expected one of 0, 25, 50, 75; found 30"),
        (LADDER + "[receiver]\ngoogle = 'none'", "receiver.google: expected a table of the plan's keys"),
    ],
)
def test_what_is_wrong_is_named(text: str, expected: str) -> None:
    text = text.replace("until = 400", "until = 40000000") if "factor = 1.01" in text else text
    (problem,) = problems(text)
    assert problem.startswith(expected)


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = problems("stay = 0\nused = 2\n" + LADDER.replace("start = 100", "start = 'x'"))
    assert [text.split(":")[0] for text in found] == ["ladder.start", "used", "stay"]


def test_no_plan_may_be_called_none() -> None:
    with pytest.raises(ConfigErrors, match="'none' stands for no plan at all"):
        Plans.parse({"none": ("none.toml", tomllib.loads(LADDER))})
