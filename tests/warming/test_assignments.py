"""Which plan holds for which lane: the source's word on the receiver, then the receiver's, then the source's default."""

from pathlib import Path

import pytest
from publicsuffixlist import PublicSuffixList

from sender.errors import ConfigErrors
from sender.policy.receivers import Profiles
from sender.settings import load
from sender.warming.assignments import Assignments

SOURCES = """
[[source]]
name = "cold"
ehlo = "a.example"
warmup = { default = "steady", google = "cautious", orange = "none" }
[[source]]
name = "warm"
ehlo = "b.example"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("conf")
    (home / "sources.toml").write_text(SOURCES)
    (home / "penstock.toml").write_text(
        '[[identity]]\ndomain = "a.example"\nsigned = false\nwarmup = "mailtrap"\n'
        '[[identity]]\ndomain = "b.example"\nsigned = false\n'
    )
    (home / "receivers").mkdir()
    (home / "receivers" / "easy.toml").write_text('warmup = "none"\n[match]\nmx = [".easy.example"]\n')
    (home / "receivers" / "hard.toml").write_text('warmup = "cautious"\n[match]\nmx = [".hard.example"]\n')
    return home


@pytest.fixture(scope="module")
def assignments(home: Path) -> Assignments:
    settings = load(home)
    return Assignments.of(settings, Profiles.parse(settings.receivers, PublicSuffixList()))


@pytest.mark.parametrize(
    ("source", "receiver", "plan"),
    [
        ("cold", "google", "cautious"),
        ("cold", "orange", None),
        ("cold", "microsoft", "steady"),
        ("cold", "~example.org", "steady"),
        ("cold", "easy", None),
        ("cold", "hard", "cautious"),
        ("warm", "google", None),
        ("warm", "hard", "cautious"),
        ("gone", "google", None),
    ],
)
def test_the_plan_of_a_lane(assignments: Assignments, source: str, receiver: str, plan: str | None) -> None:
    found = assignments.plan(source, receiver)
    assert (found.name if found else None) == plan


def test_a_plan_is_as_it_is_for_the_receiver(assignments: Assignments) -> None:
    plans = [assignments.plan("cold", receiver) for receiver in ("microsoft", "~example.org")]
    assert [plan.stages[0].day for plan in plans if plan] == [100, 200]


def test_identities_have_plans_of_their_own(assignments: Assignments) -> None:
    plan = assignments.identity("a.example")
    assert plan is not None
    assert plan.name == "mailtrap"
    assert assignments.identity("b.example") is None
    assert assignments.identity("c.example") is None
    assert assignments.domains == ("a.example",)


def test_who_has_no_profile_shares(assignments: Assignments) -> None:
    assert [assignments.is_shared(receiver) for receiver in ("google", "easy", "~example.org")] == [False, False, True]


def test_a_plan_that_can_not_be_read_is_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text(SOURCES)
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "steady.toml").write_text("stay = 0\n[stages]\nday = [1]")
    settings = load(tmp_path)
    with pytest.raises(ConfigErrors, match=r"steady\.toml: stay: expected a whole number >= 1; found 0"):
        Assignments.of(settings, Profiles.parse(settings.receivers, PublicSuffixList()))
