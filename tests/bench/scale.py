"""How cost grows: lanes, connections, what is queued, size, processes, domains, one axis after the other.

A point costs what one message costs the whole fleet and its store, once connections stand; flat is within a fifth of the axis'
first point, and what is not is named below the table. `python -m tests.bench.scale lanes queued` measures some axes alone.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import trio

from tests.bench.figures import Columns, Figures, Row, in_rounds, show
from tests.bench.steady import Load, measure

BAND = 0.2

_MANY = 60_000  # messages where thousands of lanes or connections share them
_ONE = Load(name="", delivery=1, messages=_MANY)

AXES: Mapping[str, Sequence[Load]] = {
    "lanes": [
        Load(name=f"{lanes:,} lanes", lanes=lanes, connections=1, messages=_MANY) for lanes in (10, 100, 500, 1_000, 2_000)
    ],
    "connections": [
        replace(_ONE, name="1 connection", lanes=1, connections=1, messages=20_000),
        replace(_ONE, name="10 connections", lanes=1, connections=10, messages=20_000),
        replace(_ONE, name="100 connections", lanes=5, connections=20),
        replace(_ONE, name="1,000 connections", lanes=50, connections=20),
        replace(_ONE, name="1,000 connections, a third as busy", lanes=50, connections=20, pace=18.0, messages=20_000),
    ],
    "queued": [
        Load(name=f"{queued:,} queued", queued=queued, messages=min(queued, 20_000))
        for queued in (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    ],
    "size": [
        Load(name="1 kB", octets=1_000),
        Load(name="10 kB", octets=10_000),
        Load(name="100 kB", octets=100_000, messages=10_000),
        Load(name="1 MB", octets=1_000_000, messages=1_000),
    ],
    "processes": [
        Load(name=f"{delivery} delivery, {signers} signing", delivery=delivery, signers=signers)
        for delivery, signers in ((1, 1), (2, 1), (2, 2), (3, 2), (4, 4))
    ],
    "domains": [
        Load(name=f"{domains:,} domains", lanes=1, connections=20, domains=domains, messages=50_000, delivery=1)
        for domains in (1, 20, 1_000, 10_000, 50_000)
    ],
}

_COLUMNS: Columns = (
    ("delivery", "delivery_us", ".0f"),
    ("signer", "signer_us", ".0f"),
    ("store", "store_us", ".1f"),
    ("ours", "cpu_us", ".0f"),
    ("to the first", "ratio", ".2f"),
    ("msg/s", "settled_per_s", ",.0f"),
    ("MB a delivery", "delivery_peak_mb", ".0f"),
    ("lag p99, ms", "lag_p99_ms", ".1f"),
    ("lease to reply p50, ms", "reply_p50_ms", ",.0f"),
    ("p99, ms", "reply_p99_ms", ",.0f"),
)


def run(axes: Sequence[str] = tuple(AXES), rounds: int = 1) -> list[Row]:
    """Measure each axis and print its table."""
    rows: list[Row] = []
    for axis in axes:
        found = in_rounds(AXES[axis], lambda load, _: trio.run(measure, load), rounds)
        some = _rows(axis, found)
        show(f"{axis}: STARTTLS and RSA-2048, CPU in µs a message", some, _COLUMNS, heads=("", "case"))
        print(_verdict(axis, some), flush=True)
        rows += some
    return rows


def _rows(axis: str, found: Sequence[Sequence[Figures]]) -> list[Row]:
    """Each point against the first of the same round."""
    first = found[0]
    return [
        Row(
            who=axis,
            case=load.name,
            rounds=tuple(
                point | {"ratio": point["cpu_us"] / beginning["cpu_us"]} for point, beginning in zip(some, first, strict=True)
            ),
        )
        for load, some in zip(AXES[axis], found, strict=True)
    ]


def _verdict(axis: str, rows: Sequence[Row]) -> str:
    out = [row.case for row in rows if abs((row.median("ratio") or 0.0) - 1) > BAND]
    return f"{axis}: {'not within' if out else 'all within'} {BAND:.0%} of the first{': ' + ', '.join(out) if out else ''}\n"


def main(axes: Sequence[str]) -> None:
    """Measure these, or all of them."""
    for axis in axes:
        if axis not in AXES:
            sys.exit(f"{axis}: no such axis; there are {', '.join(AXES)}")
    run(axes or tuple(AXES))


if __name__ == "__main__":
    main(sys.argv[1:])
