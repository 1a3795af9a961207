"""The mailing calendar: its days, its events, and what is wrong with a file."""

import re
from pathlib import Path

import pytest

from sender.errors import ConfigErrors
from workers.simulation import mailing
from workers.simulation.mailing import ORDINARY, Event, Mailing, read

GUIDE = Path(mailing.__file__).with_name("MAILING.md")
RECEIVERS = frozenset({"google", "orange"})


def example() -> str:
    found = re.search(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mailing.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_example_of_the_guide_is_read_as_it_says(tmp_path: Path) -> None:
    found = read(write(tmp_path, example()), RECEIVERS)
    assert [found.volume(day) for day in range(8)] == [6_000] * 5 + [0, 0, 6_000]
    assert [event.name for event in found.events(14)] == ["a bad week"]
    assert found.events(23)[0].concerns("orange")
    assert not found.events(23)[0].concerns("google")
    assert found.volume(28) == 0
    assert found.starts == 1_799_625_600.0


def test_every_key_is_in_the_guide() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for kind in (Mailing, mailing.Segment, Event):
        assert all(re.search(rf"\b{name}\b", text) for name in kind.__struct_fields__)


def test_events_multiply_the_volume_of_the_week() -> None:
    quiet = Mailing(week=ORDINARY.week, receivers={"google": 1.0}, event=(Event(name="half", day=1, days=2, volume=0.5),))
    assert [quiet.volume(day) for day in range(4)] == [6_000, 3_000, 3_000, 6_000]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("orange = 0.4", "nobody = 0.4", "nobody of that name in the emulated world; there are: google, orange"),
        ("orange = 0.4", "orange = 0.5", "the shares come to 1.1; they must come to 1"),
        ("share = 0.3", "share = 0.1", "the shares come to 0.8; they must come to 1"),
        ('receiver = "orange"', 'receiver = "yahoo"', "'yahoo' gets no mail here; there are: google, orange"),
        ("hour = 8", "hour = 20", "hour and hours come to 32; a day has 24"),
        ("hour = 8", "hour = 25", "hour"),
        ("hours = 12", "ours = 12", "ours"),
        ("0, 0]", "0]", "week"),
        ("hour = 8", "hour = =", "not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read(write(tmp_path, example().replace(old, new, 1)), RECEIVERS)
    assert why in str(caught.value)
    assert "mailing.toml" in str(caught.value)
