"""The delivery process: an engine over the sources of this host, and a log line for every attempt."""

import os
import secrets

import trio

from sender.assembly import engine, recovery
from sender.errors import BackendError
from sender.net.signing import SignerPool
from sender.queue.journal import Journal
from workers.descriptors import within_descriptors
from workers.digests import checked_digests
from workers.places import host_name, journal_dir, make_private, signer_sockets, token_keys
from workers.process import Process
from workers.recovering import recover

_WATCH_S = 1.0


async def deliver(process: Process) -> None:
    """Deliver until told to drain: no new leases then, open transactions finish, everything else goes back."""
    settings, fewer = within_descriptors(process.settings)
    if fewer:
        process.trouble(fewer)
    owner = f"{host_name(settings)}/{process.name}-{os.getpid()}-{secrets.token_hex(3)}"
    around = process.surroundings(on_attempt=process.tell)
    digests = await checked_digests(settings, process.queue)
    directory = make_private(journal_dir(settings))
    try:
        await recover(process, recovery(settings, process.queue, directory, around))
    except BackendError as error:
        process.trouble(str(error))  # a scheduler of this host goes on trying, or whoever is started next
    journal = Journal(directory, settings.journal.fsync, on_trouble=process.trouble)
    signers = SignerPool(signer_sockets(settings))
    machine = engine(settings, process.queue, signers, token_keys(settings), digests, owner, around, journal)
    async with trio.open_nursery() as nursery:

        async def drain() -> None:
            await process.draining.wait()
            machine.drain()

        nursery.start_soon(signers.run)
        nursery.start_soon(_watch, process, journal, signers)
        nursery.start_soon(drain)
        process.ready = True
        await machine.run()
        nursery.cancel_scope.cancel()


async def _watch(process: Process, journal: Journal, signers: SignerPool) -> None:
    """Show every second, for ever, whether the journal can be written and what waits for signers."""
    while True:
        process.metrics.journal(healthy=journal.healthy)
        process.metrics.signer_waiting(signers.waiting)
        await trio.sleep(_WATCH_S)
