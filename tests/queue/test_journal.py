"""The journal: what was written can be read, whatever is cut off; files go when nobody needs them; a full disk is survived."""

import errno
import os
import resource
import signal
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from sender.model import Envelope, State
from sender.queue import journal as module
from sender.queue.base import Again, Settlement
from sender.queue.journal import Fsync, Journal
from sender.queue.journal_left import JournalLeft, homes
from sender.queue.journal_record import (
    BACK,
    ENDED,
    FILLER,
    INTENT,
    UNTRIED,
    Back,
    Ended,
    JournalVersionError,
    Key,
    Story,
    encode,
    header,
    read,
)
from sender.queue.suppressions import Suppression
from tests.queue.feeding import ROUTE
from tests.redis.disks import small_disk

OWNER = "host/delivery-0-1"


def again(position: int) -> Again:
    envelope = Envelope(campaign="spring", ordinal=position, address="a@b.example", attempts=2, doubts=1, tried_at=5.0)
    return Again(position=position, envelope=envelope, due=9.0)


def settlement(lease: str, positions: Sequence[int]) -> Settlement:
    final = tuple((position, State.DELIVERED) for position in positions)
    return Settlement(lease=lease, route=ROUTE, campaign="spring", final=final)


def writable(journal: Journal) -> bool:
    """A property that changes by itself is asked for here: a type checker would take its first answer for the last."""
    return journal.healthy


def files(journal: Journal) -> list[str]:
    return sorted(path.name for path in journal.home.iterdir())


async def until(happened: Callable[[], bool]) -> None:
    """A thread at work is not waited for by the virtual clock."""
    while True:
        if happened():
            return
        await trio.sleep(0.1)


def story(directory: Path, owner: str = OWNER) -> dict[Key, Ended | Back | None]:
    """What somebody who comes after the only owner reads."""
    (home,) = homes(directory)
    with JournalLeft(home) as left:
        assert left.owner == owner
        return left.story().said


