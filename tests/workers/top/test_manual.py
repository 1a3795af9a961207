"""What TOP.md says of keys and of the JSON document is what there is."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from sender.explaining.board import Boards
from sender.explaining.documents import board_document
from sender.explaining.lane_rows import NO_LANE, UP
from tests.workers.top.boards import configured, filled
from workers.top.view import PAGES, View, press

MANUAL = Path(__file__).parents[3] / "workers/top/TOP.md"


def words(text: str) -> set[str]:
    """All names that stand in code marks, without what they are keys of."""
    return {name.removesuffix("[]").rpartition(".")[2] for name in re.findall(r"`([^`]+)`", text)}


def keys(document: Any) -> Iterator[str]:
    """The names of all keys, however deep."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from keys(value)
    elif isinstance(document, list):
        for value in document:
            yield from keys(value)


def test_each_key_of_the_document_is_explained(tmp_path: Path) -> None:
    async def looked() -> dict[str, Any]:
        return board_document(await Boards(await filled(), configured(tmp_path)).look())

    document = trio.run(looked)
    explained = words(MANUAL.read_text().partition("## For scripts")[2])
    found = set(keys(document)) - {"lanes", "campaigns", "fleet", "report"}
    assert found - explained == set()
    assert explained >= {lane["state"] for lane in document["lanes"]} | set(UP) | {NO_LANE}


def test_each_letter_that_is_explained_does_something() -> None:
    letters = {name for name in words(MANUAL.read_text().partition("`--interval`")[0]) if len(name) == 1}
    assert letters == set("lvcjksSr/p?q")
    for letter in letters:
        views = [replace(View(), page=page) for page in PAGES]
        assert any(press(view, letter, ["a", "b"], 5, 3) != view for view in views), letter
