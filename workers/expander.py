"""The expander process: recipients from the inbox to the routes, for as long as there are any."""

import trio

from sender.assembly import expander
from sender.errors import BackendError
from workers.digests import checked_digests
from workers.process import Process

_POLL_S = 0.2
_TROUBLE_S = 1.0


async def expand(process: Process) -> None:
    """Expand until told to drain; a chunk that was begun is finished."""
    digests = await checked_digests(process.settings, process.queue)
    machine = expander(process.settings, process.queue, digests, process.surroundings())
    process.ready = True
    while not process.draining.is_set():
        pause_s = _POLL_S
        try:
            if await machine.step():
                continue
        except BackendError as error:
            process.trouble(str(error))
            pause_s = _TROUBLE_S
        with trio.move_on_after(pause_s):
            await process.draining.wait()
