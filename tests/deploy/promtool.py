"""Prometheus's own judge of rules and alerts: series as they would have been scraped go in, what fires comes out."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PROMETHEUS = Path(__file__).parent.parent.parent / "deploy" / "prometheus"
MINUTES = 600  # how long the series of a test last: a sending day ends within them

Series = Mapping[str, str]  # by name and labels, one value a minute in promtool's notation
Expected = list[dict[str, object]]


def run(*arguments: str | Path) -> str:
    """What promtool prints; AssertionError with it where it finds fault."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hold(directory: Path, series: Series, expected: Sequence[tuple[int, str, Expected]]) -> None:
    """Play the rules over these series; AssertionError where an expression, at its minute, is not what was expected.

    promtool reads YAML, and JSON is YAML: so the tests need no library to write it.
    """
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples} for minute, expression, samples in expected
        ],
    }
    document = {
        "rule_files": [str(PROMETHEUS / name) for name in ("rules.yml", "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [test],
    }
    path = directory / "rules-test.yml"
    path.write_text(json.dumps(document))
    run("test", "rules", path)
