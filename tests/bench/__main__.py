"""`python -m tests.bench [delivery|intake|journal|lane|queue|store]`: all benchmarks, or those named."""

import sys
from collections.abc import Callable

from tests.bench import delivery, intake, journal, lane, queue, store

BENCHES: dict[str, Callable[[], None]] = {
    "delivery": delivery.run,
    "intake": intake.run,
    "journal": journal.run,
    "lane": lane.run,
    "queue": queue.run,
    "store": store.run,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()
