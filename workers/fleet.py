"""A fleet on one host: which processes there are, in which order they end, and the embedded server where none is configured.

Metrics ports count up from the configured one: the supervisor itself has none, then expander, scheduler, each delivery
process. Signers have no port: they open no socket to the outside, not even that one.
"""

import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from sender.net.signing import ping
from sender.settings import Settings, load
from workers import log
from workers.embedded import embedded_valkey
from workers.lifeline import drain_signals, take_lifeline
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

_PING_S = 1.5
_SPARE_S = 5.0  # what children are given beyond their own drain time before they are killed

EXPANDER_PORT, SCHEDULER_PORT, DELIVERY_PORT = 0, 1, 2  # offsets from the configured metrics port


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
        environment = {}
        if not settings.redis.url:
            server = embedded_valkey(embedded_dir(settings), on_trouble=lambda why: logger.error("embedded server", why=why))
            environment[REDIS_URL] = await stack.enter_async_context(server)
        patience = Patience(drain_s=settings.fleet.drain_s + _SPARE_S)
        await Supervisor(children(settings, config, environment), logger, patience).run(draining)


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
        *(child("delivery", index, 0) for index in range(settings.fleet.delivery)),
    ]
