"""Figures: what each round of a measurement came to, and the median of its rounds.

Each round measures everything once and in turn, and S beside it: whoever is compared has had the same minutes, good or bad.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from tests.bench.account import signature_us

Figures = dict[str, float]
"""One round: figures by name, which ends in the unit."""

Columns = Sequence[tuple[str, str, str]]
"""Of a table: title, name of the figure, how it is written."""

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Who was measured, at what, and what came of it; `missing` says why nothing did."""

    who: str
    case: str = ""
    rounds: tuple[Figures, ...] = ()
    missing: str = ""

    def median(self, name: str) -> float | None:
        """Of its rounds; None where it has no such figure."""
        found = [figures[name] for figures in self.rounds if name in figures]
        return median(found) if found else None

    def cell(self, name: str, form: str) -> str:
        """The median as text."""
        value = self.median(name)
        return "-" if value is None else format(value, form)


def in_rounds(keys: Sequence[_Key], measure: Callable[[_Key, float], Figures], rounds: int) -> list[tuple[Figures, ...]]:
    """What `measure` finds for each key in each round, given S in µs; says on standard error how far it is."""
    found: list[list[Figures]] = [[] for _ in keys]
    for number in range(1, rounds + 1):
        s = signature_us()
        for place, key in enumerate(keys):
            print(f"round {number} of {rounds}: {key}", file=sys.stderr)
            found[place].append(measure(key, s))
    return [tuple(some) for some in found]


def show(title: str, rows: Sequence[Row], columns: Columns, *, heads: tuple[str, str] = ("who", "case")) -> None:
    """Print a table of medians, and below it why some are missing; a head of "" is left out."""
    table = Table(title=title)
    for head in filter(None, heads):
        table.add_column(head, no_wrap=True)
    for name, _, _ in columns:
        table.add_column(name, justify="right")
    for row in rows:
        names = [text for head, text in zip(heads, (row.who, row.case), strict=True) if head]
        table.add_row(*names, *(row.cell(name, form) for _, name, form in columns))
    console = Console(width=160)
    console.print(table)
    for who, why in {row.who: row.missing for row in rows if row.missing}.items():
        console.print(f"{who} was not measured: {why}")
