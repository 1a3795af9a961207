"""What the demo shows: progress with rate and time left, a table by receiver, and the sum at the end."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from sender.model import State
from sender.queue.base import CampaignStatus

_TAIL = "long tail"  # receivers without a profile, in one row
_RECEIVING_SIDE = ("accepted", "dkim_pass", "tls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sums that must agree."""

    submitted: int
    states: Mapping[State, int]
    receivers_accepted: int
    dkim_pass: int
    dkim_fail: int
    dkim_none: int

    @property
    def delivered(self) -> int:
        return self.states.get(State.DELIVERED, 0)

    def problems(self) -> list[str]:
        """What does not add up: nothing, if all is well."""
        found = []
        if sum(self.states.values()) != self.submitted:
            found.append(f"{self.submitted:,} recipients, but {sum(self.states.values()):,} in a final state")
        if self.receivers_accepted != self.delivered:
            found.append(f"the receivers took {self.receivers_accepted:,} messages, we count {self.delivered:,}")
        if self.dkim_pass != self.receivers_accepted:
            found.append(f"of {self.receivers_accepted:,} messages {self.dkim_pass:,} passed DKIM")
        return found


def totals(submitted: int, status: CampaignStatus, stats: Mapping[str, Any]) -> Totals:
    """Our count and the receivers' own, side by side."""
    states: dict[State, int] = defaultdict(int)
    for (_, state), count in status.final.items():
        states[state] += count
    theirs = stats["total"]
    return Totals(
        submitted=submitted,
        states=states,
        receivers_accepted=theirs["accepted"],
        dkim_pass=theirs["dkim_pass"],
        dkim_fail=theirs["dkim_fail"],
        dkim_none=theirs["dkim_none"],
    )


class View:
    """The live picture: update it, and show `renderable`."""

    def __init__(self, recipients: int) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("recipients in a final state"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>6.0f}/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task("", total=recipients, rate=0.0)
        self._table = Table()

    def update(self, status: CampaignStatus, stats: Mapping[str, Any]) -> None:
        """Take in where the campaign stands and what the receivers have seen."""
        self._progress.update(self._task, completed=status.finished, rate=self._progress.tasks[0].speed or 0.0)
        self._table = by_receiver(status, stats)

    @property
    def renderable(self) -> Group:
        return Group(self._progress, self._table)


def by_receiver(status: CampaignStatus, stats: Mapping[str, Any]) -> Table:
    """Ours on the left; on the right what they accepted, signatures they verified, their TLS connections."""
    ours = _ours(status)
    theirs = _theirs(stats, set(ours))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("receiver")
    for title in ("delivered", "rejected", "other", "deferred"):
        table.add_column(title, justify="right")
    for title in ("accepted", "verified", "TLS"):
        table.add_column(title, justify="right", style="cyan")
    for name in sorted(ours, key=lambda name: (name in (_TAIL, "-"), name)):
        numbers = [*ours[name], *theirs.get(name, [0, 0, 0])]
        table.add_row("(none)" if name == "-" else name, *(f"{number:,}" for number in numbers))
    return table


def _ours(status: CampaignStatus) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    columns = {State.DELIVERED: 0, State.REJECTED: 1}
    for (receiver, state), count in status.final.items():
        rows[_row(receiver)][columns.get(state, 2)] += count
    for receiver, count in status.deferrals.items():
        rows[_row(receiver)][3] += count
    return rows


def _theirs(stats: Mapping[str, Any], known: set[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for receiver, counts in stats["receivers"].items():
        row = rows[receiver if receiver in known else _TAIL]
        for place, key in enumerate(_RECEIVING_SIDE):
            row[place] += counts[key]
    return rows


def _row(receiver: str) -> str:
    return _TAIL if receiver.startswith("~") else receiver


def summarise(console: Console, sums: Totals, seconds: float, metrics: str) -> None:
    """The end: does every sum agree?"""
    if not console.is_terminal:
        console.line()  # the last frame of a live display ends without one where nobody watches
    table = Table(title="every recipient in exactly one final state", title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("recipients submitted", f"{sums.submitted:,}")
    for state in State:
        if sums.states.get(state):
            table.add_row(f"  {state}", f"{sums.states[state]:,}")
    table.add_row("sum of final states", f"{sum(sums.states.values()):,}", end_section=True)
    table.add_row("messages the receivers took", f"{sums.receivers_accepted:,}")
    table.add_row("  with every DKIM signature verified by dkimpy", f"{sums.dkim_pass:,}")
    table.add_row("  with a bad signature, or none", f"{sums.dkim_fail:,}, {sums.dkim_none:,}")
    console.print(table)
    rate = sums.delivered / seconds if seconds else 0.0
    console.print(f"{sums.delivered:,} messages in {seconds:.1f} s: {rate:,.0f}/s, the emulated world's work included.")
    console.print(f"Each process serves its metrics: {metrics}", soft_wrap=True)
    for problem in sums.problems():
        console.print(f"[bold red]does not add up:[/] {problem}")
