"""The engine and its peers side by side in the same run: plain, signed, and signed over TLS.

Each round sends through the engine and then through every peer: the same messages into the same receiving side, timed from
injection to the last 250. How many messages is what takes each some seconds: a rate does not depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.bench.figures import Columns, Figures, Row, in_rounds, show
from tests.bench.peers.lineup import Entrant, lineup
from tests.bench.rig import DOMAINS, Case, Spent

CASES = (
    Case(name="plain", messages=60_000),
    Case(name="RSA-2048", sign="rsa-sha256"),
    Case(name="RSA-2048 + STARTTLS", sign="rsa-sha256", tls=True),
)

_COLUMNS: Columns = (
    ("msg/s", "messages_per_s", ",.0f"),
    ("CPU", "cpu_us", ",.0f"),
    ("/ S", "cpu_in_s", ".2f"),
    ("injector", "injector_us", ",.0f"),
    ("sink", "sink_us", ",.0f"),
    ("trips", "round_trips", ".2f"),
    ("ours is faster", "times_slower", ".1f"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heat:
    """One contender at one case."""

    entrant: Entrant
    case: Case

    def __str__(self) -> str:
        return f"{self.case}, {self.entrant.contender.name}"

    def figures(self, signature: float) -> Figures:
        """Measure; `signature` is S, in µs."""
        return figures(self.entrant.measure(self.case), self.entrant.contender.own, signature)


def figures(spent: Spent, own: Sequence[str], signature: float) -> Figures:
    """A run in figures: `own` are the roles that make up the contender's CPU."""
    cpu = sum(spent.cpu_us[role] for role in own)
    return {
        "messages": spent.messages,
        "messages_per_s": spent.messages / spent.last_s,
        "cpu_us": cpu,
        "cpu_in_s": cpu / signature,
        "signature_us": signature,
        "round_trips": spent.sink["turns"] / spent.messages,
        **{f"{role}_us": us for role, us in spent.cpu_us.items()},
    }


def run(rounds: int, cases: Sequence[Case] = CASES) -> list[Row]:
    """Measure and print the table."""
    with lineup() as entrants:
        heats = [
            _Heat(entrant=one, case=case) for case in cases for one in entrants if case.sign or not one.contender.only_signed
        ]
        there = [heat for heat in heats if not heat.entrant.missing]
        found = dict(zip(there, in_rounds(there, _Heat.figures, rounds), strict=True))
    rows = [
        Row(who=heat.entrant.contender.name, case=heat.case.name, rounds=found.get(heat, ()), missing=heat.entrant.missing)
        for heat in heats
    ]
    rows = [compared(row, rows) for row in rows]
    title = f"10 kB messages to {DOMAINS} domains, injection to the last 250; CPU in µs a message; S, one RSA-2048 signature: "
    show(title + f"{rows[0].cell('signature_us', '.0f')} µs", rows, _COLUMNS)
    return rows


def compared(row: Row, rows: Sequence[Row]) -> Row:
    """The row with how many times slower it was than the engine in each round, which is the first row of the case."""
    ours = next(one for one in rows if one.case == row.case)
    pairs = zip(row.rounds, ours.rounds, strict=False)  # a contender that is missing has none
    return replace(
        row,
        rounds=tuple(mine | {"times_slower": first["messages_per_s"] / mine["messages_per_s"]} for mine, first in pairs),
    )
