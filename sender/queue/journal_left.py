"""Journals as whoever comes after their owners finds them: told from living ones by the lock, read, and removed."""

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

from sender.queue.journal_record import JournalVersionError, Record, Story, read

_READINGS = 5  # of one whose files go while they are read


class JournalLeft:
    """One owner's journal, open for reading. As a context, it lets go of the lock at the end, if it has it."""

    def __init__(self, home: Path) -> None:
        """Raises OSError where it is gone, or can't be opened."""
        self.home, self.owner = home, unquote(home.name)
        self._fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.abandoned = True
        except BlockingIOError:
            self.abandoned = False  # its owner's process is still there
        if not os.fstat(self._fd).st_nlink:  # somebody else has recovered it meanwhile
            os.close(self._fd)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(home))

    def __enter__(self) -> "JournalLeft":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._fd)

    def __repr__(self) -> str:
        return f"<JournalLeft of {self.owner}{', abandoned' if self.abandoned else ''}>"

    def story(self) -> Story:
        """What it says, as far as its files are whole.

        Raises JournalVersionError, which names the file, where one can't be understood, and OSError.
        """
        for _ in range(_READINGS - 1):
            with suppress(FileNotFoundError):  # its owner is awake: what was open in that file now stands in a later one
                return self._read()
        return self._read()

    def _read(self) -> Story:
        records: list[Record] = []
        for path in self._files():
            try:
                owner, more = read(path.read_bytes())
            except JournalVersionError as error:
                raise JournalVersionError(f"{path}: {error}") from error
            if more and owner != self.owner:
                raise JournalVersionError(f"{path}: the journal of {owner}, in the directory of {self.owner}")
            records += more
        return Story.of(records)

    @property
    def begun(self) -> bool:
        """Whether anything was ever written: without a file, its owner may be just about to begin."""
        return bool(self._files())

    def remove(self) -> None:
        """It is not needed any more; only who found it abandoned may say so."""
        for path in self._files():
            path.unlink()
        self.home.rmdir()

    def _files(self) -> Sequence[Path]:
        return sorted(path for path in self.home.iterdir() if path.name.isdecimal())


def homes(directory: Path) -> Sequence[Path]:
    """The journals of a host, in a stable order."""
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir())
    except FileNotFoundError:
        return ()
