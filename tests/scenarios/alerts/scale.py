"""The shipped rules and alerts on a faster clock: what they call a minute is a second, and so with every time in them.

Every duration of a query and every `for` is divided by `FASTER`, and so is every number that is compared with seconds or counts
them. Nothing else is touched: shares, counts and rates per second are what they were.
"""

import re
from pathlib import Path

from workers.demo.prometheus import shipped

FASTER = 60
EVERY = "500ms"  # half a minute: a scrape may take no longer, and the processes have other work

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_PROSE = re.compile(r" *(#|summary:|description:|runbook:)")
_DURATION = re.compile(r"(?<!\w)(\d+)([smhd])\b")
_SECONDS = re.compile(r"(?<=[<>*] )(300|600|900|1800|3600|86400)\b")


def write_scaled(directory: Path) -> Path:
    """Write copies with these times into a directory of their own; returns it."""
    copies = directory / "scaled"
    copies.mkdir()
    for name in ("prometheus.yml", "rules.yml", "alerts.yml"):
        (copies / name).write_text(scaled((shipped() / name).read_text()))
    return copies


def scaled(text: str) -> str:
    """The text of a rule file with every time divided."""
    return "\n".join(line if _PROSE.match(line) else _scaled(line) for line in text.split("\n"))


def _scaled(line: str) -> str:
    line = _DURATION.sub(lambda found: f"{int(found[1]) * _UNITS[found[2]] * 1_000 // FASTER}ms", line)
    return _SECONDS.sub(lambda found: str(int(found[0]) // FASTER), line)
