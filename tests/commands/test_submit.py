"""`penstock submit`: checked before anything is queued, and repeatable as a whole."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from sender.content.times import Day
from sender.errors import ConfigError, ConfigErrors
from sender.model import State
from sender.queue.base import Chunk
from sender.queue.memory import MemoryQueue
from sender.settings import Settings, load
from workers.cli import main
from workers.commands.submit import submit

CAMPAIGN = 'from = "Shop <news@shop.example>"\nsubject = "Hello {{ name }}"\ntext = "Spring, {{ name }}."\n'
CONFIG = '[[identity]]\ndomain = "shop.example"\nsigned = false\n'
SOURCES = '[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n'
LIST = b"email,name\n" + b"".join(b"r%d@big.example,Ann\n" % number for number in range(1_500))
REPEATED = [
    "spring: 1,500 recipients read; 0 of 2 batches submitted.",
    "2 batches NOT added: an earlier submission has brought their numbers.",
    "That is right for a repeat of the same list, and for no other: another list needs another --id.",
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "penstock.toml").write_text(CONFIG)
    (tmp_path / "sources.toml").write_text(SOURCES)
    return load(tmp_path)


def campaign(tmp_path: Path, text: str = CAMPAIGN) -> Path:
    file = tmp_path / "spring.toml"
    file.write_text(text)
    return file


async def accept(queue: MemoryQueue) -> None:
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, 0.0)


async def test_a_repeat_adds_nothing(tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    queue = MemoryQueue()
    for _ in range(2):
        await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    assert len((await queue.rows("spring", 100)).batches) == 2
    await accept(queue)
    await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    assert await queue.announcements(10) == []
    assert len((await queue.rows("spring", 100)).batches) == 2
    assert capsys.readouterr().out.splitlines() == ["spring: 1,500 recipients submitted", *REPEATED, *REPEATED]


async def test_one_that_broke_off_is_completed_by_a_repeat(tmp_path: Path, settings: Settings) -> None:
    class Breaks(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 20_000:
                raise OSError("the input is gone")
            return super().readline(size)

    queue = MemoryQueue()
    with pytest.raises(OSError, match="gone"):
        await submit(campaign(tmp_path), Breaks(LIST), "spring", settings, queue)
    await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    await accept(queue)
    assert len((await queue.rows("spring", 100)).batches) == 2


async def expand(queue: MemoryQueue) -> None:
    """Read all recipients; what becomes of them is of no interest here."""
    await accept(queue)
    found = await queue.rows("spring", 100)
    count = sum(len(batch.rows.splitlines()) for batch in found.batches)
    chunk = Chunk(
        campaign="spring", number=found.chunk, priority=5, batches=found.batches, packs=(), states={State.INVALID: count}
    )
    assert await queue.expand(chunk, 0.0)
    assert (await queue.rows("spring", 100)).exhausted
    await queue.finish_rows("spring")


async def test_a_repeat_of_what_has_been_read_adds_nothing_and_says_so(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = MemoryQueue()
    await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    await expand(queue)
    capsys.readouterr()
    await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    (status,) = await queue.status(["spring"])
    assert (status.accepted, status.waiting_batches) == (1_500, 0)
    said = capsys.readouterr().out
    assert "complete since an earlier submission of 1,500 recipients; nothing was added" in said
    assert "If this is not that list, it was NOT submitted" in said


@pytest.mark.parametrize("other", [LIST + b"one.more@big.example,Bo\n", b"email,name\na@big.example,Ann\n", LIST + LIST])
async def test_another_list_under_a_known_id_is_refused(tmp_path: Path, settings: Settings, other: bytes) -> None:
    queue = MemoryQueue()
    await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    await expand(queue)
    with pytest.raises(ConfigError, match=r"complete with 1,500 recipients; this list has .* was NOT added: give another --id"):
        await submit(campaign(tmp_path), io.BytesIO(other), "spring", settings, queue)
    (status,) = await queue.status(["spring"])
    assert (status.accepted, status.waiting_batches) == (1_500, 0)


@pytest.mark.parametrize("header", [b"email,name\n", b"email,name\r\n\r\n"])
async def test_a_list_of_nobody_is_an_error_and_leaves_its_id_free(tmp_path: Path, settings: Settings, header: bytes) -> None:
    queue = MemoryQueue()
    with pytest.raises(ConfigError, match="no recipients in it: nothing was submitted"):
        await submit(campaign(tmp_path), io.BytesIO(header), "spring", settings, queue)
    assert await queue.announcements(10) == []
    await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    assert len(await queue.announcements(10)) == 1


async def test_one_recipient_is_no_recipients(tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    await submit(campaign(tmp_path), io.BytesIO(b"email,name\na@big.example,Ann\n"), "spring", settings, MemoryQueue())
    assert capsys.readouterr().out == "spring: 1 recipient submitted\n"


async def test_windows_that_never_open_are_an_error_now(tmp_path: Path, settings: Settings) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    other = list(Day)[(tomorrow.weekday() + 3) % 7]
    text = f'{CAMPAIGN}deadline = {tomorrow.isoformat()}\nwindows = [{{ days = ["{other}"], from = "09:00", to = "18:00" }}]\n'
    queue = MemoryQueue()
    with pytest.raises(ConfigErrors, match=r"spring.toml: windows: none opens before the deadline, .*: everybody would end"):
        await submit(campaign(tmp_path, text), io.BytesIO(LIST), "spring", settings, queue)
    assert await queue.announcements(10) == []


def test_what_is_wrong_with_the_files_is_told_before_the_store_is_asked(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "people.csv").write_text("nobody\nx\n")
    for text, why in ((CAMPAIGN, "no column is called to"), (CAMPAIGN + "colour = 1\n", "colour")):
        file = tmp_path / "spring.txt"  # no file of the configuration's
        file.write_text(text)
        files = [str(file), str(tmp_path / "people.csv")]
        result = CliRunner().invoke(main, ["submit", *files, "--config", str(tmp_path)])
        assert result.exit_code == 1
        assert why in result.output
        assert "valkey.sock" not in result.output


async def test_an_id_that_can_t_be_one_is_refused_in_words(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match="--id: 'a b' is no campaign id"):
        await submit(campaign(tmp_path), io.BytesIO(LIST), "a b", settings, MemoryQueue())


async def test_a_field_without_a_column_is_an_error_before_anything_is_queued(tmp_path: Path, settings: Settings) -> None:
    queue = MemoryQueue()
    text = CAMPAIGN.replace("Spring", "Spring in {{ city }}")
    with pytest.raises(ConfigErrors, match=r"spring.toml: city: no such column in the recipients; there are: to, name"):
        await submit(campaign(tmp_path, text), io.BytesIO(b"email,name\n"), "spring", settings, queue)
    assert await queue.announcements(10) == []


async def test_what_this_configuration_can_t_send_is_an_error_now(tmp_path: Path, settings: Settings) -> None:
    text = CAMPAIGN.replace("shop.example", "elsewhere.example")
    with pytest.raises(ConfigErrors, match=r"no identity 'elsewhere.example' is configured; there are: shop.example"):
        await submit(campaign(tmp_path, text), io.BytesIO(LIST), "spring", settings, MemoryQueue())


async def test_another_content_under_a_known_id_is_refused(tmp_path: Path, settings: Settings) -> None:
    queue = MemoryQueue()
    await submit(campaign(tmp_path), io.BytesIO(LIST), "spring", settings, queue)
    await accept(queue)
    other = campaign(tmp_path, CAMPAIGN.replace("Hello", "Good bye"))
    with pytest.raises(ConfigError, match="there is one of that id with other content"):
        await submit(other, io.BytesIO(LIST), "spring", settings, queue)


async def test_json_lines_need_no_columns(tmp_path: Path, settings: Settings) -> None:
    queue = MemoryQueue()
    await submit(campaign(tmp_path), io.BytesIO(b'{"to":"a@big.example","name":"Ann"}\n'), "spring", settings, queue)
    (batch,) = (await queue.rows("spring", 10)).batches
    assert batch.rows == b'{"to":"a@big.example","name":"Ann"}'


async def test_a_deadline_that_has_passed_is_refused(tmp_path: Path, settings: Settings) -> None:
    queue, late = MemoryQueue(), campaign(tmp_path, CAMPAIGN + "deadline = 2026-01-01T00:00:00Z\n")
    with pytest.raises(ConfigErrors, match=r"spring.toml: deadline: 2026-01-01T00:00:00\+00:00 has passed"):
        await submit(late, io.BytesIO(LIST), "spring", settings, queue)
    assert await queue.announcements(10) == []
