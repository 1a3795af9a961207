"""What may stand in the inbox: the checks that every backend makes before anyone uses an entry.

The inbox is open to every program that can reach the store, so nothing in it is trusted: sizes and numbers are bounded
here, contents by the expander. The format itself is documented in WIRE.md.
"""

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sender.queue.base import BATCH_ROWS, Announcement, Inflow, Refusal, RowBatch

VERSION = b"1"
MAX_BATCHES = 1_000_000  # bounds the bitmap that remembers them; 1,000 million recipients
MAX_ROWS = 4 * 1024 * 1024  # octets of one batch, inflated: 4 kB a recipient where it is full
MAX_SPEC = 64 * 1024 * 1024  # octets of a campaign: 30 MB of attachments in base64, and its texts
MAX_PAYLOAD = 16 * 1024  # octets of an unusable entry that are kept with its dead letter

_CAMPAIGN = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The entry that says how many batches a campaign has."""

    entry: str
    batches: int


def cut(rows: Iterable[bytes]) -> Iterator[RowBatch]:
    """Rows, a line of JSON each, as numbered batches as large as the inbox takes them; the same rows give the same batches."""
    number, some, octets = 0, list[bytes](), 0
    for row in rows:
        if some and (len(some) == BATCH_ROWS or octets + len(row) + 1 > MAX_ROWS):
            yield RowBatch(number=number, rows=b"\n".join(some))
            number, some, octets = number + 1, [], 0
        some.append(row)
        octets += len(row) + 1
    if some:
        yield RowBatch(number=number, rows=b"\n".join(some))


def campaign_id(text: str) -> str:
    """Return `text` if it can name a campaign, else raise ValueError; it becomes part of key names."""
    if not _CAMPAIGN.fullmatch(text):
        allowed = "up to 32 lower-case letters and digits, with single '.', '_' or '-' between"
        raise ValueError(f"{text[:80]!r} is no campaign id: {allowed}")
    return text


def flaw(batch: RowBatch) -> str:
    """Why a batch can't be used, or "" where its number and size are in bounds; its rows are not read."""
    if not 0 <= batch.number < MAX_BATCHES:
        return f"batch number {batch.number}: allowed are 0 to {MAX_BATCHES - 1}"
    if len(batch.rows) > MAX_ROWS:
        return f"batch {batch.number} has {len(batch.rows)} octets, allowed are {MAX_ROWS}"
    lines = batch.rows.count(b"\n") + (not batch.rows.endswith(b"\n"))
    if lines > BATCH_ROWS:
        return f"batch {batch.number} has {lines} lines, allowed are {BATCH_ROWS}"
    return ""


def check(batches: Iterable[RowBatch]) -> None:
    """Raise ValueError if one of our own batches is out of bounds: nothing of it has been written yet."""
    for batch in batches:
        if why := flaw(batch):
            raise ValueError(why)


def read_rows(entry: str, campaign: str, fields: Mapping[bytes, bytes]) -> RowBatch | End | Refusal:
    """One entry of a campaign's rows stream."""
    try:
        _check_version(fields)
        if b"end" in fields:
            return End(entry=entry, batches=_number(fields[b"end"], "end", MAX_BATCHES))
        number = _number(_field(fields, b"batch"), "batch", MAX_BATCHES - 1)
        rows = _inflate(fields[b"rows_z"]) if b"rows_z" in fields else _field(fields, b"rows")
        batch = RowBatch(number=number, rows=rows, entry=entry)
    except ValueError as error:
        return refusal(entry, campaign, str(error), fields)
    why = flaw(batch)
    return refusal(entry, campaign, why, fields) if why else batch


