"""The file sink: on the disk before it is acknowledged, rotated, kept within bounds, whole after a crash."""

import errno
import fcntl
import json
import os
import stat
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from sender.queue.memory import MemoryQueue
from tests.consumers.world import following, ids
from tests.queue.feeding import told
from workers.consumers.file import FileSink
from workers.consumers.sink import Portion, SinkError

DAY = 86_400.0

pytestmark = pytest.mark.usefixtures("no_threads")


class Log(FileSink):
    """A sink whose time is the test's."""

    now = 10.0 * DAY


def sink(directory: Path, *, rotate: int = 10_000, every: float = 0.0, keep: int = 3) -> Log:
    made = Log(
        directory=directory, name="log", rotate_octets=rotate, rotate_every_s=every, keep_files=keep, clock=lambda: made.now
    )
    return made


async def give(log: FileSink, *names: str) -> None:
    await log.take(Portion(streams=(), entries={}, lines=[json.dumps({"id": name}).encode() for name in names]))


def held(path: Path) -> list[str]:
    text = path.read_bytes()
    assert text.endswith(b"\n") or not text
    return ids(text.splitlines())


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_each_event_is_a_line(tmp_path: Path) -> None:
    log = sink(tmp_path / "deep" / "events")
    await give(log, "a", "b")
    await give(log, "c")
    await log.aclose()
    assert held(tmp_path / "deep/events/log.jsonl") == ["a", "b", "c"]
    assert (tmp_path / "deep/events").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "deep/events/log.jsonl").stat().st_mode & 0o137 == 0


