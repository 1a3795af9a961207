"""A server that is not there or does not start fails the test, and says what to do."""

import shutil
from pathlib import Path

import pytest

from tests.integration.programs import find, running


def test_a_program_that_is_missing_is_named_with_what_installs_it() -> None:
    with pytest.raises(
        pytest.fail.Exception, match=r"no-such-server is missing: .*setup-debian.sh, or install the package nss"
    ):
        find("no-such-server", "nss")


def test_a_program_that_ends_at_once_fails_with_its_last_words(tmp_path: Path) -> None:
    command = [shutil.which("sh") or "/bin/sh", "-c", "echo bad configuration >&2; exit 3"]
    with (
        pytest.raises(pytest.fail.Exception, match="ended with status 3: bad configuration"),
        running(command, tmp_path / "log", lambda: False),
    ):
        pytest.fail("it runs")


def test_what_was_started_ends_with_the_block(tmp_path: Path) -> None:
    with running([shutil.which("sleep") or "/bin/sleep", "60"], tmp_path / "log", lambda: True) as pid:
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()
