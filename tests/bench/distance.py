"""The same work from 50 ms away: messages a second over one connection, in each way of sending and beside the peers.

What counts is the time from the first 250 to the last, so that opening the connection is not part of the rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.bench.apart import Request, measured_apart
from tests.bench.figures import Columns, Figures, Row, in_rounds, show
from tests.bench.link import FAR, NEAR, Link, LinkError, link
from tests.bench.peers.lineup import Entrant, lineup
from tests.bench.place import Place
from tests.bench.rig import Case

ROUND_TRIP_MS = 50.0

_ONE = Case(name="one connection", tls=True, sign="rsa-sha256", delivery=1, domains=1, messages=40)
_WAYS = (  # of sending, which only the engine has a choice of
    replace(_ONE, name="lockstep", pipelining="lockstep"),
    replace(_ONE, name="group", pipelining="group", messages=80),
    replace(_ONE, name="chain", pipelining="chain", messages=150),
    replace(_ONE, name="BDAT", bdat=True, messages=1_200),
)
_COLUMNS: Columns = (
    ("msg/s", "messages_per_s", ",.1f"),
    ("turns a message", "turns", ".2f"),
    ("connections", "connections", ".0f"),
    ("round trip, ms", "round_trip_ms", ".1f"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heat:
    """One contender, sending in one way."""

    entrant: Entrant
    case: Case

    def __str__(self) -> str:
        return f"{self.case}, {self.entrant.contender.name}"

    def figures(self, link: Link) -> Figures:
        place = Place(sink=FAR, sources=(NEAR,), far=link.far)
        case = replace(self.case, place=place)
        result = measured_apart(
            link.near, Request(contender=self.entrant.contender.name, home=str(self.entrant.home), case=case)
        )
        sink = result.spent.sink
        return {
            "messages_per_s": (sink["messages"] - 1) / (sink["last"] - sink["first_message"]),
            "turns": sink["turns"] / sink["messages"],
            "connections": sink["connections"],
            "round_trip_ms": result.round_trip_ms,
        }


def run(rounds: int, ways: Sequence[Case] = _WAYS, peers: Case = _ONE) -> list[Row]:
    """Measure and print the table; where there can be no link, say why."""
    with lineup() as entrants:
        ours, *others = (one for one in entrants if not one.contender.only_signed)
        heats = [
            *(_Heat(entrant=ours, case=way) for way in ways),
            *(_Heat(entrant=other, case=peers) for other in others),
        ]
        there = [heat for heat in heats if not heat.entrant.missing]
        try:
            with link(ROUND_TRIP_MS) as line:
                found = dict(zip(there, in_rounds(there, lambda heat, _: heat.figures(line), rounds), strict=True))
        except LinkError as error:
            found, heats = {}, [_Heat(entrant=replace(heat.entrant, missing=str(error)), case=heat.case) for heat in heats]
    rows = [
        Row(who=heat.entrant.contender.name, case=heat.case.name, rounds=found.get(heat, ()), missing=heat.entrant.missing)
        for heat in heats
    ]
    show(f"{ROUND_TRIP_MS:.0f} ms away, RSA-2048 + STARTTLS, 10 kB messages over one connection", rows, _COLUMNS)
    return rows