def read_announcement(entry: str, fields: Mapping[bytes, bytes]) -> Announcement | Refusal:
    """One entry of the campaigns stream: a campaign, or a ready-made message, which is a campaign of one."""
    campaign = ""
    try:
        campaign = campaign_id(_text(fields, b"id"))
        _check_version(fields)
        if b"raw" in fields:
            spec, row = _ready_made(fields)
            return Announcement(entry=entry, campaign=campaign, spec=spec, row=row)
        return Announcement(entry=entry, campaign=campaign, spec=_field(fields, b"spec"))
    except ValueError as error:
        return refusal(entry, campaign, str(error), fields)


def inflow(
    campaign: str, batches: Iterable[RowBatch | Refusal], done: Container[int], end: int | None, chunk: int, limit: int
) -> Inflow:
    """What entries, in the order they came, come to: at most `limit` batches to expand, each number once."""
    new: dict[int, RowBatch] = {}
    repeats: list[str] = []
    malformed: list[Refusal] = []
    for batch in batches:
        if isinstance(batch, Refusal):
            malformed.append(batch)
        elif why := flaw(batch) or _beyond(batch, end):
            malformed.append(Refusal(entry=batch.entry, campaign=campaign, why=why, payload=batch.rows[:MAX_PAYLOAD]))
        elif batch.number in done:
            repeats.append(batch.entry)
        elif batch.number in new:
            continue  # a repeat only if the first one proves usable
        elif len(new) < limit:
            new[batch.number] = batch
        else:
            break
    exhausted = end is not None and all(number in done for number in range(end))
    return Inflow(
        batches=tuple(new.values()), repeats=tuple(repeats), malformed=tuple(malformed), chunk=chunk, exhausted=exhausted
    )


def _beyond(batch: RowBatch, end: int | None) -> str:
    return f"batch {batch.number} of a campaign that ends after {end}" if end is not None and batch.number >= end else ""


def refusal(entry: str, campaign: str, why: str, fields: Mapping[bytes, bytes]) -> Refusal:
    """A dead letter with as much of the entry as is kept."""
    payload = b" ".join(name + b"=" + value[:MAX_PAYLOAD] for name, value in fields.items())
    return Refusal(entry=entry, campaign=campaign, why=why, payload=payload[:MAX_PAYLOAD])


def _ready_made(fields: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    """A ready-made message's campaign and its one row; the message itself is passed on untouched."""
    spec: dict[str, object] = {"v": 1, "from": _text(fields, b"from"), "return_path": _text(fields, b"from")}
    for name in ("pool", "identity", "give_up", "start", "deadline"):
        if name.encode() in fields:
            spec[name] = _text(fields, name.encode())
    if b"priority" in fields:
        spec["priority"] = _number(fields[b"priority"], "priority", 9)
    spec["raw_b64"] = b64encode(fields[b"raw"]).decode()
    return json.dumps(spec).encode(), json.dumps({"to": _text(fields, b"to")}).encode()


def _check_version(fields: Mapping[bytes, bytes]) -> None:
    if (found := _field(fields, b"v")) != VERSION:
        raise ValueError(f"v: format version {found[:20]!r}; this program reads {VERSION.decode()}")


def _field(fields: Mapping[bytes, bytes], name: bytes) -> bytes:
    if name not in fields:
        raise ValueError(
            f"{name.decode()}: missing; found {', '.join(repr(key[:40]) for key in list(fields)[:10]) or 'nothing'}"
        )
    return fields[name]


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    try:
        return _field(fields, name).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name.decode()}: not UTF-8") from error


def _number(value: bytes, name: str, largest: int) -> int:
    if not value.isdigit() or len(value) > 10 or int(value) > largest:
        raise ValueError(f"{name}: {value[:40]!r} is no number from 0 to {largest}")
    return int(value)


def _inflate(octets: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        rows = inflater.decompress(octets, MAX_ROWS)
    except zlib.error as error:
        raise ValueError(f"rows_z: {error}") from error
    if not inflater.eof:
        raise ValueError(f"rows_z: cut short, or more than {MAX_ROWS} octets inflated")
    return rows
