"""How a process of ours ends in order: when it is told to, when it is told twice, and when who started it is gone.

1. SIGTERM or SIGINT, or the end of the supervisor: draining begins. What is under way is finished, nothing new is begun.
2. A second signal, or the end of the time for draining: what still runs is cancelled. That is as safe as `kill -9` must be.
3. Five seconds later, where a thread or a library does not let go: the process ends itself.

A child learns of its supervisor's end from a pipe that only the supervisor holds open for writing: however it dies, the
pipe's end can then be read. The child finds the pipe's descriptor in its environment.
"""

import math
import os
import signal
import stat
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from sender.errors import ConfigError

LIFELINE = "PENSTOCK_LIFELINE"
_EXIT_S = 5.0
_EXIT_STATUS = 70  # EX_SOFTWARE: it did not come to its end by itself


def take_lifeline() -> int | None:
    """The descriptor of our lifeline, or None where no supervisor started us; our own children don't inherit it.

    Raises ConfigError where the environment names something that is not a pipe.
    """
    value = os.environ.pop(LIFELINE, None)
    if value is None:
        return None
    try:
        descriptor = int(value)
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise ConfigError("environment", LIFELINE, f"{value!r} is not a pipe")
    except (ValueError, OSError) as error:
        raise ConfigError("environment", LIFELINE, f"{value!r} is not an open descriptor") from error
    os.set_inheritable(descriptor, False)
    return descriptor


async def wait_parent_gone(lifeline: int) -> None:
    """Return when nobody holds the other end of the pipe any more."""
    while True:
        await trio.lowlevel.wait_readable(lifeline)
        if os.read(lifeline, 4096) == b"":
            return


@asynccontextmanager
async def drain_signals(
    *, drain_s: float = math.inf, lifeline: int | None = None, last_words: Callable[[], None] = lambda: None
) -> AsyncIterator[trio.Event]:
    """Run the block until it ends by itself, giving it the event that says: draining.

    `drain_s` later, or at a second signal, the block is cancelled; `last_words` is called, from a thread, where even that
    does not end it. Where the supervisor is gone, nobody else is left to stop us, so a finite `drain_s` is wanted.
    """
    draining = trio.Event()
    ended = threading.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def end() -> None:
                await _wait_for_the_end(signals, draining, drain_s)
                threading.Thread(target=_exit_unless, args=(ended, last_words), daemon=True).start()
                nursery.cancel_scope.cancel()

            async def watch(descriptor: int) -> None:
                await wait_parent_gone(descriptor)
                draining.set()

            nursery.start_soon(end)
            if lifeline is not None:
                nursery.start_soon(watch, lifeline)
            try:
                yield draining
            finally:
                ended.set()
                nursery.cancel_scope.cancel()


async def _wait_for_the_end(signals: AsyncIterator[int], draining: trio.Event, drain_s: float) -> None:
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            async for _ in signals:
                if draining.is_set():
                    nursery.cancel_scope.cancel()
                draining.set()

        nursery.start_soon(listen)
        await draining.wait()
        nursery.cancel_scope.deadline = trio.current_time() + drain_s


def _exit_unless(ended: threading.Event, last_words: Callable[[], None]) -> None:
    if not ended.wait(_EXIT_S):
        last_words()
        os._exit(_EXIT_STATUS)