@contextmanager
def file_limit(octets: int) -> Iterator[None]:
    """No file of this process may grow beyond this: a disk that is full, for who has no other."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    refused = Suppression(digest=b"\x00\xff", reason="unknown_user", at=3.0)
    journal = Journal(tmp_path)
    assert not writable(journal)
    journal.begin(OWNER)
    assert writable(journal)
    assert journal.intent([("l1", 0), ("l2", 7)])
    journal.ended(("l1", 0), State.DELIVERED, b"event", at=1.0)
    journal.ended(("l1", 1), State.UNKNOWN, b"doubt", at=2.0, why="mx: lost")
    journal.ended(("l1", 2), State.REJECTED, b"gone", at=3.0, refused=refused)
    journal.back(("l1", 3), again(3), b"later")
    assert journal.intent([("l1", 4)])
    journal.untried(("l1", 4))
    journal.untried(("l1", 5))  # never intended: not worth a record
    assert story(tmp_path) == {
        ("l1", 0): Ended(key=("l1", 0), state=State.DELIVERED, event=b"event", at=1.0),
        ("l2", 7): None,
        ("l1", 1): Ended(key=("l1", 1), state=State.UNKNOWN, event=b"doubt", at=2.0, why="mx: lost"),
        ("l1", 2): Ended(key=("l1", 2), state=State.REJECTED, event=b"gone", at=3.0, refused=refused),
        ("l1", 3): Back(key=("l1", 3), due=9.0, attempts=2, doubts=1, tried_at=5.0, event=b"later"),
    }
    assert repr(journal) == f"<Journal of {OWNER}: 1 files, healthy>"


def test_while_its_owner_lives_it_is_locked_and_afterwards_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(OWNER)
    journal.intent([("l1", 0)])
    with JournalLeft(journal.home) as left:
        assert not left.abandoned
    second = Journal(tmp_path, on_trouble=(troubles := list[str]()).append)
    second.begin(OWNER)
    assert not second.healthy
    assert "Resource temporarily unavailable" in troubles[0]
    journal.close()
    with JournalLeft(journal.home) as left:
        assert left.abandoned
        assert left.story().said == {("l1", 0): None}
    assert (journal.home.stat().st_mode & 0o777, next(journal.home.iterdir()).stat().st_mode & 0o777) == (0o700, 0o600)


def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(OWNER)
    journal.intent([("l1", 0)])
    journal.ended(("l1", 0), State.DELIVERED, b"event", at=1.0)
    journal.settled([settlement("l1", [0])])
    journal.close()
    assert list(tmp_path.iterdir()) == []
    assert not journal.intent([("l1", 1)])


def test_a_new_owner_leaves_what_the_old_one_had_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin("host/a-1")
    journal.intent([("l1", 0)])
    journal.begin("host/a-2")
    journal.intent([("l2", 0)])
    first, second = homes(tmp_path)
    with JournalLeft(first) as left:
        assert (left.owner, left.abandoned, left.story().said) == ("host/a-1", True, {("l1", 0): None})
    with JournalLeft(second) as left:
        assert (left.owner, left.abandoned, left.story().said) == ("host/a-2", False, {("l2", 0): None})


@pytest.mark.parametrize("fsync", ["never", "second", "always"])
@pytest.mark.row("F3", "F4")
def test_what_was_written_outlives_the_process_that_is_killed(tmp_path: Path, fsync: Fsync) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from sender.model import State\nfrom sender.queue.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), sys.argv[2])\n"
        f"journal.begin({OWNER!r})\n"
        "journal.intent([('l1', 0)])\njournal.intent([('l1', 1)])\n"
        "journal.ended(('l1', 0), State.DELIVERED, b'event', at=1.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path), fsync], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert story(tmp_path) == {
        ("l1", 0): Ended(key=("l1", 0), state=State.DELIVERED, event=b"event", at=1.0),
        ("l1", 1): None,
    }


_key = st.tuples(st.sampled_from(["l1", "l2"]), st.integers(0, 3))
_record = st.one_of(
    st.tuples(st.just(INTENT), st.lists(_key, min_size=1, max_size=3).map(tuple)),
    st.tuples(st.just(ENDED), _key, st.sampled_from(list(State)), st.binary(max_size=9), st.floats(0, 9)),
    st.tuples(
        st.just(BACK), _key, st.floats(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 9), st.binary(max_size=9)
    ),
    st.tuples(st.just(UNTRIED), _key),
    st.tuples(st.just(FILLER), st.binary(max_size=9)),
)


def _after(records: Sequence[tuple[object, ...]]) -> dict[Key, Ended | Back | None]:
    """The story by the plainest of rules."""
    return Story.of(read(header(OWNER) + b"".join(map(encode, records)))[1]).said


@given(st.lists(_record, max_size=12), st.data())
def test_any_beginning_of_a_file_tells_what_had_been_written_by_then(
    records: list[tuple[object, ...]], data: st.DataObject
) -> None:
    pieces = [header(OWNER), *map(encode, records)]
    octets = b"".join(pieces)
    cut = data.draw(st.integers(0, len(octets)))
    whole = bisect_right(list(accumulate(map(len, pieces))), cut)
    owner, found = read(octets[:cut])
    assert owner == (OWNER if whole else "")
    assert Story.of(found).said == _after(records[: max(0, whole - 1)])


@given(st.lists(_record, min_size=1, max_size=8), st.data())
def test_octets_that_were_changed_end_the_file_there(records: list[tuple[object, ...]], data: st.DataObject) -> None:
    octets = bytearray(header(OWNER) + b"".join(map(encode, records)))
    place = data.draw(st.integers(len(header(OWNER)), len(octets) - 1))
    octets[place] ^= data.draw(st.integers(1, 255))
    _, found = read(bytes(octets))
    _, whole = read(header(OWNER) + b"".join(map(encode, records)))
    assert found == whole[: len(found)]
    assert len(found) < len(whole)


@given(st.lists(_record, max_size=12))
def test_the_last_word_on_an_envelope_counts(records: list[tuple[object, ...]]) -> None:
    said: dict[object, object] = {}
    for kind, key, *_ in records:
        if kind == INTENT:
            assert isinstance(key, tuple)
            said.update(dict.fromkeys(key, INTENT))
        elif kind in (ENDED, BACK):
            said[key] = kind
        elif kind == UNTRIED:
            said.pop(key, None)
    kinds = {Ended: ENDED, Back: BACK, type(None): INTENT}
    assert {key: kinds[type(outcome)] for key, outcome in _after(records).items()} == said


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"PENSTOCK\x00\x02" + header(OWNER)[10:], "version 2; this program reads version 1"),
        (b"SOMEBODY\x00\x01" + header(OWNER)[10:], "b'SOMEBODY' in place of b'PENSTOCK'"),
    ],
)
@pytest.mark.row("F48")
def test_a_file_of_another_version_is_not_taken_for_an_empty_one(octets: bytes, why: str) -> None:
    with pytest.raises(JournalVersionError, match=why):
        read(octets)


@pytest.mark.row("F48")
def test_what_a_program_of_before_wrote_of_a_return_is_read() -> None:
    octets = header(OWNER) + encode((BACK, ("l1", 0), 9.0, 2, 1, 5.0, b"later"))
    assert read(octets)[1] == [Back(key=("l1", 0), due=9.0, attempts=2, doubts=1, tried_at=5.0, event=b"later")]


def test_a_whole_record_of_no_known_kind_is_not_passed_over(tmp_path: Path) -> None:
    body = b"\x92\x63\x00"
    octets = header(OWNER) + len(body).to_bytes(4, "big") + crc32(body).to_bytes(4, "big") + body
    with pytest.raises(JournalVersionError, match="whole record"):
        read(octets)
    home = tmp_path / "host%2Fa-1"
    home.mkdir()
    (home / "00000001").write_bytes(octets)
    with JournalLeft(home) as left, pytest.raises(JournalVersionError, match="host%2Fa-1/00000001: "):
        left.story()


def test_a_journal_that_was_moved_is_not_taken_for_anothers(tmp_path: Path) -> None:
    home = tmp_path / "host%2Fb"
    home.mkdir()
    (home / "00000001").write_bytes(header("host/a") + encode((INTENT, (("l1", 0),))))
    with JournalLeft(home) as left, pytest.raises(JournalVersionError, match="journal of host/a, in the directory of host/b"):
        left.story()


def test_a_journal_that_goes_while_it_is_opened_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else has recovered it, and removed it, between our finding it and our locking it: no reason for an alarm."""
    home = tmp_path / "owner"
    home.mkdir()
    opened = os.open

    def open_and_lose(path: Path, flags: int) -> int:
        found = opened(path, flags)
        home.rmdir()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_and_lose)
        with pytest.raises(FileNotFoundError):
            JournalLeft(home)


