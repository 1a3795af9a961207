"""`python -m sender.metrics` writes the table of all metrics to standard output."""

import sys

from sender.metrics.table import page

if __name__ == "__main__":
    sys.stdout.write(page())
