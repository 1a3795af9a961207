"""A fleet on one host: which processes there are, in which order they end, and the embedded server where none is configured.

Metrics ports count up from the configured one: expander, scheduler, each delivery process, the one that follows the events
where the configuration names consumers, and the supervisor. Signers have no port: they open no socket to the outside, not even
that one. So it is the supervisor that tells how often they, and all others, had to be started again.
"""

import sys
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog

from sender.metrics import Metrics
from sender.net.signing import ping
from sender.settings import Settings, load
from workers import log
from workers.embedded import embedded_valkey
from workers.lifeline import drain_signals, take_lifeline
from workers.observing import observed
from workers.places import (
    REDIS_URL,
    embedded_dir,
    make_private,
    make_suppression_key,
    make_token_keys,
    runtime_dir,
    signer_sockets,
)
from workers.supervisor import ChildSpec, Patience, Supervisor
from workers.targets import announced

_PING_S = 1.5
_SPARE_S = 5.0  # what children are given beyond their own drain time before they are killed

EXPANDER_PORT, SCHEDULER_PORT, DELIVERY_PORT = 0, 1, 2  # offsets from the configured metrics port


def consumer_port(settings: Settings) -> int:
    """The offset of the process that follows the events: behind the last delivery process."""
    return DELIVERY_PORT + settings.fleet.delivery


def supervisor_port(settings: Settings) -> int:
    """The offset of the supervisor itself; it does not move when the first consumer comes."""
    return consumer_port(settings) + 1


def scraped(settings: Settings) -> list[tuple[str, int]]:
    """Role and metrics port of each process of this host that has one."""
    roles = [
        ("expander", EXPANDER_PORT),
        ("scheduler", SCHEDULER_PORT),
        *(("delivery", DELIVERY_PORT + index) for index in range(settings.fleet.delivery)),
        *([("consumer", consumer_port(settings))] if settings.consumers else []),
        ("supervisor", supervisor_port(settings)),
    ]
    return [(role, settings.metrics.port + offset) for role, offset in roles]


async def run_fleet(config: Path | None) -> None:
    """Run all roles on this host until a signal; when this returns, no process of ours is left."""
    settings = load(config)
    writer = log.set_up("supervisor", level=settings.log.level, style=settings.log.format)
    make_private(runtime_dir(settings))
    make_token_keys(settings)
    make_suppression_key(settings)
    lifeline = take_lifeline()
    async with drain_signals(lifeline=lifeline, last_words=writer.close) as draining, AsyncExitStack() as stack:
        logger: log.Log = structlog.get_logger()
        metrics, environment = Metrics(), {}
        metrics.build(version("penstock"))
        shown = observed(metrics, settings, supervisor_port(settings), draining, lambda: True)
        await stack.enter_async_context(shown)
        if not settings.redis.url:
            server = embedded_valkey(embedded_dir(settings), on_trouble=lambda why: logger.error("embedded server", why=why))
            environment[REDIS_URL] = await stack.enter_async_context(server)
        patience = Patience(drain_s=settings.fleet.drain_s + _SPARE_S)
        specs = children(settings, config, environment)
        for spec in specs:
            metrics.supervised(spec.role)
        with announced(settings, scraped(settings)):
            await Supervisor(specs, logger, patience, lambda spec: metrics.restarted(spec.role)).run(draining)


def children(settings: Settings, config: Path | None, environment: dict[str, str]) -> list[ChildSpec]:
    """The processes of this host. Delivery ends first: it needs the signers to finish what it has begun."""

    def child(role: str, index: int, order: int) -> ChildSpec:
        argv = [sys.executable, "-m", "workers.cli", "run", role, "--index", str(index)]
        argv += ["--config", str(config)] if config else []
        return ChildSpec(name=f"{role}-{index}", argv=argv, env=environment, order=order)

    signers = [
        ChildSpec(name=f"signer-{index}", argv=child("signer", index, 2).argv, order=2, probe=partial(ping, socket, _PING_S))
        for index, socket in enumerate(signer_sockets(settings))
    ]
    return [
        *signers,
        child("expander", 0, 1),
        child("scheduler", 0, 1),
        *([child("consumer", 0, 1)] if settings.consumers else []),
        *(child("delivery", index, 0) for index in range(settings.fleet.delivery)),
    ]
