"""Metrics and health of a process, served for as long as it runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from sender.metrics import Metrics
from sender.settings import Settings
from workers import http


@asynccontextmanager
async def observed(
    metrics: Metrics, settings: Settings, port_offset: int, draining: trio.Event, ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Serve them on the configured address, so many ports from the configured one; ConfigError where that can't be had."""
    pulse, place = http.Pulse(), settings.metrics
    server = http.serve(
        metrics,
        address=place.address,
        token=place.token,
        port=place.port + port_offset,
        healthy=pulse.why_dead,
        ready=lambda: pulse.why_dead() or ("draining" if draining.is_set() else "" if ready() else "starting"),
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pulse.beat)
            yield
            nursery.cancel_scope.cancel()
    finally:
        await trio.to_thread.run_sync(server.close)
