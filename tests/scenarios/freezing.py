"""A process that hangs: it keeps what it has, and does nothing."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def frozen(number: int) -> Iterator[None]:
    """Stop a process for as long as the block runs; a supervisor may have put another in its place by then."""
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGCONT)
