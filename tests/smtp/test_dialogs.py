"""Every conversation in tests/dialogs, by its name."""

from pathlib import Path

import pytest

from tests.smtp.dialog import Player, read

DIALOGS = sorted((Path(__file__).parents[1] / "dialogs").glob("*.smtp"))


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
def test_dialog(path: Path) -> None:
    dialog = read(path)
    assert dialog.about, "a dialog says what it is about"
    Player(dialog).play()


def test_there_are_dialogs_for_every_fault() -> None:
    assert len(DIALOGS) >= 60
