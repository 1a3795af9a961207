"""How many sessions a process with few descriptors may have: asked in a process of its own, whose limits are its own."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource, sys
from pathlib import Path
from dataclasses import replace
import msgspec
from sender.settings import Settings, load
from workers.descriptors import within_descriptors

soft, hard, sessions = map(int, sys.argv[1:])
settings = load(None)
settings = replace(settings, delivery=msgspec.structs.replace(settings.delivery, sessions=sessions))
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
fit, why = within_descriptors(settings)
print(json.dumps([fit.delivery.sessions, why, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "sessions", "most"),
    [(256, 4096, 2000, 2000), (256, 1024, 2000, 896), (64, 64, 2000, 1), (256, 256, 100, 100), (2128, 2128, 2000, 2000)],
)
@pytest.mark.row("F42")
def test_sessions_fit_into_the_descriptors_and_the_soft_limit_is_raised(soft: int, hard: int, sessions: int, most: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(sessions)]
    fit, why, limit = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (fit, limit) == (most, hard)
    assert bool(why) == (most < sessions)
    if why:
        assert f"{hard:,} file descriptors: {most:,} sessions" in why
