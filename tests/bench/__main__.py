"""`python -m tests.bench [delivery|intake]`: all benchmarks, or one of them."""

import sys

from tests.bench import delivery, intake

BENCHES = {"delivery": delivery.run, "intake": intake.run}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()
