"""Counts of what tasks do: their turns, the memory they ask for, the functions they call."""

import ctypes
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

import trio

_OURS: ContextVar[bool] = ContextVar("ours")  # set in the tasks that are counted, and in those that they start


def mark() -> None:
    """The calling task is one that is counted, and so is all that it starts."""
    _OURS.set(True)


class Turns(trio.abc.Instrument):
    """Turns of marked tasks, and the allocations in them."""

    def __init__(self, counts: Counter[str], library: ctypes.CDLL) -> None:
        self._counts = counts
        self._allocations = ctypes.c_ulonglong.in_dll(library, "allocations")
        self._before = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if _OURS in task.context:
            self._counts["task turns"] += 1
            self._before = self._allocations.value

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if _OURS in task.context:
            self._counts["allocations"] += self._allocations.value - self._before


class Calls(trio.abc.Instrument):
    """Calls of functions, Python's and C's, in marked tasks: not beside `Turns`, since to be told of them allocates."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts, self._calls = counts, 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if _OURS in task.context:
            sys.setprofile(self._count)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        sys.setprofile(None)
        self._counts["calls"] = self._calls

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        self._calls += event in ("call", "c_call")


def compiled(directory: Path) -> ctypes.CDLL:
    """The counter of allocations; CalledProcessError where there is no compiler."""
    library, source = directory / "allocations.so", Path(__file__).with_name("allocations.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return ctypes.PyDLL(str(library))  # it is called with the interpreter's lock held


@contextmanager
def hooked(library: ctypes.CDLL) -> Iterator[None]:
    """Allocations of this thread are counted within the block."""
    library.hook()
    try:
        yield
    finally:
        library.unhook()
