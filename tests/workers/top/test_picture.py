"""The screen as SVG."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.text import Text

from sender.errors import ConfigError
from workers.top.picture import svg, write

NAMESPACE = "{http://www.w3.org/2000/svg}"
LINES = [
    Text("1,234 msg/s", "bold green"),
    Text("receiver state", "reverse"),
    Text("").append("google ").append("paused", "red").append("  <script>&日本", "dim"),
]


def test_each_word_stands_in_its_cell_and_is_nothing_but_a_word() -> None:
    picture = ET.fromstring(svg(LINES))
    words = [(word.text, float(word.attrib["x"]), word.attrib["fill"]) for word in picture.iter(f"{NAMESPACE}text")]
    assert [word for word, _, _ in words] == ["1,234", "msg/s", "receiver", "state", "google", "paused", "<script>&日本"]
    cell = words[1][1] / 6
    assert [round(x / cell) for _, x, _ in words] == [0, 6, 0, 9, 0, 7, 15]
    assert len({colour for _, _, colour in words}) == 5
    assert "http" not in svg(LINES).replace("http://www.w3.org/2000/svg", ""), "nothing is fetched"


def test_what_is_reversed_has_a_ground_of_its_own() -> None:
    grounds = list(ET.fromstring(svg(LINES)).iter(f"{NAMESPACE}rect"))
    assert len(grounds) == 2, "one behind all, and that of the titles"


def test_a_file_that_cant_be_written_is_named(tmp_path: Path) -> None:
    write(LINES, tmp_path / "top.svg")
    assert (tmp_path / "top.svg").read_text().startswith("<svg ")
    with pytest.raises(ConfigError, match="No such file or directory"):
        write(LINES, tmp_path / "nowhere" / "top.svg")
