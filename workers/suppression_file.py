"""Suppressions as CSV: read from anybody's list of addresses or from an export of ours, written as digests alone.

A file may come from another system, so nothing in it is believed: each cell has a form of its own, and a row that does not
keep it is an error with its line. Memory stays constant whatever the size: `Checked` keeps what was read in a file without
a name, as digests, so that all of it is known to be good before the first entry is written.
"""

import csv
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from tempfile import TemporaryFile
from types import TracebackType
from typing import BinaryIO, Self, TextIO

import msgspec

from sender.content.address import parse_address
from sender.errors import ConfigError, ConfigErrors, ContentError
from sender.policy.suppression import DIGEST_OCTETS, Digests
from sender.queue.suppressions import GLOBAL, Suppression
from sender.schema import seconds

COLUMNS = ("digest", "list", "reason", "source", "expires", "at", "key")  # of an export
MANUAL = "manual"  # the reason where none is given
AT_ONCE = 1_000

_ADDRESS_COLUMNS = ("address", "to", "email", "e-mail")
_LINE_MAX = 100_000
_ERRORS_SHOWN = 20
_LIST_MAX, _SOURCE_MAX = 200, 200  # characters; a list's name as campaigns have it
_DIGEST = re.compile(rf"[0-9a-fA-F]{{{2 * DIGEST_OCTETS}}}")
_REASON = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_YEARS = range(1970, 2200)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[bytes, str, str, str, float, float]]).decode


def read_list_name(text: str) -> str:
    """The name of a list, "" for all lists; ValueError says what is allowed."""
    if len(text) > _LIST_MAX or not text.isprintable():
        raise ValueError(f"list: {text[:40]!a}: at most {_LIST_MAX} printable characters")
    return text


def read_reason(text: str) -> str:
    """A reason; ValueError says what is allowed."""
    if not _REASON.fullmatch(text):
        raise ValueError(f"reason: {text[:60]!a}: 1 to 40 lower-case letters, digits, '_' or '-'")
    return text


def read_source(text: str) -> str:
    """Where an entry comes from; ValueError says what is allowed."""
    if len(text) > _SOURCE_MAX or not text.isprintable():
        raise ValueError(f"source: {text[:40]!a}: at most {_SOURCE_MAX} printable characters")
    return text


def read_time(text: str, key: str) -> float:
    """A moment as Unix seconds, "" as 0; ValueError says what is allowed."""
    try:
        moment = datetime.fromisoformat(text) if text else None
        if moment is None:
            return 0.0
        if _DAY.fullmatch(text):
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is not None and moment.year in _YEARS:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        f"{key}: {text[:40]!a}: write a day like 2027-01-31 (UTC), or a time with its offset, 2027-01-31T09:00:00Z"
    )


def read_expiry(text: str, now: float) -> float:
    """When something expires: a moment, or a duration from now; ValueError says what is allowed."""
    try:
        return now + seconds(text) if text else 0.0
    except ValueError:
        pass
    try:
        return read_time(text, "expires")
    except ValueError as error:
        raise ValueError(f"{error}, or a duration like 90d") from error


def write_time(moment: float) -> str:
    """What `read_time` reads."""
    return datetime.fromtimestamp(moment, UTC).isoformat() if moment else ""


class Checked:
    """The entries of one CSV, read and found good. A context: what it keeps is gone at its end."""

    def __init__(self) -> None:
        self._kept = TemporaryFile()  # noqa: SIM115 - closed at the end of our own context
        self.entries = 0
        self.expired = 0  # rows left out, since they hold no more

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._kept.close()

    def read(self, stream: BinaryIO, name: str, digests: Digests, now: float) -> None:
        """Take in a whole CSV; ConfigErrors names the bad rows, the first ones by line and the rest by number."""
        errors, more = list[ConfigError](), 0
        some: list[Suppression] = []
        for row in _rows(stream, name, digests, now):
            if isinstance(row, Suppression):
                some.append(row)
                if len(some) == AT_ONCE:
                    self._keep(some, now)
                    some = []
            elif len(errors) < _ERRORS_SHOWN:
                errors.append(row)
            else:
                more += 1
        self._keep(some, now)
        if more:
            errors.append(ConfigError(name, "", f"and {more:,} more rows like these"))
        if errors:
            raise ConfigErrors(errors)

    def batches(self) -> Iterator[Sequence[Suppression]]:
        """What was read, in order."""
        self._kept.seek(0)
        while head := self._kept.read(4):
            for_all = _decode(self._kept.read(int.from_bytes(head, "big")))
            yield [
                Suppression(digest=digest, list=list_name, reason=reason, source=source, at=at, expires=expires)
                for digest, list_name, reason, source, at, expires in for_all
            ]

    def _keep(self, some: Sequence[Suppression], now: float) -> None:
        good = [entry for entry in some if entry.holds(now)]
        self.entries += len(good)
        self.expired += len(some) - len(good)
        if good:
            octets = _encode([(one.digest, one.list, one.reason, one.source, one.at, one.expires) for one in good])
            self._kept.write(len(octets).to_bytes(4, "big") + octets)


