"""Programs that are not ours, and that end with us however we die: they know nothing of a lifeline.

A shell loop of one line holds the other end of a pipe, and ends the program when we close it by dying.
(PR_SET_PDEATHSIG would not do: it follows the thread that forked, and trio forks in threads that come and go.)
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio

_GUARD = 'exec 3<&0; ( read _ <&3 || kill -TERM $$ ) & exec "$@" 3<&- </dev/null'


def guarded(command: Sequence[str | Path]) -> list[str]:
    """The command that starts this one under guard: give it a pipe as its standard input."""
    return ["/bin/sh", "-c", _GUARD, "guard", *map(str, command)]


async def end_guarded(process: trio.Process, patience_s: float) -> None:
    """SIGTERM, and SIGKILL after so many seconds; its guard ends as well."""
    if process.poll() is None:
        process.terminate()
        with trio.move_on_after(patience_s):
            await process.wait()
    if process.poll() is None:
        process.kill()
        await process.wait()
    if process.stdin is not None:
        with suppress(trio.BrokenResourceError):
            await process.stdin.send_all(b"\n")  # so that the guard leaves a process number that is no longer ours alone
        await process.stdin.aclose()
