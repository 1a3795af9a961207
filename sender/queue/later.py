"""How envelopes that go back are packed: what every backend does alike with a settlement's `again`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sender.policy.engagement import band_of
from sender.queue.base import Again
from sender.queue.pack import MAX_ENVELOPES, encode, runs

TOGETHER_S = 10.0  # retries due within this long of each other share a pack, due when the last of them is


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Envelopes of one lease that go back as one pack: at once where `due` is 0."""

    due: float
    again: tuple[Again, ...]
    source: str = ""  # who alone may try them again

    @property
    def tried(self) -> int:
        """How many of them were attempted."""
        return sum(again.tried for again in self.again)

    @property
    def pack(self) -> bytes:
        # By ordinal, whatever their dues: the header's first one is then the smallest, and a pack is found by it.
        return encode(sorted((again.envelope for again in self.again), key=lambda envelope: envelope.ordinal))


def group(again: Sequence[Again], positions: Iterable[int] | None = None) -> list[Return]:
    """Group what goes back by who may try it and when it is due; `positions` limits it to some, each counted once."""
    wanted = None if positions is None else set(positions)
    unique = {item.position: item for item in again if wanted is None or item.position in wanted}
    groups: list[list[Again]] = []
    for item in sorted(unique.values(), key=lambda item: (item.source, item.due, item.position)):
        if groups and _fits(groups[-1], item):
            groups[-1].append(item)
        else:
            groups.append([item])
    return [
        Return(due=max(item.due for item in items), again=tuple(items), source=items[0].source)
        for together in groups
        for items in _packed(together)
    ]


def _packed(items: list[Again]) -> Iterator[list[Again]]:
    """What goes into a pack each: those of several bands, or with long fields, go into several."""
    in_bands = sorted(items, key=lambda item: band_of(item.envelope.fields))
    rest = iter(in_bands)
    for run in runs([item.envelope for item in in_bands]):
        yield list(islice(rest, len(run)))


def _fits(items: list[Again], item: Again) -> bool:
    first = items[0].due
    if len(items) >= MAX_ENVELOPES or item.source != items[0].source:
        return False
    return item.due == first or (first > 0 and item.due - first <= TOGETHER_S)
