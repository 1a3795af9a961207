"""Where the test corpora are: beside the project, in ../shared/corpora.

A test that needs one fails clearly, and is never skipped, when it is not there.
"""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2] / "shared" / "corpora"


def corpus(name: str) -> Path:
    """A file or folder of the corpora, by its path below their root."""
    found = ROOT / name
    if not found.exists():
        pytest.fail(f"corpus {name!r} is missing: expected it at {found}", pytrace=False)
    return found


path = corpus  # reads better where one file is meant: corpora.path("isemail/test/tests.xml")


def load(name: str) -> Any:
    """A corpus that is one JSON document."""
    return json.loads(corpus(name).read_text(encoding="utf-8"))
