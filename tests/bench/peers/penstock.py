"""The engine as one of the contenders: its whole path, as `tests.bench.delivery` measures it."""

from pathlib import Path

import trio

from tests.bench import delivery
from tests.bench.rig import Case, Spent


class Penstock:
    """The engine."""

    name = "Penstock"
    words = "enqueued, leased, personalised, journaled, settled; metrics and log on"
    own: tuple[str, ...] = delivery.OURS
    only_signed = False

    def prepare(self, home: Path) -> None:
        """It is here."""

    def measure(self, case: Case, home: Path) -> Spent:
        return trio.run(delivery.measure, case)
