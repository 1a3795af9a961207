"""What every process of a fleet does beside its work: log, metrics, health, the queue's connection, ending in order.

A role is an async function of a `Process`; `run_role` gives it one, and takes it all away again when the role returns.
"""

import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random

import structlog
import trio

from sender import lag
from sender.assembly import Surroundings
from sender.clock import SteadyClock
from sender.errors import BackendError, ConfigError
from sender.metrics import Metrics
from sender.queue.base import Queue
from sender.record import Attempt
from sender.settings import Settings, load
from sender.store_watch import StoreWatch
from workers import log
from workers.attempt_log import attempt_log
from workers.lifeline import drain_signals, take_lifeline
from workers.observing import observed
from workers.store import connected

_PORT_MAX = 65_535
_STORE_PATIENCE_S = 60.0  # a process that starts before its store waits so long for it


@dataclass(slots=True, kw_only=True)
class Process:
    """One process of the fleet, as its role sees it."""

    name: str
    settings: Settings
    queue: Queue
    clock: Callable[[], float]  # Unix seconds: the one clock for all that is written down, compared or waited for
    metrics: Metrics
    log: log.Log
    draining: trio.Event
    tell: Callable[[Attempt], None] = lambda attempt: None  # of an attempt, in the log
    ready: bool = False  # the role's own word: it does its work
    _last_trouble: dict[str, float] = field(default_factory=dict)

    def trouble(self, text: str) -> None:
        """Tell the operator, the same thing once a minute."""
        now = time.monotonic()
        if now - self._last_trouble.get(text, float("-inf")) >= 60.0:
            if len(self._last_trouble) > 1000:
                self._last_trouble.clear()
            self._last_trouble[text] = now
            self.log.warning("trouble", why=text)

    async def look_at_store(self) -> None:
        """Tell the operator what is not as it should be with the store; a scheduler goes on looking."""
        try:
            await StoreWatch(self.queue, self.trouble).run_once()
        except BackendError as error:
            self.trouble(str(error))

    def surroundings(self, on_attempt: Callable[[Attempt], None] = lambda attempt: None) -> Surroundings:
        return Surroundings(
            clock=self.clock, rng=Random(), metrics=self.metrics, on_attempt=on_attempt, on_trouble=self.trouble
        )


Role = Callable[[Process], Awaitable[None]]


def run_role(role: Role, name: str, config: Path | None, port_offset: int) -> None:
    """Run one role until it has drained; `port_offset` is added to the configured metrics port."""
    settings = load(config)
    if (port := settings.metrics.port + port_offset) > _PORT_MAX:
        raise ConfigError("penstock.toml", "metrics.port", f"{settings.metrics.port}: {name} would need port {port}")
    _collect_seldom()
    trio.run(_run, role, name, settings, port_offset)


def _collect_seldom() -> None:
    """What is loaded by now stays for good, and no message or session leaves cycles: a look every 700 objects is waste."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def _run(role: Role, name: str, settings: Settings, port_offset: int) -> None:
    writer = log.set_up(name, level=settings.log.level, style=settings.log.format)
    lifeline = take_lifeline()
    async with drain_signals(drain_s=settings.fleet.drain_s, lifeline=lifeline, last_words=writer.close) as draining:
        logger: log.Log = structlog.get_logger().bind()
        metrics = Metrics()
        metrics.build(version("penstock"))
        async with connected(settings, _STORE_PATIENCE_S, fit=True, on_call=metrics.store_call) as queue:
            clock = SteadyClock(queue.time)
            process = Process(
                name=name,
                settings=settings,
                queue=queue,
                clock=clock,
                metrics=metrics,
                log=logger,
                tell=attempt_log(writer.line, name, settings.log.level, settings.log.format),
                draining=draining,
            )
            await clock.anchor(process.trouble)
            await process.look_at_store()
            shown = observed(metrics, settings, port_offset, draining, lambda: process.ready)
            async with shown, trio.open_nursery() as nursery:
                nursery.start_soon(clock.run, process.trouble)
                nursery.start_soon(lag.watch, process.metrics.loop_lag)
                logger.info("started", queue=repr(queue))
                await role(process)
                logger.info("ended")
                nursery.cancel_scope.cancel()