class Writer:
    """Writes an export."""

    def __init__(self, file: TextIO, digests: Digests) -> None:
        self._rows, self._mark = csv.writer(file, lineterminator="\n"), digests.mark
        self._rows.writerow(COLUMNS)

    def write(self, entries: Sequence[Suppression]) -> None:
        self._rows.writerows(
            (one.digest.hex(), one.list, one.reason, one.source, write_time(one.expires), write_time(one.at), self._mark)
            for one in entries
        )


def _rows(stream: BinaryIO, name: str, digests: Digests, now: float) -> Iterator[Suppression | ConfigError]:
    """Each row of a CSV as an entry, or as what is wrong with it; ConfigError is raised where the header does not fit."""
    lines = iter(lambda: stream.readline(_LINE_MAX), b"")
    reader = csv.reader(line.decode("utf-8", "surrogateescape") for line in lines)
    columns: Sequence[str] = ()
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield ConfigError(name, f"line {line}", str(error))
            continue
        if cells is None:
            break
        if cells and not columns:
            columns = _header(cells, name)
        elif cells:
            try:
                yield _entry(columns, cells, name, digests, now)
            except (ValueError, ContentError) as error:
                yield ConfigError(name, f"line {line}", error.why if isinstance(error, ContentError) else str(error))
    if not columns:
        raise ConfigError(name, "", "empty: expected a CSV header")


def _header(cells: Sequence[str], name: str) -> Sequence[str]:
    """The columns by our names; ConfigError where one is unknown, given twice, or says nothing of whom."""
    found = [cell.removeprefix(BOM_UTF8.decode()).strip().lower() for cell in cells]
    columns = ["address" if column in _ADDRESS_COLUMNS else column for column in found]
    allowed = ("address", *COLUMNS)
    if strange := [column for column in columns if column not in allowed]:
        raise ConfigError(name, "line 1", f"no column {strange[0][:60]!a}; allowed are {', '.join(allowed)}")
    if len(set(columns)) < len(columns):
        raise ConfigError(name, "line 1", "a column is there twice")
    if not {"address", "digest"} & set(columns):
        raise ConfigError(name, "line 1", "neither a column address nor a column digest")
    return columns


def _entry(columns: Sequence[str], cells: Sequence[str], name: str, digests: Digests, now: float) -> Suppression:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells under {len(columns)} columns")
    if strange := [cell for cell in cells if not _is_text(cell)]:
        raise ValueError(f"not UTF-8: {strange[0][:60]!a}")
    row = {column: cell.strip(" \t") for column, cell in zip(columns, cells, strict=True)}
    return Suppression(
        digest=_digest(row, digests),
        list=read_list_name(row.get("list", GLOBAL)),
        reason=read_reason(row.get("reason") or MANUAL),
        source=read_source(row.get("source") or name.rpartition("/")[2][:_SOURCE_MAX]),
        at=read_time(row.get("at", ""), "at") or now,
        expires=read_time(row.get("expires", ""), "expires"),
    )


def _is_text(cell: str) -> bool:
    """Whether it was UTF-8 before it was decoded."""
    return cell.isascii() or not any("\ud800" <= char <= "\udfff" for char in cell)


def _digest(row: dict[str, str], digests: Digests) -> bytes:
    address, digest, key = row.get("address", ""), row.get("digest", ""), row.get("key", "")
    if bool(address) == bool(digest):
        raise ValueError("an address and a digest: give one of them" if address else "neither an address nor a digest")
    if address:
        return digests.of(str(parse_address(address)))
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"digest: {digest[:60]!a}: {2 * DIGEST_OCTETS} hexadecimal digits, as an export has them")
    if key != digests.mark:
        raise ValueError(f"key: {key[:60]!a}: digests made under another key than ours, {digests.mark}, would never be found")
    return bytes.fromhex(digest)
