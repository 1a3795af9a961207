"""The scheduler process: what is due becomes ready again, what a dead process held comes back, and the depth is measured."""

import time
from collections import Counter

import trio

from sender.errors import BackendError
from sender.policy.receivers import Profiles
from sender.queue.base import OWNER_LIFE_S
from workers.process import Process

_ROUND_S = 0.25
_DEPTH_EVERY_S = 2.0
_RECLAIM_EVERY_S = 1.0
_AT_ONCE = 20_000
_STEP_S = 2.0  # a wall clock that moved so much beside the monotonic one was set, or the machine slept


async def schedule(process: Process) -> None:
    """Keep the queue moving until told to drain."""
    profiles = Profiles.parse(process.settings.receivers)
    # Whoever lives says so within this time: before it, silence proves nothing.
    reclaim_at, measured = trio.current_time() + OWNER_LIFE_S, float("-inf")
    offset_s = time.time() - trio.current_time()
    process.ready = True
    while not process.draining.is_set():
        now = trio.current_time()
        if abs(time.time() - now - offset_s) > _STEP_S:
            offset_s = time.time() - now
            reclaim_at = now + OWNER_LIFE_S  # the wall clock was set: heartbeats of before it look old, or too young
        try:
            await process.queue.promote(time.time(), _AT_ONCE)
            if now >= reclaim_at:
                reclaim_at = now + _RECLAIM_EVERY_S
                await _reclaim(process)
            if now - measured >= _DEPTH_EVERY_S:
                measured = now
                await _measure(process, profiles)
        except BackendError as error:
            process.trouble(str(error))
            # Nobody could say that he lives while the store was away: taken for dead, he would have his mail sent twice.
            reclaim_at = trio.current_time() + OWNER_LIFE_S
        with trio.move_on_after(_ROUND_S):
            await process.draining.wait()


async def _reclaim(process: Process) -> None:
    count = await process.queue.reclaim(time.time())
    if count:
        process.log.warning("reclaimed", envelopes=count, why="their owner is gone")


async def _measure(process: Process, profiles: Profiles) -> None:
    depth = await process.queue.depth(time.time())
    ready: Counter[tuple[str, str]] = Counter()
    for route, envelopes in depth.ready.items():
        ready[route.pool, profiles.label(route.receiver)] += envelopes
    process.metrics.queue(
        ready,
        leased=depth.leased,
        later=depth.later,
        oldest_ready_s=depth.oldest_ready_s,
        oldest_due_s=depth.oldest_due_s,
        dead=depth.refused,
    )
