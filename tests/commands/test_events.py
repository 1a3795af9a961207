"""`penstock events`: who follows the events and how far, what lies there, and the events themselves, harmless to a terminal."""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from sender.errors import BackendError
from sender.queue.groups import Failure, Reading, Start, Wish
from sender.queue.memory import MemoryQueue
from tests.commands.opening import let_commands_open
from tests.queue.feeding import told
from workers.cli import main
from workers.commands import events_standing, events_tail
from workers.commands.events_lines import as_json, in_words, read

CONFIG = """
[[consumer]]
name = "log"
kind = "file"
[[consumer]]
name = "hooks"
kind = "webhook"
url = "https://hooks.example/x"
secret_file = "secret"
"""
NOW = 2_000_000_000.0
READER = "mail1/consumer-0-17-abc"


class Shared(MemoryQueue):
    """A memory queue that several commands open one after the other; a reader that lives beats whenever somebody looks."""

    lives = True

    async def time(self) -> float:
        await trio.lowlevel.checkpoint()
        return NOW

    tells: Sequence[bytes] = ()  # one by one, while somebody peeks
    peeks = 20  # and then it is away: who waits for more than was told would wait for ever

    async def groups(self, now: float) -> Any:
        if self.lives and "hooks" in self._groups:
            await self.read_group("hooks", READER, [Wish(stream=0, entries=0)])
        return await super().groups(now)

    async def peek(self, after: Mapping[int, str], entries: int) -> Sequence[Reading]:
        self.peeks -= 1
        if not self.peeks:
            raise BackendError("the store is away")
        found = await super().peek(after, entries)
        await self.tell("s1/google", self.tells[:1])
        self.tells = self.tells[1:]
        return found


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Shared:
    shared = Shared()
    let_commands_open(shared, monkeypatch)
    monkeypatch.setattr(events_tail, "_POLL_S", 0.01)
    monkeypatch.setattr(events_standing, "_LOOKS_S", 0.01)
    monkeypatch.setattr(events_standing, "_LOOKED_FOR_S", 0.05)
    monkeypatch.setenv("TZ", "UTC")
    return shared


@pytest.fixture
def events(tmp_path: Path, queue: Shared) -> Callable[..., Result]:
    (tmp_path / "penstock.toml").write_text(f'[fleet]\nstate_dir = "{tmp_path}/state"\n{CONFIG}')
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    (tmp_path / "secret").write_text("whsec_" + "A" * 44 + "\n")
    (tmp_path / "secret").chmod(0o600)
    return lambda *arguments: CliRunner().invoke(main, ["events", *arguments, "--config", str(tmp_path)])


