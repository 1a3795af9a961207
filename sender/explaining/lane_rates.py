"""How fast each lane goes, and all of them together, by what their reports have counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sender.explaining.lane_rows import LaneRow, shown_lane
from sender.explaining.rates import Growth, Rates
from sender.model import LaneId

_TAKEN, _REFUSED = "taken", "refused"


class LaneRates:
    """Look by look: `count` all lanes, `add` the rates to the rows that are shown, `forget` the rest."""

    def __init__(self, *, tail: bool) -> None:
        """`tail`: each receiver without a profile is shown by itself."""
        self._tail = tail
        self._growth, self._rates = Growth(), Rates()
        self._totals: Counter[tuple[LaneId, str]] = Counter()  # of the lanes as they are shown
        self._all: Counter[str] = Counter()

    def count(self, rows: Sequence[LaneRow], now: float) -> None:
        """Take in what each lane has counted, those as well that are shown together."""
        for row in rows:
            if row.report is not None:
                grown = self._growth.take(row.lane, now, (row.report.taken, row.report.refused))
                if any(grown):
                    shown = row.lane if self._tail else shown_lane(row.lane)
                    for what, more in zip((_TAKEN, _REFUSED), grown, strict=True):
                        self._totals[shown, what] += more
                        self._all[what] += more

    def add(self, row: LaneRow) -> LaneRow:
        """A row that is shown, with its rates: as of when it said so, because it says so now and then."""
        if row.report is None:
            return row
        at = row.report.at
        taken, refused = (self._rates.take((row.lane, what), at, self._totals[row.lane, what]) for what in (_TAKEN, _REFUSED))
        return replace(row, rate=taken, refusals=refused)

    def fleet(self, now: float) -> tuple[float | None, float | None]:
        """Messages taken, and attempts that came to anything else, a second."""
        taken, refused = (self._rates.take(what, now, self._all[what]) for what in (_TAKEN, _REFUSED))
        return taken, refused

    def forget(self, rows: Sequence[LaneRow], now: float) -> None:
        """Keep what was counted of these rows."""
        shown = {(row.lane, what) for row in rows for what in (_TAKEN, _REFUSED)}
        self._totals = Counter({key: total for key, total in self._totals.items() if key in shown})
        self._rates.keep([*shown, _TAKEN, _REFUSED])
        self._growth.forget(now)

    def __repr__(self) -> str:
        return f"<LaneRates of {len(self._totals) // 2} lanes>"
