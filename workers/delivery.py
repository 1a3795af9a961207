"""The delivery process: an engine over the sources of this host, and a log line for every attempt."""

import os
import secrets

import trio

from sender.assembly import engine
from sender.net.signing import SignerPool
from sender.record import Attempt
from workers.log import attempt as log_attempt
from workers.places import host_name, signer_sockets, token_keys
from workers.process import Process


async def deliver(process: Process) -> None:
    """Deliver until told to drain: no new leases then, open transactions finish, everything else goes back."""
    settings = process.settings
    owner = f"{host_name(settings)}/{process.name}-{os.getpid()}-{secrets.token_hex(3)}"
    around = process.surroundings(on_attempt=lambda attempt: _log(process, attempt))
    signers = SignerPool(signer_sockets(settings))
    machine = engine(settings, process.queue, signers, token_keys(settings), owner, around)
    async with trio.open_nursery() as nursery:

        async def drain() -> None:
            await process.draining.wait()
            machine.drain()

        nursery.start_soon(signers.run)
        nursery.start_soon(drain)
        process.ready = True
        await machine.run()
        nursery.cancel_scope.cancel()


def _log(process: Process, attempt: Attempt) -> None:
    log_attempt(process.log, attempt)
