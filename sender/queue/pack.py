"""Packs: a run of envelopes of one campaign as one compressed, self-contained value.

A pack is a header and a zlib stream. The header is all that the store's scripts read: version, when the oldest envelope was
queued, the first ordinal, how many envelopes; and in version 2, for recipients with a score, the band of all of them (see
`sender.policy.engagement`). Without scores it is version 1, as ever. Behind it the envelopes stand column by column
(addresses together, then each merge field together), because like beside like compresses best; a column whose values are
all the same is stored once. The body is MessagePack of one fixed shape, checked on decoding: nothing in it is executed, and
it is never inflated beyond `MAX_BODY`.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise, repeat
from typing import TypeVar

import msgspec

from sender.model import Envelope
from sender.policy.engagement import FLOORS, PLAIN, band_of

T = TypeVar("T")
B = TypeVar("B")

VERSION = 1
HEADER = struct.Struct(">BdQI")  # Lua: struct.unpack('>d', pack, 2) and struct.unpack('>I4', pack, 18)
BANDED = 2  # the version whose header is one octet longer: the band
MAX_ENVELOPES = 1000
_FAR = 10**12
_FIXED = 128  # octets of a body beside its envelopes
MAX_BODY = 64 * 1024 * 1024  # octets inflated: 200 envelopes of the largest merge fields that content allows


class PackError(ValueError):
    """Octets that are no pack of ours: damaged, hostile or of a later version."""


class _Body(msgspec.Struct, array_like=True, frozen=True):
    campaign: str
    steps: list[int]  # from one ordinal to the next, starting at the header's: small numbers
    locals: list[str]
    domains: list[str]
    attempts: list[int]
    doubts: list[int]
    queued_at: list[float]
    names: list[str]  # of the merge fields, where all rows have the same ones in the same order
    columns: list[list[str]]  # one for each name
    rows: list[dict[str, str]]  # the merge fields, where they differ
    # Columns that came later stand behind and have a default: older packs lack them, and older programs pass over them.
    tried_at: list[float] = []  # empty: none was tried yet


class _Ordinals(msgspec.Struct, array_like=True, frozen=True):
    """The columns that say which envelopes a pack holds; those behind them are passed over."""

    campaign: str
    steps: list[int]


_encoder = msgspec.msgpack.Encoder()
_ordinals = msgspec.msgpack.Decoder(_Ordinals)
_decoder = msgspec.msgpack.Decoder(_Body)


def encode(envelopes: Sequence[Envelope]) -> bytes:
    """Pack 1 to `MAX_ENVELOPES` envelopes of one campaign; the same envelopes always give the same octets.

    Raises ValueError for none, too many or too large ones, several campaigns, or an address without "@".
    """
    if not 1 <= len(envelopes) <= MAX_ENVELOPES:
        raise ValueError(f"a pack holds 1 to {MAX_ENVELOPES} envelopes, not {len(envelopes)}")
    first = envelopes[0]
    if any(envelope.campaign != first.campaign for envelope in envelopes):
        raise ValueError("a pack holds envelopes of one campaign")
    ordinals = [envelope.ordinal for envelope in envelopes]
    halves = [envelope.address.rpartition("@") for envelope in envelopes]
    if not all(at for _, at, _ in halves):
        raise ValueError("an envelope's address needs an @")
    names = list(first.fields)
    same = all(list(envelope.fields) == names for envelope in envelopes)
    body = _Body(
        campaign=first.campaign,
        steps=[after - before for before, after in pairwise(ordinals)],
        locals=[local for local, _, _ in halves],
        domains=_fold([domain for _, _, domain in halves]),
        attempts=_fold([envelope.attempts for envelope in envelopes]),
        doubts=_fold([envelope.doubts for envelope in envelopes]),
        queued_at=_fold([envelope.queued_at for envelope in envelopes]),
        names=names if same else [],
        columns=[_fold([envelope.fields[name] for envelope in envelopes]) for name in names] if same else [],
        rows=[] if same else [dict(envelope.fields) for envelope in envelopes],
        tried_at=_tried_at(envelopes),
    )
    oldest = min(envelope.queued_at for envelope in envelopes)
    band = min(band_of(envelope.fields) for envelope in envelopes)  # whoever mixes them keeps the least engaged safe
    octets = _encoder.encode(body)
    if len(octets) > MAX_BODY:
        raise ValueError(f"{len(envelopes)} envelopes come to {len(octets)} octets; a pack holds {MAX_BODY}")
    rest = oldest, first.ordinal, len(envelopes)
    head = HEADER.pack(VERSION, *rest) if band == PLAIN else HEADER.pack(BANDED, *rest) + bytes([band])
    return head + zlib.compress(octets)


def decode(pack: bytes) -> list[Envelope]:
    """The envelopes of a pack, as they were encoded; raises PackError for anything else."""
    count, first = _header(pack)
    body = _inflate(pack, _decoder)
    if len(body.steps) + 1 != count or len(body.locals) != count:
        raise PackError(f"the header says {count} envelopes, the body holds {len(body.locals)}")
    try:
        return _envelopes(body, first, count)
    except ValueError as error:  # zip's: columns of different lengths
        raise PackError(f"columns do not match: {error}") from error


def _envelopes(body: _Body, first: int, count: int) -> list[Envelope]:
    columns = zip(
        accumulate(body.steps, initial=first),
        body.locals,
        _unfold(body.domains, count),
        _unfold(body.attempts, count),
        _unfold(body.doubts, count),
        _unfold(body.queued_at, count),
        _unfold(body.tried_at or [0.0], count),
        _fields(body, count),
        strict=True,
    )
    return [
        Envelope(
            campaign=body.campaign,
            ordinal=ordinal,
            address=f"{local}@{domain}",
            fields=fields,
            attempts=attempts,
            doubts=doubts,
            queued_at=queued_at,
            tried_at=tried_at,
        )
        for ordinal, local, domain, attempts, doubts, queued_at, tried_at, fields in columns
    ]


def size(pack: bytes) -> int:
    """How many envelopes a pack holds, from its header alone; raises PackError."""
    return _header(pack)[0]


def counted(pack: bytes) -> int:
    """How many envelopes the scripts count these octets for: a pack's header is believed within bounds, the rest is one."""
    found = int(HEADER.unpack_from(pack)[3]) if len(pack) >= HEADER.size else 0
    return found if 1 <= found <= MAX_ENVELOPES else 1


