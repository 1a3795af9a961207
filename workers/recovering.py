"""Recovery as a process does it: each journal that had something to tell is a line in the log."""

from sender.recovery import Recovery
from workers.process import Process


async def recover(process: Process, recovery: Recovery) -> None:
    """Settle from the journals that dead processes of this host have left.

    BackendError where the store is away: what they held must not go back before this has been done.
    """
    for one in await recovery.run_once():
        why = "it was fenced, and its process hangs" if one.frozen else "its process is gone"
        process.log.warning("recovered", owner=one.owner, outcomes=one.outcomes, doubts=one.doubts, why=why)
