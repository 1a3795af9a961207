"""How late the event loop is: what everything in a process waits for, beside its own work.

A task that sleeps a fixed moment is woken by the loop like any other, once all that was ready before it has had its turn. How
much later than asked is what a reply that has come, a pace that is due or a beat would have waited, too.
"""

from collections.abc import Callable

import trio

EVERY_S = 0.25  # often enough for a percentile of a minute; each look costs a processor some 0.1 ms where all else is idle


async def watch(late: Callable[[float], None]) -> None:
    """Tell `late` for ever by how many seconds the loop was late, once each EVERY_S and however late it is."""
    while True:
        due = trio.current_time() + EVERY_S
        await trio.sleep_until(due)
        late(trio.current_time() - due)