def done(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return trio.run(work)


def said(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def lay_by(tmp_path: Path, *lines: str) -> None:
    (tmp_path / "state/events").mkdir(parents=True)
    (tmp_path / "state/events/hooks-dead.jsonl").write_text("".join(f"{line}\n" for line in lines))


async def _behind(queue: Shared) -> None:
    """The webhook has three events and deals with one of them; somebody's group was taken out of the configuration."""
    for group in ("hooks", "old"):
        await queue.open_group(group, Start.BEGINNING)
    await told(queue, "a", "b", "c")
    await queue.read_group("hooks", READER, [Wish(stream=0, entries=1)])
    now = await queue.time()
    await queue.note_failure("hooks", Failure(at=now - 60.0, why="it answered 503"))


def test_each_consumer_has_a_line_and_below_it_what_keeps_it(
    events: Callable[..., Result], queue: Shared, tmp_path: Path
) -> None:
    done(lambda: _behind(queue))
    lay_by(tmp_path, '{"v":1,"type":"queued","at":1750000000.0,"campaign":"spring"}')
    lines = said(events())
    assert lines[0].split() == ["consumer", "kind", "events", "behind", "oldest"]
    assert lines[1].split() == ["log", "file", "-", "-"]
    assert lines[2].startswith("  has not begun")
    assert lines[3].split()[:3] == ["hooks", "webhook", "3"]
    assert lines[4] == f"  read by {READER}; 1 of 3 entries under way"
    assert lines[5].startswith("  last failed 1 min ago, ")
    assert lines[5].endswith(": it answered 503")
    assert lines[6] == (
        "  dead letters on this host: 1 event in 1 file, the first of 2025-06-15 15:06 +0000 [penstock events dead hooks]"
    )
    assert lines[7].split()[:3] == ["old", "removed", "3"]
    assert lines[8:] == ["  nobody reads it"]


def test_a_reader_that_beats_no_more_is_said_to_be_silent(events: Callable[..., Result], queue: Shared) -> None:
    done(lambda: _behind(queue))
    queue.lives = False
    assert f"  read by {READER}, silent; 1 of 3 entries under way" in said(events())
    (_, hooks, _) = json.loads(events("--json").output)
    assert hooks["readers"] == [{"name": READER, "streams": 1, "silent": True}]


def test_the_document_has_all_of_it(events: Callable[..., Result], queue: Shared, tmp_path: Path) -> None:
    done(lambda: _behind(queue))
    lay_by(tmp_path, '{"v":1,"type":"queued","at":1750000000.0,"campaign":"spring"}')
    log, hooks, old = json.loads(events("--json").output)
    assert (log["entries"], log["configured"], log["dead"]) == (None, True, None)
    assert (hooks["entries"], hooks["events"], hooks["events_exact"], hooks["entries_under_way"]) == (3, 3, True, 1)
    assert hooks["oldest_seconds"] > 0
    assert hooks["last_failure"]["why"] == "it answered 503"
    assert (hooks["dead"]["files"], hooks["dead"]["events"], hooks["dead"]["oldest"]) == (1, 1, 1750000000.0)
    assert (old["kind"], old["configured"], old["readers"]) == ("removed", False, [])


def test_where_nobody_follows_that_is_said(events: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("")
    assert said(events()) == [
        "no [[consumer]] in penstock.toml, and no group of readers in the store: nobody follows the events"
    ]
    assert json.loads(events("--json").output) == []


def test_the_tail_shows_what_comes_and_moves_no_group(events: Callable[..., Result], queue: Shared) -> None:
    done(lambda: _behind(queue))
    before = done(lambda: queue.lag(["hooks"], 0.0))
    queue.tells = [b'{"v":1,"type":"held","subject":"s1/google","why":"\xc2\x9b31m"}', b'{"v":1,"type":"queued"}', b"{}"]
    assert said(events("tail", "--count", "2")) == [
        r'{"v":1,"type":"held","subject":"s1/google","why":"\u009b31m"}',
        '{"v":1,"type":"queued"}',
    ]
    after = done(lambda: queue.lag(["hooks"], 0.0))["hooks"]
    assert after.entries == before["hooks"].entries + 3


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--campaign", "spring"], [1, 2, 3]),
        (["--campaign", "spring", "--type", "paused"], [3]),
        (["--type", "delivered", "--type", "held"], [0, 1, 4]),
        (["--campaign", "spring", "--campaign", "fall"], [0, 1, 2, 3]),
    ],
)
def test_the_tail_is_of_those_that_are_asked_for(
    events: Callable[..., Result], queue: Shared, options: list[str], shown: list[int]
) -> None:
    queue.tells = [
        b'{"type":"delivered","campaign":"fall","ordinal":1}',
        b'{"type":"delivered","campaign":"spring","ordinal":1}',
        b'{"type":"deferred","campaign":"spring","ordinal":2}',
        b'{"type":"paused","subject":"campaign spring"}',
        b'{"type":"held","subject":"s1/google"}',
        b"no event",
    ]
    expected = [queue.tells[place].decode() for place in shown]
    assert said(events("tail", "--count", str(len(shown)), *options)) == expected


def test_what_can_t_be_meant_is_refused(events: Callable[..., Result]) -> None:
    assert "is not one of 'delivered'" in events("tail", "--type", "deliverd").output
    assert "--campaign" in events("tail", "--campaign", "No Campaign").output
    assert "no webhook of the configuration is called so; there are: hooks" in events("dead", "log").output


def test_dead_letters_are_shown_in_words_and_as_they_are(events: Callable[..., Result], tmp_path: Path) -> None:
    assert said(events("dead", "hooks")) == ["hooks: no dead letters here"]
    refused = (
        '{"v":1,"type":"rejected","at":1750000000.0,"campaign":"spring","ordinal":17,"to":"ann@example.org","receiver":"google",'
        '"code":550,"enhanced":"5.1.1","reply":"no such \u202euser"}'
    )
    lay_by(tmp_path, refused, *['{"v":1,"type":"queued","at":1750000001.0,"campaign":"spring"}'] * 4, "\x1b]0;no event")
    shown = said(events("dead", "hooks", "--limit", "2"))
    assert shown[0].endswith("state/events/hooks-dead.jsonl: 0 KiB")
    assert shown[1:] == [
        "2025-06-15 15:06:40 +0000  rejected  spring:17 ann@example.org  google  550 5.1.1 no such ?user",
        "2025-06-15 15:06:41 +0000  queued  spring",
        "hooks: dead letters on this host: 6 events in 1 file, the first of 2025-06-15 15:06 +0000; "
        "4 more with --limit or --json",
    ]
    lines = said(events("dead", "hooks", "--json"))
    assert lines[0] == refused.replace("\u202e", r"\u202e")
    assert lines[-1] == r"\u001b]0;no event"
    assert [json.loads(line)["type"] for line in lines[:5]] == ["rejected", *["queued"] * 4]
    assert "no event of this version: ?]0;no event" in said(events("dead", "hooks"))[-2]


def test_files_that_are_another_user_s_are_no_end(
    events: Callable[..., Result], queue: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "/var/lib/penstock/events")

    monkeypatch.setattr("workers.consumers.file.FileSink.files", refuse)
    shown = said(events())
    assert "  its dead letters on this host can't be looked at: /var/lib/penstock/events: Permission denied" in shown
    result = events("dead", "hooks")
    assert result.exit_code == 1
    assert "/var/lib/penstock/events: can't be read: Permission denied" in result.output


@pytest.mark.parametrize("text", ["\x1b[31m", "\x7f", "\x9b", "\u202e", "\U000e0001", "é ü 中"])
def test_a_line_of_json_is_the_same_json_and_harmless(text: str) -> None:
    event = {"type": "rejected", "reply": text}
    line = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    assert json.loads(as_json(line)) == event
    assert as_json(line).isprintable()
    assert in_words(line).isprintable()


def test_octets_that_are_no_text_are_shown_all_the_same() -> None:
    assert as_json(b"\xff\xfe") == "��"
    assert read(b"\xff\xfe").type == ""
    assert in_words(b'{"type":7}').startswith("no event of this version: ")
