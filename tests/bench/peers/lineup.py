"""Who is measured: the engine first, and then its peers, as far as they can be had here."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.peers.aiosmtplib import Aiosmtplib
from tests.bench.peers.contender import Contender, Missing
from tests.bench.peers.nodemailer import Nodemailer
from tests.bench.peers.penstock import Penstock
from tests.bench.peers.postfix import Postfix
from tests.bench.rig import Case, Spent

CONTENDERS: tuple[Contender, ...] = (
    Penstock(),
    Postfix(),
    Nodemailer(),
    Aiosmtplib("dkimpy"),
    Aiosmtplib("cryptography"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A contender and the folder of what was installed for it; `missing` says why it can't be measured."""

    contender: Contender
    home: Path
    missing: str = ""

    def measure(self, case: Case) -> Spent:
        return self.contender.measure(case, self.home)


@contextmanager
def lineup() -> Iterator[list[Entrant]]:
    """All of them, prepared; what was installed for them goes with the block."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield [_prepared(contender, Path(folder) / str(number)) for number, contender in enumerate(CONTENDERS)]


def _prepared(contender: Contender, home: Path) -> Entrant:
    home.mkdir()
    try:
        contender.prepare(home)
    except Missing as missing:
        return Entrant(contender=contender, home=home, missing=str(missing))
    return Entrant(contender=contender, home=home)
