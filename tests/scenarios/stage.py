"""Real processes around a scenario: the emulated internet, a fleet as `penstock run` starts it, its Valkey, and the law.

Real time passes here, so nothing waits a fixed while: `eventually` asks again until what must come has come, or fails.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from sender.model import State
from sender.queue import open_queue
from sender.queue.base import CampaignStatus, Queue
from workers.demo import scene
from workers.emulator.people import addresses
from workers.emulator.process import RECORD_FILE
from workers.emulator.world import WorldOptions, build

PARTITIONS = 4  # as the demo's configuration has it
ASKED_EVERY_S = 0.05
DRAIN_S = 15.0  # likewise
BOUND_S = DRAIN_S + 5 + 2 * 3 + 5  # what the supervisor allows its three groups, and the server for writing its data out

_MARK = "PENSTOCK_SCENARIO"  # in the environment of everything a scenario starts


async def eventually(what: str, check: Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
    """Ask until the answer is true; AssertionError names what did not come."""
    with trio.move_on_after(seconds):
        while not await check():
            await trio.sleep(ASKED_EVERY_S)
        return
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports of the loopback that are free now."""
    for first in range(21_000 + os.getpid() % 500 * 20, 32_000, count):
        with trio_free_sockets(range(first, first + count)) as free:
            if free:
                return first
    raise AssertionError("no free ports")


class trio_free_sockets:  # noqa: N801
    pass


@dataclass(slots=True)
class Fleet:
    """One run of `penstock run`."""

    process: trio.Process
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """What the fleet has logged so far."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
