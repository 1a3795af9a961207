"""Between the receivers and the judge of signatures: a bounded spool in memory and the judges' processes.

A full spool holds back the receivers' answers; it never drops a message, for all of them are to be judged.
"""

import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import trio

from workers.emulator.ledger import Judged, Ledger, Taken
from workers.emulator.verifier import KEYS, MESSAGE, frame
from workers.emulator.zone import Zone

_ROOT = Path(__file__).parents[2]


class VerifierDied(RuntimeError):
    """A judge ended before its input did: the count of verified signatures would be wrong."""


class Spool:
    """Hands every taken message to one of `processes` judges and their verdicts to the ledger."""

    def __init__(self, ledger: Ledger, zone: Zone, *, processes: int = 1, octets: int = 256 * 1024 * 1024) -> None:
        self._ledger, self._zone = ledger, zone
        self._processes = processes
        self._limit = octets
        self._waiting: deque[tuple[Taken, bytes]] = deque()
        self._octets = 0
        self._unjudged: dict[int, str] = {}  # serial -> receiver
        self._changed = trio.Condition()

    def __repr__(self) -> str:
        return f"<Spool waiting={len(self._waiting)} octets={self._octets} unjudged={len(self._unjudged)}>"

    async def put(self, taken: Taken, content: bytes) -> None:
        """Spool a message, once there is room for it."""
        async with self._changed:
            while self._octets and self._octets + len(content) > self._limit:
                await self._changed.wait()
            self._waiting.append((taken, content))
            self._octets += len(content)
            self._unjudged[taken.serial] = taken.receiver
            self._changed.notify_all()

    async def settled(self) -> None:
        """Wait until everything spooled so far, and since, has been judged."""
        async with self._changed:
            while self._unjudged:
                await self._changed.wait()

    async def run(self) -> None:
        """Run the judges until cancelled; raises VerifierDied when one ends by itself."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._processes):
                nursery.start_soon(self._run_judge)

    async def _run_judge(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "workers.emulator.verifier"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # the terminal's Ctrl-C is for us: a judge ends with its input
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._feed, process.stdin)
                await self._read(process.stdout)
                raise VerifierDied(f"exit status {await process.wait()}")
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                await process.stdin.aclose()
                await process.stdout.aclose()

    async def _feed(self, stdin: trio.abc.SendStream) -> None:
        known = -1
        while True:
            taken, content = await self._next()
            if known != self._zone.version:
                known = self._zone.version
                await stdin.send_all(frame(KEYS, 0, json.dumps(self._zone.texts()).encode()))
            await stdin.send_all(frame(MESSAGE, taken.serial, content))

    async def _next(self) -> tuple[Taken, bytes]:
        async with self._changed:
            while not self._waiting:
                await self._changed.wait()
            taken, content = self._waiting.popleft()
            self._octets -= len(content)
            self._changed.notify_all()
            return taken, content

    async def _read(self, stdout: trio.abc.ReceiveStream) -> None:
        buffer = b""
        async for data in stdout:
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                verdict = json.loads(line)
                serial = verdict["serial"]
                receiver = self._unjudged[serial]
                self._ledger.judged(Judged(serial=serial, receiver=receiver, signatures=tuple(verdict["signatures"])))
                del self._unjudged[serial]
            async with self._changed:
                self._changed.notify_all()
