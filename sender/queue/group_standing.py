"""What the streams say of a group of readers, one by one, put together: see lua/groups.lua."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sender.queue.groups import Failure, GroupStanding

OURS = "penstock:"  # so begin the names of our groups in the store


@dataclass(frozen=True, slots=True, kw_only=True)
class OnStream:
    """Where a group stands on one stream."""

    name: str  # as the store has it
    entries: int  # -1: nobody can tell
    under_way: int
    oldest: float | None  # Unix seconds
    counted: int  # entries whose events were counted
    events: int  # in these
    failed: Failure | None
    readers: Sequence[str]


def on_stream(
    name: bytes, entries: int, under_way: int, oldest: bytes, counted: int, events: int, failed: bytes, *readers: bytes
) -> OnStream:
    """As the script tells it. A name that is no UTF-8 is another program's."""
    return OnStream(
        name=name.decode(errors="replace"),
        entries=entries,
        under_way=under_way,
        oldest=int(oldest) / 1000 if oldest else None,
        counted=counted,
        events=events,
        failed=_failure(failed.decode(errors="replace")),
        readers=[reader.decode(errors="replace") for reader in readers],
    )


def together(parts: Sequence[OnStream], now: float) -> GroupStanding:
    """The same over all streams, at least one; what was not counted is taken to be like the rest of its stream."""
    name, ours = parts[0].name.removeprefix(OURS), parts[0].name.startswith(OURS)
    known, oldest = all(part.entries >= 0 for part in parts), [part.oldest for part in parts if part.oldest is not None]
    return GroupStanding(
        name=name,
        ours=ours,
        entries=sum(part.entries for part in parts) if known else None,
        events=round(sum(map(_events, parts))) if known else None,
        exact=all(part.counted >= part.entries for part in parts),
        under_way=sum(part.under_way for part in parts),
        oldest_s=max(0.0, now - min(oldest)) if oldest else 0.0,
        readers=_readers(parts, ours),
        failed=next((part.failed for part in parts if part.failed is not None), None),
    )


def _events(part: OnStream) -> float:
    return part.events * part.entries / part.counted if part.counted else 0.0


def _readers(parts: Sequence[OnStream], ours: bool) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for reader in (reader for part in parts for reader in part.readers):
        beat, _, name = reader.partition(" ") if ours else ("", "", reader)
        found[name].append(beat)
    return dict(found)


def _failure(text: str) -> Failure | None:
    at, _, why = text.partition(" ")
    return Failure(at=float(at), why=why) if at else None