async def test_events_are_synced_before_they_count_as_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, synced = sink(tmp_path), list[int]()
    await give(log, "a")
    monkeypatch.setattr("os.fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    await give(log, "b")
    assert synced == [(tmp_path / "log.jsonl").stat().st_size]


async def test_a_new_file_has_its_name_before_its_events_count_as_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = list[bool]()
    monkeypatch.setattr("os.fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    await give(sink(tmp_path), "a")
    assert synced == [True, False], "the directory, then the file"


@pytest.mark.parametrize("torn", [b"", b"{", b'{"id":"lost"}', b"x" * 200_000])
async def test_a_last_line_that_was_cut_short_is_removed_at_the_start(tmp_path: Path, torn: bytes) -> None:
    before = b"".join(b'{"id":"%d"}\n' % number for number in range(3))
    (tmp_path / "log.jsonl").write_bytes(before + torn)
    await give(sink(tmp_path), "new")
    assert held(tmp_path / "log.jsonl") == ["0", "1", "2", "new"]


async def test_a_file_of_nothing_but_a_torn_line_becomes_empty(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"y" * 150_000)
    await give(sink(tmp_path), "new")
    assert held(tmp_path / "log.jsonl") == ["new"]


async def test_files_are_rotated_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    log = sink(tmp_path, rotate=30, keep=5)
    for number in range(12):
        await give(log, str(number))
    assert names(tmp_path) == ["log-000001.jsonl", *(f"log-00000{number}.jsonl" for number in range(2, 6)), "log.jsonl"]
    assert [held(tmp_path / name) for name in names(tmp_path)][-2:] == [["8", "9"], ["10", "11"]]
    for number in range(12, 16):
        await give(log, str(number))
    assert names(tmp_path) == [*(f"log-00000{number}.jsonl" for number in range(3, 8)), "log.jsonl"]
    await log.aclose()
    await give(sink(tmp_path, rotate=30, keep=2), "16")
    assert names(tmp_path) == ["log-000007.jsonl", "log-000008.jsonl", "log.jsonl"], "numbers go on after a restart"


async def test_more_at_once_than_a_file_may_hold_is_still_one_file(tmp_path: Path) -> None:
    log = sink(tmp_path, rotate=5)
    await give(log, "a")
    await give(log, "b")
    assert names(tmp_path) == ["log-000001.jsonl", "log.jsonl"]


async def test_files_are_rotated_by_spans_of_utc_also_over_a_restart(tmp_path: Path) -> None:
    log = sink(tmp_path, every=DAY)
    await give(log, "a")
    log.now += DAY - 1
    await give(log, "b")
    log.now += 1
    await give(log, "c")
    assert (held(tmp_path / "log-000001.jsonl"), held(tmp_path / "log.jsonl")) == (["a", "b"], ["c"])
    await log.aclose()
    os.utime(tmp_path / "log.jsonl", (log.now, log.now))
    again = sink(tmp_path, every=DAY)
    again.now = log.now + 5
    await give(again, "d")
    assert held(tmp_path / "log.jsonl") == ["c", "d"]
    again.now += DAY
    await give(again, "e")
    assert held(tmp_path / "log.jsonl") == ["e"]


async def test_a_full_disk_leaves_whole_lines_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = sink(tmp_path)
    await give(log, "a")
    write = os.write

    def full(fd: int, octets: bytes) -> int:
        if len(octets) > 5:
            return write(fd, bytes(octets)[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.write", full)
    with pytest.raises(SinkError, match=r"log\.jsonl: No space left on device"):
        await give(log, "b" * 7)
    monkeypatch.setattr("os.write", write)
    await give(log, "b" * 7)
    assert held(tmp_path / "log.jsonl") == ["a", "b" * 7]


async def test_a_file_that_somebody_moved_or_removed_is_begun_anew(tmp_path: Path) -> None:
    log = sink(tmp_path)
    await give(log, "a")
    (tmp_path / "log.jsonl").rename(tmp_path / "elsewhere")
    await give(log, "b")
    (tmp_path / "log.jsonl").unlink()
    await give(log, "c")
    assert (held(tmp_path / "elsewhere"), held(tmp_path / "log.jsonl")) == (["a"], ["c"])


async def test_two_processes_never_write_one_file(tmp_path: Path) -> None:
    first, second = sink(tmp_path), sink(tmp_path)
    await give(first, "a")
    with pytest.raises(SinkError, match=r"log\.jsonl: another process writes it"):
        await give(second, "b")
    await first.aclose()
    await give(second, "b")
    assert held(tmp_path / "log.jsonl") == ["a", "b"]


async def test_a_file_that_was_moved_before_it_was_locked_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, lock = sink(tmp_path), fcntl.flock

    def late(fd: int, how: int) -> None:
        """Somebody who has the lock moves the file, lets go of it, and removes what he moved."""
        monkeypatch.setattr("fcntl.flock", lock)
        (tmp_path / "log.jsonl").rename(tmp_path / "log-000001.jsonl")
        lock(fd, how)

    monkeypatch.setattr("fcntl.flock", late)
    with pytest.raises(SinkError, match="another process has just moved it"):
        await give(log, "a")
    await give(log, "a")
    assert (held(tmp_path / "log-000001.jsonl"), held(tmp_path / "log.jsonl")) == ([], ["a"])


async def test_who_is_cancelled_while_it_ends_lets_go_all_the_same(tmp_path: Path) -> None:
    first = sink(tmp_path)
    await give(first, "a")
    with trio.CancelScope() as scope:
        scope.cancel()
        await first.aclose()
    await give(sink(tmp_path), "b")
    assert held(tmp_path / "log.jsonl") == ["a", "b"]


async def test_a_crash_between_writing_and_acknowledging_repeats_ids_and_loses_none(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = MemoryQueue()
    await told(queue, "a", "b")
    append = FileSink._append

    def dies(self: FileSink, octets: bytes, now: float) -> None:
        append(self, octets, now)
        os.write(self._fd, b'{"id":"to')  # and of the next portion a part
        raise KeyboardInterrupt

    monkeypatch.setattr(FileSink, "_append", dies)
    with pytest.raises(BaseExceptionGroup):
        async with following(queue, first := sink(tmp_path), reader="host/dead"):
            await trio.sleep(10)
    monkeypatch.setattr(FileSink, "_append", append)
    os.close(first._fd)
    queue._groups["log"].reader = ""
    await told(queue, "c")
    async with following(queue, sink(tmp_path)):
        await trio.sleep(10)
    assert held(tmp_path / "log.jsonl") == ["a", "b", "a", "b", "c"]
