"""Dead letters looked at: counted, told since when, and left as they are."""

from pathlib import Path

import pytest

from tests.consumers.test_file import give, names, sink
from workers.consumers import letters
from workers.consumers.letters import Letters, every, look
from workers.consumers.sink import Portion

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_all_files_are_counted_the_one_being_written_too_and_none_is_moved(tmp_path: Path) -> None:
    dead = sink(tmp_path, rotate=30)
    await dead.take(Portion(streams=(), entries={}, lines=[b'{"id":"0","at":12.5}']))
    for number in range(1, 5):
        await give(dead, str(number))
    before = names(tmp_path)
    found = look(sink(tmp_path))
    octets = sum((tmp_path / name).stat().st_size for name in before)
    assert found == Letters(files=[tmp_path / name for name in before], octets=octets, events=5, exact=True, oldest=12.5)
    assert before[-1] == "log.jsonl", "it is held by the consumer at this moment"
    assert [line[:9] for line in every(sink(tmp_path))] == [b'{"id":"0"', *(f'{{"id": "{n}'.encode() for n in range(1, 5))]
    assert names(tmp_path) == before
    await dead.aclose()


def test_a_line_that_is_being_written_is_no_event_yet(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{"at":1.0}\n{"at":2.0')
    assert list(every(sink(tmp_path))) == [b'{"at":1.0}']
    assert look(sink(tmp_path)).events == 1


def test_what_is_too_much_to_be_counted_is_told_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        (tmp_path / f"log-{number:06}.jsonl").write_bytes(b'{"at":1.0}\n' * 100)
    monkeypatch.setattr(letters, "_COUNTED", 1100)
    monkeypatch.setattr(letters, "_BLOCK", 1100)
    found = look(sink(tmp_path))
    assert (found.events, found.exact, len(found.files)) == (300, False, 3)


def test_where_nothing_lies_there_is_nothing_and_no_directory_is_made(tmp_path: Path) -> None:
    assert look(sink(tmp_path / "never")) == Letters(files=[])
    assert not (tmp_path / "never").exists()
    (tmp_path / "log.jsonl").write_bytes(b"no event\n")
    assert look(sink(tmp_path)).oldest is None
