"""Keeps the processes of one host running, and ends them in order.

1. Every child is started with the reading end of a pipe whose writing end only we hold: when we die, however we die, they
   see its end (`workers.lifeline`) and end too.
2. A child that ends is started again, after a delay that doubles while it keeps dying and is forgotten once it ran well.
3. A child with a probe is asked regularly; one that no longer answers is killed, and then started again.
4. Draining: the children are told to end group by group (delivery before those it gets work from, signers last, because
   delivery can't finish without them). Who is not done in time is killed.
5. Cancelled, as by a second signal: all are killed at once.

Children are sessions of their own, so that Ctrl-C in a terminal reaches only us: the order is ours.
"""

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from sender.errors import SenderError
from workers.lifeline import LIFELINE
from workers.log import Log

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)  # on top of ours
    order: int = 0  # when draining, lower ones end first
    probe: Probe | None = None  # whether it still answers; an OSError or SenderError means no

    @property
    def role(self) -> str:
        """What it is, without its number."""
        return self.name.partition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the supervisor waits for what."""

    restart_first_s: float = 0.5
    restart_most_s: float = 30.0
    stable_s: float = 60.0  # who ran for so long starts over with the first delay
    drain_s: float = 30.0  # for the first group; the later ones, which only let go, get what is left of it and...
    let_go_s: float = 3.0  # ...at least this
    probe_every_s: float = 5.0
    probe_answer_s: float = 2.0
    probe_misses: int = 3  # in a row, and the child is killed


@dataclass(slots=True)
class Backoff:
    """The delays between restarts of one child."""

    patience: Patience
    _next_s: float = 0.0

    def after(self, ran_s: float) -> float:
        """How long to wait before the next start, when the last run took so long."""
        if ran_s >= self.patience.stable_s or self._next_s == 0:
            self._next_s = self.patience.restart_first_s
        delay_s = self._next_s
        self._next_s = min(delay_s * 2, self.patience.restart_most_s)
        return delay_s


class Supervisor:
    """Runs children until told to drain."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        log: Log,
        patience: Patience | None = None,
        on_restart: Callable[[ChildSpec], None] = lambda spec: None,
    ) -> None:
        self._specs, self._log, self._on_restart = children, log, on_restart
        self._patience = patience or Patience()

    async def run(self, draining: trio.Event) -> None:
        """Keep all children running until `draining` is set, then end them; when this returns or raises, none is left."""
        lifeline, held = os.pipe()  # children share the reading end; the writing end closes on exec and with us
        children = [_Child(spec, lifeline, self._log, self._patience, self._on_restart) for spec in self._specs]
        try:
            async with trio.open_nursery() as nursery:
                for child in children:
                    nursery.start_soon(child.keep_running)
                await draining.wait()
                await self._drain(children)
        finally:
            os.close(lifeline)
            os.close(held)

    async def _drain(self, children: Sequence["_Child"]) -> None:
        self._log.info("draining", drain_s=self._patience.drain_s)
        deadline = trio.current_time() + self._patience.drain_s
        for order in sorted({child.spec.order for child in children}):
            group = [child for child in children if child.spec.order == order]
            async with trio.open_nursery() as nursery:
                nursery.cancel_scope.deadline = max(deadline, trio.current_time() + self._patience.let_go_s)
                for child in group:
                    child.ask_to_end()
                    nursery.start_soon(child.ended.wait)
            for child in group:
                child.kill("it did not end in time")
                await child.ended.wait()
        self._log.info("drained")


class _Child:
    """One child, over all its restarts."""

    def __init__(
        self, spec: ChildSpec, lifeline: int, log: Log, patience: Patience, on_restart: Callable[[ChildSpec], None]
    ) -> None:
        self.spec, self._on_restart = spec, on_restart
        self.ended = trio.Event()  # it will not be started again
        self._lifeline, self._log, self._patience = lifeline, log, patience
        self._ending = trio.Event()
        self._process: trio.Process | None = None

    async def keep_running(self) -> None:
        """Start the child whenever it is not running, until it is asked to end."""
        backoff = Backoff(self._patience)
        try:
            while not self._ending.is_set():
                started = trio.current_time()
                how = await self._run_once()
                if self._ending.is_set():
                    break
                ran_s = trio.current_time() - started
                delay_s = backoff.after(ran_s)
                self._log.error("child ended", child=self.spec.name, how=how, ran_s=round(ran_s, 3), restart_in_s=delay_s)
                with trio.move_on_after(delay_s):
                    await self._ending.wait()
                    break
                self._on_restart(self.spec)
        finally:
            self.ended.set()

    def ask_to_end(self) -> None:
        """Tell the child, once, to finish what it has begun."""
        self._ending.set()
        if self._process is not None:
            self._process.terminate()

    def kill(self, why: str) -> None:
        """End the child without its doing; nothing where it runs no more."""
        if self._process is not None:
            self._log.warning("child killed", child=self.spec.name, why=why)
            self._process.kill()

    async def _run_once(self) -> str:
        """Start the child and wait for its end; returns how it ended. Cancelled: it is killed and waited for."""
        try:
            process = await self._start()
        except OSError as error:
            return f"it could not be started: {error}"
        self._process = process
        try:
            if self._ending.is_set():
                process.terminate()  # asked to end while it was being started: it may be further than we have heard
            self._log.info("child started", child=self.spec.name, pid=process.pid)
            async with trio.open_nursery() as nursery:
                if self.spec.probe is not None:
                    nursery.start_soon(self._watch, self.spec.probe)
                status = await process.wait()
                nursery.cancel_scope.cancel()
            return _how(status)
        finally:
            with trio.CancelScope(shield=True):
                process.kill()  # nothing where it has ended
                await process.wait()
            self._process = None

    async def _start(self) -> trio.Process:
        return await trio.lowlevel.open_process(
            list(self.spec.argv),
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.spec.env, LIFELINE: str(self._lifeline)},
            pass_fds=(self._lifeline,),
            start_new_session=True,
        )

    async def _watch(self, probe: Probe) -> None:
        """Kill the child once its probe has failed so many times in a row."""
        misses = 0
        while misses < self._patience.probe_misses:
            await trio.sleep(self._patience.probe_every_s)
            misses = 0 if await self._answers(probe) else misses + 1
        self.kill(f"it did not answer {misses} times in a row")

    async def _answers(self, probe: Probe) -> bool:
        with trio.move_on_after(self._patience.probe_answer_s):
            try:
                return await probe()
            except (OSError, SenderError):
                return False
        return False


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
