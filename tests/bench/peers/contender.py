"""Who is measured beside the engine, and how: injection to the last 250, every processor second accounted for.

1. `prepare` looks for what the contender needs, once; what is missing is said in the table.
2. For each measurement it is started afresh and gets ready; only then does the clock begin.
3. The receiving side ends with the last message, and is not reaped before its account has been read.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tests.bench.account import cpu_s
from tests.bench.receiving import compile_sink, receiving_side, sink_report
from tests.bench.rig import Case, Spent
from tests.integration.programs import open_directory

SINK = "sink"
_PATIENCE_S = 300.0
_POLL_S = 0.02


class Missing(Exception):
    """Something that a contender needs is not there; says what, in one line."""


class Contender(Protocol):
    """One way to send beside others."""

    name: str
    words: str  # how it is set up, for the JSON
    own: tuple[str, ...]  # the roles whose CPU counts as its own
    only_signed: bool  # unsigned, it would be another one once more

    def prepare(self, home: Path) -> None:
        """Install in `home` what can be installed; raises Missing."""

    def measure(self, case: Case, home: Path) -> Spent:
        """Send the case's messages, or as many of them as take this contender some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A peer that is ready: its processes by role, how it is told to begin, and why it can't go on, "" while it can."""

    roots: Mapping[str, Sequence[int]]
    go: Callable[[], None]
    broken: Callable[[], str]


Starting = Callable[[Case, Path], AbstractContextManager[Started]]
"""Starts a peer in a directory of its own, and ends it."""


def measured(case: Case, start: Starting) -> Spent:
    """Let a peer send the case's messages; RuntimeError where it ends or takes too long."""
    with (
        open_directory() as directory,
        receiving_side(case, directory, compile_sink(directory), "-n", str(case.messages)) as sink,
        start(case, directory) as started,
    ):
        roots = {**started.roots, SINK: [sink.pid]}
        before = _cpu_by_role(roots)
        began = time.time()
        started.go()
        _await_last(sink, started, case)
        after = _cpu_by_role(roots)
        report = sink_report(sink)
    seconds = report["last"] - began
    return Spent(
        messages=case.messages,
        seconds=seconds,
        last_s=seconds,
        cpu_us={role: (after[role] - before[role]) / case.messages * 1e6 for role in roots},
        sink=report,
    )


def _cpu_by_role(roots: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {role: sum(map(cpu_s, pids)) for role, pids in roots.items()}


def _await_last(sink: "subprocess.Popen[str]", started: Started, case: Case) -> None:
    """Wait until the receiving side has all, and leave it to be reaped."""
    deadline = time.monotonic() + _PATIENCE_S
    while status(sink.pid) is None:
        if why := started.broken():
            raise RuntimeError(f"{case}: {why}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{case}: not all messages arrived within {_PATIENCE_S:.0f} s")
        time.sleep(_POLL_S)


def status(pid: int) -> int | None:
    """How a child of ours has ended, 0 if well; None while it runs. It is not reaped: its account stays readable."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if ended is None else ended.si_status


def fewer(case: Case, unsigned: int, signed: int) -> Case:
    """The case with no more messages than these."""
    return replace(case, messages=min(case.messages, signed if case.sign else unsigned))
