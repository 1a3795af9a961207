"""What an injection works with: a running fleet, its campaigns, its processes, and the receivers."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.scenarios.disks import full
from tests.scenarios.faults.stores import Place
from tests.scenarios.stage import Stage, eventually, processes_of, readers
from tests.sockets import LISTENS, connections

Doubt = frozenset[str]  # recipients who may get a second copy
CAMPAIGN = "spring"
RECIPIENTS = 1_200
UNDER_LOAD = 100  # delivered: from here on every part of the fleet is at work
_CALM_S = 1.0
_THINK_S = 0.2


class Scene:
    """One row's play. `began_at` is when the fault struck: the judge counts from there."""

    def __init__(self, play: Stage) -> None:
        self.play = play
        self.began_at = trio.current_time()
        self._told: set[str] = set()
        self._cursor = ""
        self._fleets = AsyncExitStack()
        self._fleet: trio.Process | None = None
        self.place: Place = None

    @property
    def fleet(self) -> trio.Process:
        assert self._fleet is not None, "no fleet runs"
        return self._fleet

    async def rise(self) -> None:
        """Start the fleet; again, where the one before has been killed."""
        await self._fleets.aclose()
        self._fleet = await self._fleets.enter_async_context(self.play.fleet())
        await eventually("every process of the fleet is at work", self._is_at_work)

    async def _is_at_work(self) -> bool:
        children = {line["child"] for line in self.play.logged("child started")}
        speaking = {child for child in children if not child.startswith("signer")}  # a signer only answers
        return bool(speaking) and speaking <= {line["role"] for line in self.play.logged("started")}

    async def fall(self) -> None:
        """End it in order."""
        await self._fleets.aclose()

    def strikes(self) -> None:
        """The fault begins now."""
        self.began_at = trio.current_time()

    # --- campaigns ---

    async def submit(self, recipients: Iterable[str] | None = None, campaign: str = CAMPAIGN) -> None:
        await self.play.submit(campaign, readers(RECIPIENTS) if recipients is None else recipients)

    async def under_load(self, recipients: Iterable[str] | None = None) -> None:
        """Submit, and wait until delivery is in full swing; the fault begins then.

        Receivers think about each message for a moment, so that at any time many have one that they have not answered for.
        """
        await self.strike(point="taken", does="wait", wait_s=_THINK_S)
        await self.submit(recipients)
        await self.reached(UNDER_LOAD)
        self.strikes()

    async def calm(self) -> None:
        """Wait until nobody has been reached for a moment: whoever can be served has been, and it is written down."""
        last, since = -1, trio.current_time()

        async def check() -> bool:
            nonlocal last, since
            now, count = trio.current_time(), self.play.copies().total()
            if count != last:
                last, since = count, now
            return now - since >= _CALM_S

        await eventually("all that can be delivered is delivered", check)

    async def reached(self, count: int) -> None:
        """Wait until receivers have taken so many messages."""

        async def check() -> bool:
            return self.play.copies().total() >= count

        await eventually(f"{count} deliveries", check)

    def forget_told(self) -> None:
        """The queue was set back: what it has told since counts no more."""
        self._told.clear()
        self._cursor = ""

    async def told(self) -> Doubt:
        """Who has been recorded as delivered, in the queue's own events."""
        while True:
            self._cursor, lines = await self.play.queue.events(self._cursor, 5_000)
            if not lines:
                return frozenset(self._told)
            self._told.update(event["to"] for event in map(json.loads, lines) if event["type"] == "delivered")

    async def in_doubt(self) -> Doubt:
        """Who has the message while nobody has recorded it, once receivers have read all that is on its way to them."""
        await self._all_read()
        return await self.unrecorded()

    async def unrecorded(self) -> Doubt:
        """The same as it is now: the receiver knows more than we do."""
        taken = frozenset(self.play.copies())  # before `told`: who is recorded meanwhile is no doubt
        return taken - await self.told()

    async def _all_read(self) -> None:
        """Wait until receivers have read, and written down, all that has been sent to them by now."""
        left = self._unread()

        async def check() -> bool:
            left.intersection_update(self._unread())
            return not left

        await eventually("what is on its way to be read", check)
        for _ in range(2):  # turns of the receivers' event loop
            await self.ask("met")

    def _unread(self) -> set[str]:
        """The connections to receivers on which octets wait to be read."""
        port = self.play.emulator.ready["smtp_port"]
        return {one.ends for one in connections() if one.port == port and one.state != LISTENS and one.unread}

    # --- processes ---

    def kill(self, *children: str) -> None:
        """SIGKILL these children of the fleet; the supervisor may start them again."""
        for number in [self.play.pid(child) for child in children]:
            self.kill_number(number)

    def kill_number(self, number: int) -> None:
        os.kill(number, signal.SIGKILL)

    async def kill_everything(self) -> None:
        """The supervisor, all its children and the store, at once: nobody comes to notice that another is gone."""
        numbers = (self.fleet.pid, *self.play.fleet_processes())
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in numbers:
                os.kill(process, number)
        await self.fleet.wait()

    @property
    def store(self) -> int:
        """The process number of the fleet's Valkey."""
        return self.play.store

    async def store_is_back(self, killed: int) -> None:
        """Wait until another one answers."""

        await eventually(f"a store after {killed}", self.play.answers)

    def proc(self, number: int) -> Path:
        """What the system shows of a process."""
        return Path("/proc") / str(number)

    @asynccontextmanager
    async def role(self, role: str, index: int, environment: Mapping[str, str] | None = None) -> AsyncIterator[trio.Process]:
        """One more process beside the fleet's, once it is at work; killed at the end of the block."""
        command = [sys.executable, "-m", "workers.cli", "run", role, "--index", str(index), "--config", str(self.play.config)]
        path = self.play.directory / f"{role}-{index}.log"
        with path.open("wb") as log:
            process = await trio.lowlevel.open_process(
                command, env={**os.environ, **(environment or {})}, stdout=log, stderr=log, start_new_session=True
            )
        try:
            await eventually(f"{role}-{index} is at work", lambda: _says(path, '"event":"started"'))
            yield process
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    # --- receivers ---

    async def strike(self, **strike: object) -> None:
        """Let something befall connections: see `workers.emulator.strikes`."""
        await self.ask("strike", strikes=[strike])

    async def met(self) -> list[list[str]]:
        """Who met each strike, in the order in which they were set."""
        met: list[list[str]] = (await self.ask("met"))["met"]
        return met

    async def all_met(self, count: int = 1) -> list[list[str]]:
        """Wait until each strike was met so often."""

        async def check() -> bool:
            return all(len(names) >= count for names in await self.met())

        await eventually("every strike was met", check)
        return await self.met()

    async def sessions(self) -> int:
        """How many connections the receivers have open."""
        return int((await self.ask("met"))["open"])

    async def ask(self, question: str, **more: object) -> dict[str, Any]:
        """A request to the emulated internet."""
        answer = await self.play.emulator.ask(question, **more)
        assert "error" not in answer, answer["error"]
        return answer

    def full(self, directory: str) -> AbstractAsyncContextManager[None]:
        """The disk of this directory has no octet left while the block runs."""
        return full(self.play.directory / directory)

    async def passing(self, seconds: float) -> None:
        """Let the fault last: real time, because what is tried here are real processes' own clocks."""
        await trio.sleep(seconds)

    def left_over(self) -> dict[int, str]:
        """Processes that were started here and still run, the emulator's apart."""
        found = processes_of(self.play.directory).items()
        return {number: words for number, words in found if "workers.emulator" not in words}

    def record(self) -> list[dict[str, Any]]:
        """The receivers' own record, line by line."""
        return self.play.record()


async def _says(log: Path, words: str) -> bool:
    return words in await trio.Path(log).read_text(errors="replace")
