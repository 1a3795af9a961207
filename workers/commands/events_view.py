"""How `penstock events` shows consumers: a line each, and below it who reads, what failed last, and what lies on this host."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from shlex import quote
from typing import Any

from rich.text import Text

from sender.explaining.explanation import counted, joined, moment, span
from sender.queue.groups import GroupStanding
from workers.cells import fit, left, right, wrapped
from workers.commands.events_standing import Row
from workers.consumers.letters import Letters

_TITLES = ("kind", "events behind", "oldest")
_WIDTHS = (9, 13, 13)  # of those columns; the name has what is left, and at most:
_NAME_MOST = 32
_LINES_MOST = 4  # of what a webhook failed with
WIDEST = 120  # a line that is longer is hard to read
_NONE = "no [[consumer]] in penstock.toml, and no group of readers in the store: nobody follows the events"


def lines(rows: Sequence[Row], now: float, width: int) -> Text:
    """All of them for a terminal of this width."""
    width = min(width, WIDEST)
    if not rows:
        return Text(fit(_NONE, width))
    shown = [Text(_cells("consumer", _TITLES, width), "bold")]
    for row in rows:
        shown.append(Text(_cells(row.name, (row.kind, *_figures(row.group)), width)))
        for text, style in _below(row, now):
            shown += [Text(f"  {line}", style) for line in wrapped(text, width - 2, _LINES_MOST)]
    return Text("\n").join(shown)


def _cells(name: str, cells: Sequence[str], width: int) -> str:
    room = min(_NAME_MOST, width - sum(_WIDTHS) - len(_WIDTHS))
    kind, *numbers = zip(cells, _WIDTHS, strict=True)
    return " ".join([left(name, room), left(*kind), *(right(*number) for number in numbers)]).rstrip()


def _figures(group: GroupStanding | None) -> tuple[str, str]:
    if group is None:
        return "-", "-"
    return _events(group.events, group.exact), span(group.oldest_s) if group.entries != 0 else "-"


def _events(events: int | None, exact: bool) -> str:
    """`~` where they were too many to be counted."""
    return "?" if events is None else f"{'' if exact else '~'}{events:,}"


def _below(row: Row, now: float) -> Iterator[tuple[str, str]]:
    """What else there is to say, and in which style."""
    if row.group is None:
        yield "has not begun: no process that follows the events has had it in its configuration yet", "red"
    else:
        yield from _reading(row, row.group)
    if row.group is not None and (failed := row.group.failed) is not None:
        yield f"last failed {span(now - failed.at)} ago, {moment(failed.at, now)}: {failed.why}", "dim"
    if row.unread:
        yield f"its dead letters on this host can't be looked at: {row.unread}", "red"
    if row.letters is not None and row.letters.files:
        yield f"{dead(row.letters)} [penstock events dead {quote(row.name)}]", "yellow"


def _reading(row: Row, group: GroupStanding) -> Iterator[tuple[str, str]]:
    who = joined([f"{name}, silent" if name in row.silent else name for name in group.readers], 3)
    total = "" if group.entries is None else f" of {counted(group.entries, 'entry')}"
    under_way = f"; {group.under_way:,}{total} under way" if group.under_way else ""
    if group.readers:
        yield f"read by {who}{under_way}", "red" if row.silent else "dim"
    elif group.ours:
        yield f"nobody reads it{under_way}", "red"


def dead(letters: Letters) -> str:
    """What lies on this host, in words."""
    since = f", the first of {_day(letters.oldest)}" if letters.oldest is not None else ""
    events = f"{'about ' if not letters.exact else ''}{counted(letters.events, 'event')}"
    return f"dead letters on this host: {events} in {counted(len(letters.files), 'file')}{since}"


def _day(unix: float) -> str:
    return f"{datetime.fromtimestamp(unix).astimezone():%Y-%m-%d %H:%M %z}"


def as_document(row: Row) -> dict[str, Any]:
    """A consumer for scripts: times in Unix seconds; null where it has not begun, or nobody can tell."""
    group = row.group
    return {
        "name": row.name,
        "kind": row.kind,
        "configured": row.consumer is not None,
        "entries": group.entries if group else None,
        "events": group.events if group else None,
        "events_exact": group.exact if group else None,
        "oldest_seconds": group.oldest_s if group else None,
        "entries_under_way": group.under_way if group else None,
        "readers": [
            {"name": name, "streams": len(beats), "silent": name in row.silent}
            for name, beats in (group.readers.items() if group else ())
        ],
        "last_failure": {"at": group.failed.at, "why": group.failed.why} if group and group.failed else None,
        "dead": letters_document(row.letters) if row.letters is not None else None,
    }


def letters_document(letters: Letters) -> dict[str, Any]:
    """Dead letters for scripts."""
    return {
        "files": len(letters.files),
        "octets": letters.octets,
        "events": letters.events,
        "events_exact": letters.exact,
        "oldest": letters.oldest,
    }