def test_a_file_that_goes_while_its_journal_is_read_has_left_what_is_open_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner is fenced and awake: what is in doubt must not be overlooked because it has just been written anew."""
    journal = Journal(tmp_path, "never")
    journal.begin(OWNER)
    journal.intent([("l", 0)])
    listed = JournalLeft._files

    def list_and_lose(left: JournalLeft) -> Sequence[Path]:
        found = listed(left)
        if found[0].name == "00000001":
            journal._next_segment()
            journal._carry_over(journal._segments[0])
            journal._tidy()
        return found

    monkeypatch.setattr(JournalLeft, "_files", list_and_lose)
    with JournalLeft(journal.home) as left:
        assert left.story().said == {("l", 0): None}
    assert files(journal) == ["00000002"]


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_OCTETS", len(header(OWNER)) + 17_000)


async def test_files_in_which_nothing_is_open_go(tmp_path: Path, small_files: None, autojump_clock: MockClock) -> None:
    journal = Journal(tmp_path, "never")  # a thread that syncs knows nothing of virtual time
    journal.begin(OWNER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for number in range(300):
            lease = f"l{number}"
            journal.intent([(lease, 0)])
            journal.ended((lease, 0), State.DELIVERED, b"event" * 20, at=1.0)
            if number != 150:
                journal.settled([settlement(lease, [0])])
        assert len(files(journal)) > 10
        await trio.sleep(1.5)
        assert len(files(journal)) == 2
        assert isinstance(story(tmp_path)["l150", 0], Ended)
        journal.settled([settlement("l150", [0])])
        await trio.sleep(1)
        assert len(files(journal)) == 1
        nursery.cancel_scope.cancel()


async def test_a_reply_that_is_long_in_coming_keeps_no_file(
    tmp_path: Path, small_files: None, autojump_clock: MockClock
) -> None:
    """Ten minutes of other messages' records would pile up behind it: its intent is written anew."""
    journal = Journal(tmp_path, "never")  # a thread that syncs knows nothing of virtual time
    journal.begin(OWNER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for number in range(2000):
            lease = f"l{number}"
            journal.intent([(lease, 0)])
            if number % 50:
                journal.ended((lease, 0), State.DELIVERED, b"event" * 20, at=1.0)
                journal.settled([settlement(lease, [0])])
            if number % 20 == 0:
                await trio.sleep(1)
        await trio.sleep(5)
        assert len(files(journal)) <= module.SEGMENTS_KEPT + 1
        assert {key for key, outcome in story(tmp_path).items() if outcome is None} == {
            (f"l{n}", 0) for n in range(0, 2000, 50)
        }
        nursery.cancel_scope.cancel()


async def test_an_outcome_that_the_store_has_not_taken_is_kept(
    tmp_path: Path, small_files: None, autojump_clock: MockClock
) -> None:
    journal = Journal(tmp_path, "never")  # a thread that syncs knows nothing of virtual time
    journal.begin(OWNER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for number in range(500):
            journal.intent([("l", number)])
            journal.ended(("l", number), State.DELIVERED, b"event" * 20, at=1.0)
            if number % 20 == 0:
                await trio.sleep(1)
        await trio.sleep(5)
        assert len([outcome for outcome in story(tmp_path).values() if outcome is not None]) == 500
        nursery.cancel_scope.cancel()


async def test_an_intent_that_was_answered_is_not_written_anew(
    tmp_path: Path, small_files: None, autojump_clock: MockClock
) -> None:
    """It stands in an old file, its outcome in a later one: written once more it would hide the outcome."""
    journal = Journal(tmp_path, "never")
    journal.begin(OWNER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        journal.intent([("slow", 0), ("slower", 0)])
        for number in range(100):
            journal.intent([("l", number)])
            journal.ended(("l", number), State.DELIVERED, b"event" * 20, at=1.0)
            if number == 50:
                journal.ended(("slow", 0), State.DELIVERED, b"event", at=1.0)
        journal.settled([settlement("l", range(100))])
        await trio.sleep(10)
        said = story(tmp_path)
        assert (type(said["slow", 0]), said["slower", 0]) == (Ended, None)
        nursery.cancel_scope.cancel()


@pytest.mark.row("F47")
async def test_on_a_full_disk_nothing_is_intended_and_it_mends_by_itself(tmp_path: Path, autojump_clock: MockClock) -> None:
    troubles: list[str] = []
    journal = Journal(tmp_path, "never", on_trouble=troubles.append)
    journal.begin(OWNER)
    assert journal.intent([("l", 0)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        with file_limit(20_000):  # a part of the last record still fits
            written = 0
            while journal.intent([("l", written + 1)]):
                written += 1
            assert not writable(journal)
            assert not journal.intent([("l", 999_999)])
            journal.ended(("l", 0), State.DELIVERED, b"event", at=1.0)  # the store will hear of it
            assert len(troubles) == 1
            assert troubles[0].startswith(f"journal {journal.home}: ")
            assert troubles[0].endswith(": nothing is sent until it can be written again")
        with file_limit(10_000):
            await trio.sleep(5)
            assert not writable(journal)
        await trio.sleep(1.5)
        assert writable(journal)
        assert journal.intent([("l", 1_000_000)])
        nursery.cancel_scope.cancel()
    assert story(tmp_path) == dict.fromkeys([("l", number) for number in [*range(written + 1), 1_000_000]])


@pytest.mark.integration
@pytest.mark.row("F47")
async def test_a_disk_that_its_own_files_have_filled_is_freed_by_what_is_settled(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    troubles: list[str] = []
    with small_disk(tmp_path / "disk", 1) as disk:
        journal = Journal(disk / "journal", "never", on_trouble=troubles.append)
        journal.begin(OWNER)
        number = 0
        while journal.intent([("l", number)]):
            journal.ended(("l", number), State.DELIVERED, b"event" * 100, at=1.0)
            number += 1
        assert "No space left on device" in troubles[0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            await trio.sleep(5)
            assert not writable(journal)
            journal.settled([settlement("l", range(number + 1))])
            await trio.sleep(2)
            assert writable(journal)
            nursery.cancel_scope.cancel()
        journal.close()
        assert list((disk / "journal").iterdir()) == []


@pytest.mark.parametrize("begun", [False, True])
async def test_a_directory_that_is_taken_away_is_made_again(tmp_path: Path, begun: bool, autojump_clock: MockClock) -> None:
    """Records into files that nobody can find any more would protect nobody."""
    journal = Journal(tmp_path / "journal", "never")
    if not begun:
        (tmp_path / "journal").write_text("in the way")
    journal.begin(OWNER)
    assert writable(journal) == begun
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        if begun:
            (journal.home / "00000001").unlink()
            journal.home.rmdir()
        else:
            (tmp_path / "journal").unlink()
        await trio.sleep(1.5)
        assert writable(journal)
        assert journal.intent([("l", 0)])
        assert story(tmp_path / "journal") == {("l", 0): None}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("moment", ["made", "opened"])
def test_a_directory_that_is_taken_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It is empty, and nobody has it: to whoever recovers journals, one to be removed."""
    troubles: list[str] = []
    journal, opened, left = Journal(tmp_path, "never", on_trouble=troubles.append), os.open, 3

    def raced(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        nonlocal left
        if path != journal.home or not left:
            return opened(path, flags, *arguments, **options)
        left -= 1
        if moment == "made":
            journal.home.rmdir()
        fd = opened(path, flags, *arguments, **options)
        journal.home.rmdir()
        return fd

    monkeypatch.setattr(os, "open", raced)
    journal.begin(OWNER)
    assert (left, troubles) == (0, [])
    assert journal.intent([("l", 0)])
    assert story(tmp_path) == {("l", 0): None}


async def test_what_is_written_is_synced_once(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    journal = Journal(tmp_path, "second")
    journal.begin(OWNER)
    ours = {journal.home.stat().st_ino, (journal.home / "00000001").stat().st_ino}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for number in range(3):
            journal.intent([("l", number)])
            await until(lambda: len(synced) >= 2)
            assert set(synced) == ours
            synced.clear()
            await trio.sleep(60)
            assert synced == [], "nothing new, nothing to sync"
        nursery.cancel_scope.cancel()


async def test_without_syncing_nothing_waits_for_the_disk(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: pytest.fail("synced"))
    monkeypatch.setattr(os, "fdatasync", lambda fd: pytest.fail("synced"))
    journal = Journal(tmp_path, "never")
    journal.begin(OWNER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        assert journal.intent([("l", 0)])
        await trio.sleep(60)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("fsync", ["second", "always"])
async def test_a_disk_that_can_t_keep_what_was_written_stops_all(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, fsync: Fsync
) -> None:
    """After a failed sync nobody knows what is on the disk: only a new file can be trusted (fsync(2), EIO)."""
    troubles: list[str] = []
    journal = Journal(tmp_path, fsync, on_trouble=troubles.append)
    journal.begin(OWNER)
    assert journal.intent([("l", 0)])

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as breaking:
        breaking.setattr(os, "fsync", broken)
        breaking.setattr(os, "fdatasync", broken)
        if fsync == "always":
            assert not journal.intent([("l", 1)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            await until(lambda: bool(troubles))
            nursery.cancel_scope.cancel()
        assert not writable(journal)
    assert "Input/output error" in troubles[0]
