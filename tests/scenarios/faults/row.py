"""A row of the matrix, as data."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sender.model import State
from tests.scenarios.faults.scene import Doubt, Scene

NOBODY: Doubt = frozenset()
DELIVERED = frozenset({State.DELIVERED})
PARKED = DELIVERED | {State.UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The fleet and the receivers of a row, where it matters."""

    pipelining: str = "chain"  # lockstep, group, chain or bdat: the most that receivers and profiles allow
    delivery: int = 1  # processes
    more: str = ""  # further sections of penstock.toml
    store: str = "own"  # or proxied, sentinel, cluster: where it stands, see `stores`
    disks: Mapping[str, str] = field(default_factory=dict)  # directories of the fleet that are small disks: their sizes
    emulator: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault."""

    name: str
    inject: Callable[[Scene], Awaitable[Doubt]]
    world: World = field(default_factory=World)
    ends: frozenset[State] = DELIVERED  # the only states in which recipients may end
    dead: int = 0  # entries that must end in the dead-letter stream
    tells: str = ""  # what the log must say, so that an operator can know
    within_s: float = 150.0  # patience, from the fault to the last final state: far more than it takes
    long: bool = False  # takes more than a few seconds, or repeats another with more patience

    def __str__(self) -> str:
        return self.name
