"""Recipients from a file or standard input, CSV or JSON lines, as numbered batches of the wire format; constant memory.

A row that can't be read stays a row: it becomes a text that says why, and is counted as an invalid recipient when the
campaign is expanded. So a dirty file loses nobody and doubles nobody, and its rows keep their numbers in every repeat.
"""

import csv
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import msgspec

from sender.errors import ConfigError
from sender.queue.base import RowBatch
from sender.queue.inbox import MAX_ROWS, cut

_ADDRESS_COLUMNS = ("to", "email", "e-mail", "address")  # the first of these in the header holds the address
_LINE_MAX = 1_000_000
_SHOWN = 200  # characters of what was found

_encode = msgspec.json.Encoder().encode


class Recipients:
    """The rows of one input."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Reads the first line: a `{` there means JSON lines, anything else a CSV header. ConfigError where neither fits."""
        self._stream, self.name = stream, name
        self.octets = 0  # read so far
        self._first = self._line().removeprefix(BOM_UTF8)
        text = self._first.decode("utf-8", "surrogateescape")
        self.columns: tuple[str, ...] | None = None  # of a CSV; JSON lines name theirs row by row
        if not text.strip():
            raise ConfigError(name, "", "empty: expected a CSV header or JSON lines")
        if not text.lstrip().startswith("{"):
            self.columns = self._header(text)

    def batches(self) -> Iterator[RowBatch]:
        """Batches as large as the inbox takes them, numbered from 0: up to 1,000 rows, fewer where rows are long."""
        return cut(self._json_rows() if self.columns is None else self._csv_rows(self.columns))

    def _line(self) -> bytes:
        line = self._stream.readline(_LINE_MAX)
        self.octets += len(line)
        return line

    def _lines(self) -> Iterator[bytes]:
        while line := self._line():
            yield line

    def _header(self, text: str) -> tuple[str, ...]:
        if not _is_text(text):
            raise ConfigError(self.name, "line 1", f"not text in UTF-8: {text[:60]!a}; expected a CSV header or JSON lines")
        names = [name.strip() for name in next(csv.reader([text]))]
        folded = [name.lower() for name in names]
        place = next((folded.index(name) for name in _ADDRESS_COLUMNS if name in folded), None)
        if place is None:
            found = ", ".join(names)[:_SHOWN]
            raise ConfigError(self.name, "line 1", f"no column is called {' or '.join(_ADDRESS_COLUMNS)}; found: {found}")
        names[place] = "to"
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or "" in names:
            raise ConfigError(self.name, "line 1", f"a column needs a name of its own; found twice or empty: {twice or ['']}")
        return tuple(names)

    def _csv_rows(self, columns: Sequence[str]) -> Iterator[bytes]:
        decoded = (line.decode("utf-8", "surrogateescape") for line in self._lines())
        reader = csv.reader(decoded)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield _encode(f"line {reader.line_num + 1}: {error}")
                continue
            if cells is None:
                return
            if cells:
                yield self._csv_row(columns, cells, reader.line_num + 1)

    def _csv_row(self, columns: Sequence[str], cells: list[str], line: int) -> bytes:
        if len(cells) != len(columns):
            return _encode(f"line {line}: {len(cells)} cells under {len(columns)} columns: {','.join(cells)[:200]!a}")
        fields = dict(zip(columns, cells, strict=True))
        fields["to"] = fields["to"].strip(" \t")  # spreadsheets leave blanks around addresses; nothing else is touched
        try:
            row = _encode(fields)
        except UnicodeEncodeError:
            return _encode(f"line {line}: not UTF-8: {','.join(cells)[:200]!a}")
        if len(row) >= MAX_ROWS:  # control characters grow sixfold in JSON: no batch could carry it
            return _encode(f"line {line}: too long: {','.join(cells)[:200]!a}")
        return row

    def _json_rows(self) -> Iterator[bytes]:
        """JSON lines pass as they are; what would break the batch they travel in becomes a text that says so."""
        decode: Callable[[bytes], object] = msgspec.json.Decoder().decode
        number, line = 1, self._first
        while line:
            bare = line.strip()
            if bare:
                try:
                    decode(bare)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    bare = _encode(f"line {number}: {error}: {bare[:200]!r}")
                yield bare
            number, line = number + 1, self._line()


def _is_text(line: str) -> bool:
    """Whether a first line is one that a person or a program wrote: UTF-8, with no control characters but those of CSV."""
    return not any("\ud800" <= char <= "\udfff" or (char < " " and char not in "\t\r\n") for char in line)