def band(pack: bytes) -> int:
    """The band of a pack's recipients, from its header alone: what can't be read is like a pack without."""
    if len(pack) <= HEADER.size or pack[0] != BANDED or pack[HEADER.size] >= len(FLOORS):
        return PLAIN
    return pack[HEADER.size]


def oldest(pack: bytes) -> float:
    """When the oldest envelope of a pack was queued, in Unix seconds, from its header alone; raises PackError."""
    _header(pack)
    queued_at: float = HEADER.unpack_from(pack)[1]
    return queued_at


def distance(pack: bytes, ordinal: int) -> int:
    """How far an ordinal lies behind the first one of a pack: the nearer, the likelier is it in there; before it is far."""
    first = int(HEADER.unpack_from(pack)[2]) if len(pack) >= HEADER.size else 0
    return ordinal - first if first <= ordinal else _FAR + first


def place_of(pack: bytes, ordinal: int) -> int | None:
    """Where in a pack the envelope of this ordinal stands; None where it holds none, or can't be read. A fifth of `decode`."""
    try:
        _, first = _header(pack)
        steps = _inflate(pack, _ordinals).steps
    except PackError:
        return None
    return next((place for place, found in enumerate(accumulate(steps, initial=first)) if found == ordinal), None)


def encode_all(envelopes: Sequence[Envelope], at_most: int = MAX_ENVELOPES) -> list[bytes]:
    """Pack any number of envelopes of one campaign, in order, `at_most` in a pack."""
    return [encode(run) for run in runs(envelopes, at_most)]


def runs(envelopes: Sequence[Envelope], at_most: int = MAX_ENVELOPES) -> Iterator[Sequence[Envelope]]:
    """Cut any number of envelopes into runs that fit into a pack each: of one band, `at_most`, fewer where fields are long."""
    start, room, before = 0, MAX_BODY - _FIXED, PLAIN
    for place, envelope in enumerate(envelopes):
        room -= (needed := _octets_at_most(envelope))
        its = band_of(envelope.fields)
        if place > start and (place - start == at_most or room < 0 or its != before):
            yield envelopes[start:place]
            start, room = place, MAX_BODY - _FIXED - needed
        before = its
    if envelopes:
        yield envelopes[start:]


def _octets_at_most(envelope: Envelope) -> int:
    """What an envelope takes in a body: four octets a character, three characters' worth before each text, its numbers."""
    texts = sum(len(name) + len(value) + 3 for name, value in envelope.fields.items())
    return 4 * (len(envelope.address) + texts) + 64


def _header(pack: bytes) -> tuple[int, int]:
    if len(pack) < HEADER.size:
        raise PackError(f"{len(pack)} octets are too few for a pack")
    version, _, first, count = HEADER.unpack_from(pack)
    if version not in (VERSION, BANDED):
        raise PackError(f"pack version {version}; this program reads {VERSION} and {BANDED}")
    if not 1 <= count <= MAX_ENVELOPES:
        raise PackError(f"a pack holds 1 to {MAX_ENVELOPES} envelopes, not {count}")
    return count, first


def _inflate(pack: bytes, decoder: msgspec.msgpack.Decoder[B]) -> B:
    inflater = zlib.decompressobj()
    try:
        octets = inflater.decompress(memoryview(pack)[HEADER.size + (pack[0] == BANDED) :], MAX_BODY)
        if not inflater.eof:
            raise PackError(f"the body is cut short, or larger than {MAX_BODY} octets")
        return decoder.decode(octets)
    except (zlib.error, msgspec.DecodeError) as error:
        raise PackError(str(error)) from error


def _fields(body: _Body, count: int) -> Sequence[dict[str, str]]:
    if body.rows:
        return body.rows
    if not body.names:
        return [{} for _ in range(count)]
    if len(body.names) != len(body.columns):
        raise PackError(f"{len(body.names)} names, {len(body.columns)} columns")
    columns = [_unfold(column, count) for column in body.columns]
    return [dict(zip(body.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _tried_at(envelopes: Sequence[Envelope]) -> list[float]:
    column = _fold([envelope.tried_at for envelope in envelopes])
    return [] if column == [0.0] else column


def _fold(column: list[T]) -> list[T]:
    return column[:1] if column.count(column[0]) == len(column) else column


def _unfold(column: list[T], count: int) -> Iterable[T]:
    return repeat(column[0], count) if len(column) == 1 else column
